"""What the quick scale's training step costs, counted: no clock, no noise. See docs/gates.md."""

from __future__ import annotations

import pytest

from harness.bench.counts import count_step
from harness.gates.cost import LOSSES
from harness.spec import Spec

QUICK = {"size": 64, "batch": 8, "width": 32, "channels": 128}


@pytest.mark.parametrize("upsample", ["resize", "convt", "pixelshuffle"])
def test_a_step_costs_what_was_reviewed(cost_gate, upsample: str) -> None:
    # Counting fails where anything in a step makes the host wait for the device.
    counts = cost_gate.variant("grid", grid=3, upsample=upsample, breaks=upsample == "resize", **QUICK)
    assert counts.get("graph_breaks", 0) == 0


def test_the_grid_changes_neither_parameters_nor_operators(cost_gate) -> None:
    large = cost_gate.variant("grid", grid=7, upsample="resize", **QUICK)
    model = {"variant": "grid", "grid": 3, "upsample": "resize", "width": 32, "channels": 128}
    small = count_step(Spec.model_validate({"model": model, "loss": LOSSES, "optim": {"batch": 8}}))
    assert (large["parameters"], large["operators"]) == (small.parameters, small.operators)
