"""The training loop: one for every variant.

Two people, one encoder pass, one decoder each; a weighted list of loss terms, some with a network of their own; one
optimiser whose parameter groups do what several would. To resume, call it again with the same folder: the random
state is re-derived from (seed, stream, step) at every step, so a checkpoint holds only weights, moments and the step.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from harness.compute import Compute
from harness.data.batches import BatchSource
from harness.data.store import FaceStore
from harness.data.streams import stream_seed
from harness.files import write_atomic
from harness.options import build_model
from harness.spec import Spec
from harness.train import checkpoint
from harness.train.optimise import Buffers, build_optimiser, check_finite, lr_factor, restore, state
from harness.train.step import train_step
from harness.train.terms import build_losses, logged, networks
from models.swapper import Swapper

BLOCK = 20  # steps timed together: one reading of the clock a step would cost a device synchronisation
CHECKPOINT_S = 20.0
ONE_THREAD = Compute()


class Interrupted(Exception):
    """The loop was asked to stop; a checkpoint has been written."""


class OutOfMemory(Exception):
    """A single image of each person does not fit."""


class Look(Protocol):
    """A look at the model while it trains, on evaluation mode's terms: it changes nothing that training depends on."""

    def moments(self, steps: int) -> set[int]:
        """After which of `steps` steps to look."""
        ...

    def take(self, model: Swapper, step: int) -> dict[str, float | None]:
        """Look; what is returned joins the history's row of this step."""
        ...


@dataclass
class Trained:
    """What training leaves behind: the model (in eval mode), and what is to be known of the run.

    `seconds` is the time of the steps alone; `own_s` that of the loop's own work beside them, by what it was.
    """

    model: Swapper
    steps: int
    seconds: float = 0.0
    own_s: dict[str, float] = field(default_factory=lambda: {"previews": 0.0, "checkpoints": 0.0, "reports": 0.0})
    images_per_s: list[float] = field(default_factory=list)  # one value for each block of steps, both people counted
    resumed_from: int | None = None
    micro_batch: int | None = None  # set when memory forced accumulation
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Count the time of the block as the loop's own work."""
        began = time.perf_counter()
        yield
        self.own_s[what] += time.perf_counter() - began


def total_steps(spec: Spec, steps_per_epoch: int) -> int:
    """Optimiser steps of a trial: `optim.steps`, or else epochs times steps an epoch."""
    return spec.optim.steps or spec.optim.epochs * steps_per_epoch


def train(
    spec: Spec,
    seed: int,
    store: FaceStore,
    device: torch.device,
    folder: Path,
    *,
    compute: Compute = ONE_THREAD,
    look: Look | None = None,
    report: Callable[..., None] = lambda **_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train one trial to its end, resuming from `folder`/checkpoint when there is one.

    `compute` gives precision and, on a CPU, the threads. `report` receives step, steps, images_per_s, loss; `stop` is
    asked once a step. Raises Diverged, Interrupted and OutOfMemory.
    """
    # Build everything from the seed.
    optim = spec.optim
    if device.type == "cpu":
        torch.set_num_threads(compute.threads)
    source = BatchSource(store, spec.data, optim.batch, seed, device)
    steps = total_steps(spec, source.steps_per_epoch)
    torch.manual_seed(stream_seed(seed, "init", 0))
    model = build_model(spec).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    terms = build_losses(spec, model)
    critics = networks(terms)
    optimiser = build_optimiser(model, optim, device, critics, compute.precision)
    buffers = Buffers(model, *critics.values())
    done = Trained(model, steps)

    # Continue where a checkpoint ends.
    start = 0
    history: list[dict[str, Any]] = []
    kept = checkpoint.load(folder / "checkpoint", compute.identity)
    if kept:
        done.notes += [f"checkpoint passed over: {name}" for name in kept.damaged]
    if kept and kept.meta:
        start, history = restore(kept, model, optimiser, critics)
        done.seconds = kept.meta["seconds"]
        done.resumed_from = start or None

    # The course: when to look, to log, to save.
    moments = look.moments(steps) if look else set()
    log_every = BLOCK * max(1, steps // (100 * BLOCK))
    parts = 1
    saved = time.monotonic()
    mark, mark_step = time.perf_counter(), start

    for number in range(start, steps):
        # Draw the batch, set the pace.
        batch = source.at(number)
        pace = lr_factor(optim, number, steps)
        for group in optimiser.param_groups:
            group["lr"] = group["base_lr"] * pace

        # One optimiser step; in smaller pieces when memory does not suffice.
        buffers.keep()
        while True:
            try:
                torch.manual_seed(stream_seed(seed, "init", number + 1))
                values, norms = train_step(
                    model, terms, optimiser, batch, (number, steps), parts, compute.precision, spec
                )
                break
            except torch.OutOfMemoryError as error:
                optimiser.zero_grad()
                buffers.put_back()
                if parts >= optim.batch:
                    raise OutOfMemory(f"one image of each person does not fit: {error}") from error
                parts = min(2 * parts, optim.batch)
                done.micro_batch = math.ceil(optim.batch / parts)
                done.notes.append(f"out of memory at step {number}: micro-batch {done.micro_batch}, batch unchanged")

        # Is this a moment to pause? On a GPU only then: reading a value waits for the device.
        count = number + 1
        stopping = stop()
        pausing = count % BLOCK == 0 or count in moments or count == steps or stopping
        if pausing or device.type == "cpu":
            check_finite(values, norms, number)
        if not pausing:
            continue

        # Take the time of the block.
        seconds = time.perf_counter() - mark
        done.seconds += seconds
        if count - mark_step == BLOCK:
            done.images_per_s.append(2 * optim.batch * BLOCK / seconds)

        # Log a row of the history, with a look at the model where one is due.
        total = sum(weight * float(values[name]) for name, weight, _ in terms)
        if count % log_every == 0 or count in moments:
            row: dict[str, Any] = {"step": count, "images": 2 * optim.batch * count, "seconds": round(done.seconds, 3)}
            row["loss"] = {name: float(v) for name, v in (values | logged(terms)).items()}
            row["total"] = total
            row["grad_norm"] = {name: float(v) for name, v in norms.items()}
            row["lr"] = optim.lr * pace
            if look and count in moments:
                with done.timed("previews"):
                    row |= look.take(model, count)
            history.append(row)

        # Save a checkpoint.
        if stopping or count == steps or time.monotonic() - saved > CHECKPOINT_S:
            with done.timed("checkpoints"):
                meta = {"step": count, "seconds": done.seconds, "compute": compute.identity, "history": history}
                checkpoint.save(folder / "checkpoint", state(model, optimiser, critics), meta)
                write_history(folder, history)
            saved = time.monotonic()

        # Tell how far it is, and leave when asked to.
        with done.timed("reports"):
            rate = done.images_per_s[-1] if done.images_per_s else None
            report(step=count, steps=steps, loss=total, images_per_s=rate)
        if stopping and count < steps:
            raise Interrupted(f"stopped after step {count} of {steps}")
        mark, mark_step = time.perf_counter(), count

    model.eval()
    return done


def write_history(folder: Path, history: list[dict[str, Any]]) -> None:
    """history.jsonl, one row for each logged step, replaced as a whole so that a reader never sees a torn line."""
    write_atomic(folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history).encode())
