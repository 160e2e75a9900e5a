"""The optimiser of the training loop: Adam or Adam and Muon, their schedule, and what a checkpoint keeps of them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.spec import OptimSpec
from harness.train.checkpoint import Checkpoint
from harness.train.muon import Muon
from models.step import trait
from models.swapper import Swapper

MATRIX_CHANNELS = 8  # the picture's 3 channels are no matrix worth the name


class Diverged(Exception):
    """A loss term or a gradient is no longer finite. The message names step and term."""


def lr_factor(optim: OptimSpec, number: int, steps: int) -> float:
    """Factor on the learning rate at step `number`: linear warm-up, then constant or a half cosine to 0."""
    if number < optim.warmup:
        return (number + 1) / optim.warmup
    if optim.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (number - optim.warmup) / max(1, steps - optim.warmup)))


class Optimiser:
    """Adam and, where it is asked for, Muon, used as one: every parameter belongs to exactly one of them.

    `parts`: the optimisers by name, as a checkpoint knows them.
    """

    def __init__(self, **parts: torch.optim.Optimizer) -> None:
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of all parts; `base_lr` of a group is its learning rate before the schedule."""
        return [group for part in self.parts.values() for group in part.param_groups]

    def step(self) -> None:
        """One step of every part."""
        for part in self.parts.values():
            part.step()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=True)


def build_optimiser(
    model: Swapper,
    optim: OptimSpec,
    device: torch.device,
    networks: Mapping[str, nn.Module] | None = None,
    precision: str = "fp32",
) -> Optimiser:
    """The optimiser of a model and of the networks that loss terms have of their own.

    Adam: one, fused, with a parameter group for each learning rate, then one for each term's network, whose rate is the
    body's times its factor `lr`. With `optim.algorithm: muon` the model's weights of at least MATRIX_CHANNELS inputs
    and outputs leave Adam for Muon, which computes in `precision`: its update is the momentum with all singular values
    brought near 1. Biases, norms, the first layer and the last stay with Adam, as Muon's authors have it.
    """
    rates = {"vae": optim.vae_lr, "body": 1.0}
    by_adam, by_muon = [], []
    for name, parameters in model.rate_groups():
        moved = [p for p in parameters if optim.algorithm == "muon" and has_matrix(p)]
        by_muon.append(_group(moved, optim.muon_lr * rates[name]))
        ids = {id(weight) for weight in moved}
        by_adam.append(_group([p for p in parameters if id(p) not in ids], optim.lr * rates[name]))
    for network in (networks or {}).values():
        by_adam.append(_group(list(network.parameters()), optim.lr * trait(network, "lr")))
    fused = device.type in ("cpu", "cuda")
    adam = torch.optim.Adam([g for g in by_adam if g["params"]], betas=optim.betas, fused=fused)
    chosen = [g for g in by_muon if g["params"]]
    if not chosen:
        return Optimiser(adam=adam)
    return Optimiser(adam=adam, muon=Muon(chosen, optim.muon_lr, optim.muon_momentum, precision))


def _group(parameters: list[nn.Parameter], rate: float) -> dict[str, Any]:
    return {"params": parameters, "lr": rate, "base_lr": rate}


def has_matrix(weight: Tensor) -> bool:
    """Whether Muon moves this weight: a matrix or a convolution's, MATRIX_CHANNELS at least on either side."""
    return weight.ndim in (2, 4) and min(weight.shape[:2]) >= MATRIX_CHANNELS


def check_finite(values: dict[str, Tensor], norms: dict[str, Tensor], number: int) -> None:
    """Raise Diverged, naming step and terms, when a loss value or a gradient norm is not finite."""
    found = {f"loss term {name}": v for name, v in values.items()} | {f"gradient of {k}": v for k, v in norms.items()}
    if not bool(torch.isfinite(torch.stack([v.float().reshape(()) for v in found.values()])).all()):
        bad = [name for name, v in found.items() if not math.isfinite(float(v))]
        raise Diverged(f"not finite at step {number}: {', '.join(bad)}")


def state(model: Swapper, optimiser: Optimiser, networks: Mapping[str, nn.Module] | None = None) -> dict[str, Tensor]:
    """Weights, buffers and the optimiser's moments under the names of a checkpoint; `networks`: those of loss terms."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for term, network in (networks or {}).items():
        tensors |= {f"loss/{term}/{name}": value for name, value in network.state_dict().items()}
    for name, part in optimiser.parts.items():
        for index, moments in part.state_dict()["state"].items():
            tensors |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
    return tensors


def restore(
    kept: Checkpoint,
    model: Swapper,
    optimiser: Optimiser,
    networks: Mapping[str, nn.Module] | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """The inverse of `state`: load a checkpoint and return its step and the history so far."""
    model.load_state_dict(_under("model.", kept.tensors))
    for term, network in (networks or {}).items():
        network.load_state_dict(_under(f"loss/{term}/", kept.tensors))
    for part_name, part in optimiser.parts.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(f"{part_name}.", kept.tensors).items():
            index, key = name.split(".", 1)
            moments.setdefault(int(index), {})[key] = value
        part.load_state_dict({"state": moments, "param_groups": part.state_dict()["param_groups"]})
        for parameter, own in part.state.items():
            for key, value in own.items():
                if value.shape == parameter.shape:  # fused Adam walks through memory: moments lie as their weights do
                    own[key] = torch.empty_like(parameter).copy_(value)
    return kept.meta["step"], kept.meta["history"]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class Buffers:
    """A copy of the buffers of networks as they were before a step.

    An attempt that runs out of memory half-way has moved batch norm's statistics already; the next attempt must not
    find them moved. One call a step and kind of number, hence the grouping.
    """

    def __init__(self, *networks: nn.Module) -> None:
        live: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for network in networks:
            for buffer in network.buffers():
                live[buffer.dtype].append(buffer)
        self._pairs = [(group, [torch.empty_like(buffer) for buffer in group]) for group in live.values()]

    def keep(self) -> None:
        """Copy them."""
        for live, kept in self._pairs:
            torch._foreach_copy_(kept, live)

    def put_back(self) -> None:
        """As they were when `keep` was called."""
        for live, kept in self._pairs:
            torch._foreach_copy_(live, kept)
