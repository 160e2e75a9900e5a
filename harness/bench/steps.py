"""Training steps of several variants, timed in turns in one process: what a claim about speed rests on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import torch

from harness.bench.step import StepArm, synchronise
from harness.bench.timing import Watch, interleaved
from harness.compute import choose_compute
from harness.ledger import environment
from harness.spec import Spec

STEPS = 80  # of each variant


def time_steps(specs: Mapping[str, Spec], device: torch.device, steps: int = STEPS) -> dict[str, Any]:
    """{"seconds": {variant: [one step after the other]}, ...}, JSON values only.

    The arms take turns step by step, every second round in the opposite order, so that what else the machine does
    falls on all alike. Resident synthetic batches: the arithmetic alone. `void` names what disturbed the readings.
    """
    arms = {name: StepArm(spec, device, choose_compute(spec, device.type).precision) for name, spec in specs.items()}

    def step(arm: StepArm) -> None:
        arm()
        synchronise(device)

    with Watch(torch.get_num_threads(), device.type == "cuda") as watch:
        calls = {name: (lambda arm=arm: step(arm)) for name, arm in arms.items()}
        began = time.perf_counter()
        seconds = interleaved(calls, steps, warmup=5)
        took = time.perf_counter() - began
    return {
        "kind": "steps",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "took_s": round(took, 1),
        "void": watch.void(seconds),
        "environment": environment.capture(),
        "seconds": {name: [float(f"{value:.6g}") for value in values] for name, values in seconds.items()},
    }
