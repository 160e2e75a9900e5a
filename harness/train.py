"""The training loop: one for every variant.

Two people, one encoder pass, one decoder each; a weighted list of loss terms, some with a network of their own; one
optimiser whose parameter groups do what several would. To resume, call it again with the same folder: the random
state is re-derived from (seed, stream, step) at every step, so a checkpoint holds only weights, moments and the step.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness import checkpoint, registry
from harness.atomic import write_atomic
from harness.data.batches import BatchSource
from harness.data.store import FaceStore
from harness.data.streams import stream_seed
from harness.optimise import Buffers, Optimiser, build_optimiser, check_finite, lr_factor, restore, state
from harness.preview import Preview
from harness.spec import OptimSpec, Spec
from harness.terms import Term, build_losses, logged, networks, own_objectives
from models.step import Step
from models.swapper import PEOPLE, Swapper

BLOCK = 20  # steps timed together: one reading of the clock a step would cost a device synchronisation
CHECKPOINT_S = 20.0


class Interrupted(Exception):
    """The loop was asked to stop; a checkpoint has been written."""


class OutOfMemory(Exception):
    """A single image of each person does not fit."""


@dataclass
class Trained:
    """What training leaves behind: the model (in eval mode), and what is to be known of the run."""

    model: Swapper
    steps: int
    seconds: float
    precision: str
    images_per_s: list[float] = field(default_factory=list)  # one value a block of steps, both people counted
    resumed_from: int | None = None
    micro_batch: int | None = None  # set when memory forced accumulation
    notes: list[str] = field(default_factory=list)


def total_steps(spec: Spec, steps_per_epoch: int) -> int:
    """Optimiser steps of a trial: `optim.steps`, or else epochs times steps an epoch."""
    return spec.optim.steps or spec.optim.epochs * steps_per_epoch


def build_model(spec: Spec) -> Swapper:
    """The variant of a spec with its options, freshly initialised from torch's global generator."""
    return registry.get("variant", spec.model.variant).object(size=spec.data.size, **spec.model.options)


