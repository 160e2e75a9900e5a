"""Timed gates of this repository: `pytest -m timed` on quiet cores."""

from __future__ import annotations

import time

import torch
from frozen_step import FrozenStep

from harness.bench.step import StepArm
from harness.gates.cost import LOSSES
from harness.spec import Spec
from models.variants import grid


def test_the_training_step_is_not_slower_than_the_frozen_one(speed_gate) -> None:
    spec = Spec.model_validate(
        {"model": {"variant": "grid", "width": 32}, "loss": LOSSES, "optim": {"batch": 8, "lr": 1.5e-3}}
    )
    ours = StepArm(spec, torch.device("cpu"), "bf16")
    frozen = FrozenStep(grid(64, width=32), {p: x for p, (x, _) in ours.batch.items()})
    # The loop also logs norms, keeps buffers for a retry and serves any number of terms: a tenth is its allowance.
    speed_gate(ours, frozen, at_most=1.1, clock=time.process_time)
