"""One training step and one inference on resident synthetic batches: the kernels alone, without data or ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness.bench.timing import Summary
from harness.options import build_model
from harness.spec import Spec
from harness.train.optimise import build_optimiser
from harness.train.step import train_step
from harness.train.terms import build_losses, networks
from models.swapper import PEOPLE

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class StepArm:
    """The step of the training loop on one resident batch; calling it does one step and does not wait for the device.

    precision: "bf16" or "fp32".
    """

    def __init__(self, spec: Spec, device: torch.device, precision: str, channels_last: bool = True):
        self.spec, self.precision, self.number = spec, precision, 0
        torch.manual_seed(0)
        with device:
            self.model = build_model(spec)
            if channels_last:
                for parameter in self.model.parameters():
                    if parameter.dim() == 4:
                        parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
            self.terms = build_losses(spec, self.model)
            self.optimiser = build_optimiser(self.model, spec.optim, device, networks(self.terms), precision)
            shape = (spec.optim.batch, 4, spec.data.size, spec.data.size)
            pictures = {person: torch.rand(shape) for person in PEOPLE}
        self.batch = {person: (x, x) for person, x in pictures.items()}

    def __call__(self) -> dict[str, Tensor]:
        at = (self.number, max(self.number + 1, self.spec.optim.steps or 1000))
        self.number += 1
        values, _ = train_step(self.model, self.terms, self.optimiser, self.batch, at, 1, self.precision, self.spec)
        return values

    @property
    def images(self) -> int:
        """Pictures a step, both people counted."""
        return 2 * self.spec.optim.batch


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that was issued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def latency(
    arm: StepArm, device: torch.device, readings: int = 15, batches: Iterable[int] = BATCHES, budget_s: float = 2.0
) -> dict[str, Any]:
    """Milliseconds of encode, decode and swap at batch 1, and the batch with the most swaps a second.

    `budget_s` bounds the search for the best batch: it ends when twice the batch is no longer faster.
    """
    model, size = arm.model.eval(), arm.spec.data.size

    def pictures(count: int) -> Tensor:
        return torch.rand(count, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)

    def read(call: Callable[[], object], count: int) -> list[float]:
        times = []
        for k in range(count + 2):
            synchronise(device)
            began = time.perf_counter()
            call()
            synchronise(device)
            if k >= 2:
                times.append(time.perf_counter() - began)
        return times

    with torch.autocast(device.type, torch.bfloat16, enabled=arm.precision == "bf16"):
        one = pictures(1)
        z = model.encode(one).mu
        calls: dict[str, Callable[[], object]] = {
            "encode": lambda: model.encode(one),
            "decode": lambda: model.decode(z, PEOPLE[1]),
            "swap": lambda: model.swap(one, PEOPLE[1]),
        }
        found: dict[str, Any] = {
            f"{name}_ms": Summary.of([1e3 * t for t in read(call, readings)]).to_dict() for name, call in calls.items()
        }
        best, rate, began = 0, Summary(0.0, 0.0, 0.0, 0), time.perf_counter()
        for count in batches:
            tried = Summary.of([count / t for t in read(partial(model.swap, pictures(count), PEOPLE[1]), 5)])
            if tried.median <= rate.median:
                break
            best, rate = count, tried
            if time.perf_counter() - began > budget_s:
                break
    return {**found, "best_batch": best, "swaps_per_s": rate.to_dict()}
