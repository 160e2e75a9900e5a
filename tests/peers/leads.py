"""Where a step of the quick scale spends its time, and what each lead to a faster one brings: measured in pairs.

    python -m tests.peers.leads                          all arms take turns in one process, on one thread
    python -m tests.peers.leads --blocks 24 --json out.json

The step is that of `bottleneck`, 3x3 cells. A lead is a step that differs in one thing from the one that the product
takes; a ratio above 1 says that the lead is faster.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.bench.loop import LoopArm
from harness.bench.peak import matmul_flops
from harness.bench.step import StepArm
from harness.bench.timing import Watch, interleaved, ratio_of
from harness.compute import choose_compute
from harness.data.batches import BatchSource
from harness.execute.memory import keep_freed_memory
from harness.ledger import environment
from harness.train import muon
from models.bottleneck import Gather, Scatter
from models.upsample import Resize

from .compare import changed, faces, suite_spec

CPU = torch.device("cpu")
LAYERS = (Resize, Gather, Scatter, nn.Conv2d)  # a Resize is timed with the convolution in it


class NormAndSlope(nn.Module):
    """Batch norm and LeakyReLU in one node of the graph, the second in place: one activation kept instead of two."""

    def __init__(self, norm: nn.BatchNorm2d, slope: nn.LeakyReLU):
        super().__init__()
        self.norm, self.slope = norm, slope.negative_slope

    def forward(self, x):
        return _NormAndSlope.apply(x, self.norm.weight, self.norm.bias, self.norm, self.slope)


class _NormAndSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, norm, slope):
        moving = norm.running_mean, norm.running_var
        y, mean, deviation = torch.native_batch_norm(x, weight, bias, *moving, True, norm.momentum, norm.eps)
        nn.functional.leaky_relu_(y, slope)
        ctx.save_for_backward(x, weight, mean, deviation, y)
        ctx.norm, ctx.slope = norm, slope
        return y

    @staticmethod
    def backward(ctx, gradient):
        x, weight, mean, deviation, y = ctx.saved_tensors
        gradient = torch.ops.aten.leaky_relu_backward(gradient, y, ctx.slope, True)
        moving = ctx.norm.running_mean, ctx.norm.running_var
        return *torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, *moving, mean, deviation, True, ctx.norm.eps, [True] * 3
        ), None, None  # fmt: skip


def in_one_node(model):
    for module in model.modules():
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Sequential):
                layers = list(child)
                for at in range(len(layers) - 1):
                    if isinstance(layers[at], nn.BatchNorm2d) and isinstance(layers[at + 1], nn.LeakyReLU):
                        layers[at : at + 2] = [NormAndSlope(layers[at], layers[at + 1]), nn.Identity()]
                setattr(module, name, nn.Sequential(*layers))


def in_place(model):
    for module in model.modules():
        if isinstance(module, nn.LeakyReLU):
            module.inplace = True


def direct(x):
    """Muon's iteration as it is usually written, in float32."""
    y = x.T if x.shape[0] > x.shape[1] else x
    y = y / y.norm().clamp(min=muon.EPS)
    for a, b, c in muon.POLYNOMIALS:
        gram = y @ y.T
        y = torch.addmm(y, torch.addmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return y.T if x.shape[0] > x.shape[1] else y


class InBatches(muon.Muon):
    """Weights of one shape, as the two decoders have them, made orthogonal by products of batches of matrices."""

    @torch.no_grad()
    def step(self, closure=None):
        shapes = {}
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = muon.as_matrix(weight.grad, weight)
                moments = self.state[weight].setdefault("momentum", torch.zeros_like(gradient))
                moments.lerp_(gradient, 1 - group["momentum"])
                shapes.setdefault(gradient.shape, []).append(
                    (weight, gradient.lerp(moments, group["momentum"]), group["lr"])
                )
        for (rows, columns), weights in shapes.items():
            updates = self._orthogonal(torch.stack([update for _, update, _ in weights]))
            for (weight, _, lr), update in zip(weights, updates, strict=True):
                muon.as_matrix(weight, weight, shared=True).add_(update, alpha=-lr * max(1.0, rows / columns) ** 0.5)

    def _orthogonal(self, x):
        y = x.mT if x.shape[1] > x.shape[2] else x
        gram = y @ y.mT
        square = gram.diagonal(dim1=1, dim2=2).sum(1).clamp(min=muon.EPS**2).view(-1, 1, 1)
        gram = gram / square
        product = factor = self._polynomial(gram, muon.POLYNOMIALS[0])
        for coefficients in muon.POLYNOMIALS[1:]:
            gram = factor @ gram @ factor
            factor = self._polynomial(gram, coefficients)
            product = factor @ product
        y = (product / square.sqrt()) @ y
        return y.mT if x.shape[1] > x.shape[2] else y

    def _polynomial(self, gram, coefficients):
        a, b, c = coefficients
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        return factor


def arms(spec, precision):
    """{name: step}, the first as the product takes it."""

    def step(precision=precision, change=None, by=None, of=None, **layout):
        arm = StepArm(spec, CPU, precision, **layout)
        if of:
            made = arm.optimiser.parts["muon"]
            arm.optimiser.parts["muon"] = of(made.param_groups, spec.optim.muon_lr, spec.optim.muon_momentum)
        if change:
            change(arm.model)
        if by:
            arm.optimiser.parts["muon"].orthogonal = by
        return arm

    other = "bf16" if precision == "fp32" else "fp32"
    return {
        f"as it is, {precision}": step(),
        f"all in {other}": step(other),
        "Muon: as usually written, bfloat16": step(by=muon.orthogonal),
        "Muon: as usually written, float32": step(by=direct),
        "Muon: by the Gram matrix, float32": step(by=muon.orthogonal_by_gram),
        "Muon: the same, equal shapes in batches": step(of=InBatches),
        "Adam alone": StepArm(changed(spec, optim={"algorithm": "adam"}), CPU, precision),
        "LeakyReLU in place": step(change=in_place),
        "batch norm and LeakyReLU in one node": step(change=in_one_node),
        "layout NCHW": step(channels_last=False),
    }


def layers(spec, precision, repeats=10):
    """[{layer, shape, flops, ms}]: forward and backward of each layer alone, on what reaches it in a step."""
    arm, seen = StepArm(spec, CPU, precision), {}
    within = {f"{name}.conv" for name, module in arm.model.named_modules() if isinstance(module, Resize)}
    for name, module in arm.model.named_modules():
        if isinstance(module, LAYERS) and name not in within:
            module.register_forward_hook(lambda module, x, y, name=name: seen.update({name: (module, x[0], y.shape)}))
    arm()
    rows = []
    for name, (module, x, shape) in seen.items():
        x = x.detach().float().requires_grad_(x.requires_grad)  # the pictures themselves ask for no gradient

        def work(module=module, x=x):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                y = module(x)
            y.backward(torch.ones_like(y))

        times = interleaved({name: work}, repeats, warmup=2)[name]
        with FlopCounterMode(display=False) as counter:
            work()
        rows.append(
            {
                "layer": name,
                "makes": list(shape),
                "flops": counter.get_total_flops(),
                "ms": 1e3 * statistics.median(times),
            }
        )
    return rows


def measured(spec, root, blocks, steps=5):
    """All of it, as it is written to a file."""
    precision = choose_compute(spec, "cpu", 1).precision
    store = faces(spec, 0, root)[0]
    source, number = BatchSource(store, spec.data, spec.optim.batch, 0, CPU), iter(range(10**9))
    long = changed(spec, optim={"steps": 10 * steps * (blocks + 4)})
    with tempfile.TemporaryDirectory() as temporary, LoopArm(long, 0, store, CPU, Path(temporary)) as loop:
        work = {name: lambda arm=arm: [arm() for _ in range(steps)] for name, arm in arms(spec, precision).items()}
        first = next(iter(work))
        work["the whole loop, with data and history"] = lambda: loop.advance(steps)
        work["drawing the batches alone"] = lambda: [source.at(next(number)) for _ in range(steps)]
        with Watch(torch.get_num_threads(), False) as watch:
            times = interleaved(work, blocks, warmup=2)
    ratios = {name: ratio_of(list(zip(times[first], each, strict=True))) for name, each in times.items()}
    return {
        "precision": precision,
        "peaks": {name: matmul_flops(name, CPU) for name in ("fp32", "bf16")},
        "arms": {
            name: {
                "ms": 1e3 * statistics.median(each) / steps,
                "times_as_fast": {"ratio": r.value, "low": r.low, "high": r.high, "pairs": r.pairs},
            }
            for (name, each), r in zip(times.items(), ratios.values(), strict=True)
        },
        "layers": layers(spec, precision),
        "void": watch.void(times),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=20, help="blocks of 5 steps, of every arm")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    found = measured(suite_spec(), args.out, args.blocks)
    for name, arm in found["arms"].items():
        ratio = arm["times_as_fast"]
        print(f"{name:40} {arm['ms']:7.1f} ms   {ratio['ratio']:.2f}x   {ratio['low']:.2f} to {ratio['high']:.2f}")
    for row in found["layers"]:
        rate = row["flops"] / row["ms"] / 1e6
        print(f"{row['layer']:40} {row['ms']:7.2f} ms   {row['flops'] / 1e9:6.3f} GFLOP   {rate:6.1f} GFLOP/s")
    print(f"peak of a matrix product: {', '.join(f'{v / 1e9:.0f} GFLOP/s {k}' for k, v in found['peaks'].items())}")
    for reason in found["void"]:
        print(f"times VOID (ratios are paired and stand): {reason}")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"schema_version": 1, **found, "environment": environment.capture()}, indent=1))


if __name__ == "__main__":
    main()