def train(
    spec: Spec,
    seed: int,
    store: FaceStore,
    device: torch.device,
    folder: Path,
    report: Callable[..., None] = lambda **_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train one trial to its end, resuming from `folder`/checkpoint when there is one.

    `report` receives step, steps, images_per_s, loss; `stop` is asked once a step. Raises Diverged, Interrupted and
    OutOfMemory.
    """
    optim = spec.optim
    source = BatchSource(store, spec.data, optim.batch, seed, device)
    steps = total_steps(spec, source.steps_per_epoch)
    torch.manual_seed(stream_seed(seed, "init", 0))
    model = build_model(spec).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    terms = build_losses(spec, model)
    critics = networks(terms)
    optimiser, buffers = build_optimiser(model, optim, device, critics), Buffers(model, *critics.values())
    kept = checkpoint.load(folder / "checkpoint")
    start, history = restore(kept, model, optimiser, critics) if kept and kept.meta else (0, [])
    precision = kept.meta["precision"] if kept and kept.meta else choose_precision(optim, model, source, terms, device)
    done = Trained(model, steps, kept.meta["seconds"] if kept and kept.meta else 0.0, precision)
    done.resumed_from = start or None
    done.notes += [f"damaged checkpoint passed over: {name}" for name in kept.damaged] if kept else []
    preview = Preview(store, spec, folder, device)
    moments = {1} | {round(steps * k / spec.score.previews) for k in range(1, spec.score.previews + 1)}
    log_every = BLOCK * max(1, steps // (100 * BLOCK))
    parts, saved = 1, time.monotonic()
    mark, mark_step = time.perf_counter(), start

    for number in range(start, steps):
        batch, pace = source.at(number), lr_factor(optim, number, steps)
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * pace
        buffers.keep()
        while True:
            try:
                torch.manual_seed(stream_seed(seed, "init", number + 1))
                values, norms = _step(model, terms, optimiser, batch, (number, steps), parts, precision, spec)
                break
            except torch.OutOfMemoryError as error:
                optimiser.zero_grad()
                buffers.put_back()
                if parts >= optim.batch:
                    raise OutOfMemory(f"one image of each person does not fit: {error}") from error
                parts = min(2 * parts, optim.batch)
                done.micro_batch = math.ceil(optim.batch / parts)
                done.notes.append(f"out of memory at step {number}: micro-batch {done.micro_batch}, batch unchanged")
        count, stopping = number + 1, stop()
        ends_block = count % BLOCK == 0 or count in moments or count == steps or stopping
        if ends_block or device.type == "cpu":  # on a GPU this is a host synchronisation: once a block
            check_finite(values, norms, number)
        if not ends_block:
            continue
        seconds = time.perf_counter() - mark
        done.seconds += seconds
        if count - mark_step == BLOCK:
            done.images_per_s.append(2 * optim.batch * BLOCK / seconds)
        total = sum(weight * float(values[name]) for name, weight, _ in terms)
        if count % log_every == 0 or count in moments:
            row: dict[str, Any] = {"step": count, "images": 2 * optim.batch * count, "seconds": round(done.seconds, 3)}
            row |= {"loss": {name: float(v) for name, v in (values | logged(terms)).items()}, "total": total}
            row |= {"grad_norm": {k: float(v) for k, v in norms.items()}, "lr": optim.lr * pace}
            history.append(row | (preview.take(model, count) if count in moments else {}))
        if stopping or count == steps or time.monotonic() - saved > CHECKPOINT_S:
            meta = {"step": count, "seconds": done.seconds, "precision": precision, "history": history}
            checkpoint.save(folder / "checkpoint", state(model, optimiser, critics), meta)
            write_history(folder, history)
            saved = time.monotonic()
        report(step=count, steps=steps, loss=total, images_per_s=done.images_per_s[-1] if done.images_per_s else None)
        if stopping and count < steps:
            raise Interrupted(f"stopped after step {count} of {steps}")
        mark, mark_step = time.perf_counter(), count
    model.eval()
    return done


def _step(
    model: Swapper,
    terms: list[Term],
    optimiser: Optimiser,
    batch: dict[str, tuple[Tensor, Tensor]],
    at: tuple[int, int],
    parts: int,
    precision: str,
    spec: Spec,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One optimiser step over `parts` micro-batches: loss values by term, gradient norms by network before clipping.

    The objective of a term's own network is called `<term>.own`. It joins the same backward pass: term and network
    see each other detached.
    """
    model.train()
    sums: dict[str, Tensor] = {}
    chunks = {p: list(zip(*(part.chunk(parts) for part in batch[p]), strict=True)) for p in PEOPLE}
    for pieces in zip(*(chunks[p] for p in PEOPLE), strict=True):
        step = forward(model, dict(zip(PEOPLE, pieces, strict=True)), at, precision, spec.data.encoding)
        share = len(step.z[PEOPLE[0]]) / len(batch[PEOPLE[0]][0])
        values = {name: share * term(step) for name, _, term in terms}
        own = {name: share * value for name, value in own_objectives(terms, step).items()}
        objective = torch.stack([*(weight * values[name] for name, weight, _ in terms), *own.values()]).sum()
        if objective.requires_grad:  # not when every term rests at this step
            objective.backward()
        for name, value in (values | own).items():
            sums[name] = sums.get(name, 0.0) + value.detach()
    groups = model.clip_groups() | {name: list(network.parameters()) for name, network in networks(terms).items()}
    norms = {
        name: nn.utils.clip_grad_norm_(group, spec.optim.clip if spec.optim.clip > 0 else math.inf)
        for name, group in groups.items()
        if any(parameter.grad is not None for parameter in group)
    }
    optimiser.step()
    optimiser.zero_grad()
    return sums, norms


def forward(
    model: Swapper,
    batch: dict[str, tuple[Tensor, Tensor]],
    at: tuple[int, int],
    precision: str,
    encoding: str = "srgb",
) -> Step:
    """Both people through the encoder in one pass, then each through his own decoder.

    `batch`: input and target (B, 4, H, W) of each person; `at`: number of this step and of all.
    """
    inputs = {p: batch[p][0][:, :3] for p in PEOPLE}
    x = torch.cat([inputs[p] for p in PEOPLE]).contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
        latent = model.encode(x)
        z = latent.sample() if model.sample else latent.mu
        by_person = {name: dict(zip(PEOPLE, t.chunk(2), strict=True)) for name, t in
                     (("z", z), ("mu", latent.mu), ("logvar", latent.logvar))}  # fmt: skip
        decoded = {p: model.decode_with_mask(by_person["z"][p], p) for p in PEOPLE}
    target = {p: batch[p][1][:, :3] for p in PEOPLE}
    alpha = {p: batch[p][1][:, 3:] for p in PEOPLE}
    rec, mattes = ({p: decoded[p][0] for p in PEOPLE}, {p: decoded[p][1] for p in PEOPLE})
    mu, logvar, codes = (by_person[name] for name in ("mu", "logvar", "z"))
    return Step(inputs, target, alpha, rec, mu, logvar, codes, *at, model, mattes, precision, encoding)


def choose_precision(optim: OptimSpec, model: Swapper, source: BatchSource, terms: list, device: torch.device) -> str:
    """`optim.precision`, or for "auto" the faster of bf16 and fp32 in a short probe (some CPUs are slow in bf16)."""
    if optim.precision != "auto":
        return optim.precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    batch, kept, best = source.at(0), {k: v.clone() for k, v in model.state_dict().items()}, {}
    for _ in range(2):  # the first round warms the kernels up; batch norm's statistics are put back below
        for precision in ("fp32", "bf16"):
            began = time.perf_counter()
            step = forward(model, batch, (0, 1), precision)
            torch.stack([weight * term(step) for _, weight, term in terms]).sum().backward()
            best[precision] = time.perf_counter() - began
            model.zero_grad(set_to_none=True)
    model.load_state_dict(kept)
    return min(best, key=lambda precision: best[precision])


def write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """history.jsonl, one row a logged step, replaced as a whole so that a reader never sees a torn line."""
    write_atomic(folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history).encode())
