"""One rule for a metric's replicates: numbers, per-image values under them, and why a replicate has none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from harness.ledger.records import Record
from harness.ledger.table import Outcome, Table, Variant

RECORD = Record(name="a-s0", label="a", seed=0, status="done", scores={"leak_gap": {"mean": 0.5, "n": 4}})


def outcome(seed: int = 0, status: str = "done", record: Record | None = RECORD, **more: object) -> Outcome:
    return Outcome(f"a-s{seed}", "a", {}, seed, f"p{seed:04d}", status, Path(), record, **more)  # type: ignore[arg-type]


def test_the_recorded_mean_is_the_number_and_images_count_only_where_it_is_their_mean() -> None:
    plain = outcome(arrays={"leak_gap": np.array([0.4, 0.6, np.nan])})
    assert plain.mean("leak_gap") == 0.5 and plain.images("leak_gap").size == 3
    ratio_of_means = outcome(arrays={"leak_gap": np.array([0.2, 0.6])})
    assert ratio_of_means.mean("leak_gap") == 0.5 and ratio_of_means.images("leak_gap").size == 0
    assert math.isnan(plain.mean("unknown")) and plain.images("unknown").size == 0


def test_a_replicate_without_a_number_says_why() -> None:
    invalid = Record(name="a-s1", label="a", seed=1, status="done", invalid={"leak_gap": "needs ground truth"})
    lost = outcome(2, "diverged", None)
    trials = (outcome(), outcome(1, record=invalid), lost, outcome(3, "missing", None))
    found = Variant("a", {}, trials).replicates("leak_gap")
    assert found.means == {(0, "p0000"): 0.5}
    assert found.undefined == {(1, "p0001"): "needs ground truth"}
    assert found.unfinished == {(2, "p0002"): "diverged", (3, "p0003"): "not run yet"}
    assert not Variant("a", {}, trials[1:]).replicates("leak_gap")


def test_a_training_that_diverged_counts_as_such_and_as_nothing_else() -> None:
    trials = (outcome(), outcome(1, "diverged", None), outcome(2, "oom", None))
    found = Variant("a", {}, trials).replicates("diverged")
    assert found.means == {(0, "p0000"): 0.0, (1, "p0001"): 1.0}
    assert found.unfinished == {(2, "p0002"): "oom"}


def history(values: list[float]) -> tuple[dict[str, float], ...]:
    return tuple({"step": 10 * k, "total": value} for k, value in enumerate(values))


def test_roughness_is_the_spread_of_a_losss_steps_and_not_its_fall() -> None:
    falling = outcome(history=history([math.exp(-0.1 * k) for k in range(40)]))
    assert falling.mean("loss_roughness") == pytest.approx(0.0, abs=1e-9)
    zigzag = outcome(history=history([math.exp(-0.1 * k + 0.05 * (-1) ** k) for k in range(40)]))
    assert zigzag.mean("loss_roughness") == pytest.approx(10.0, rel=0.1)  # steps of +-10 % about the fall
    assert math.isnan(outcome(history=history([1.0] * 9)).mean("loss_roughness"))


def test_the_first_replicates_are_those_of_the_first_seeds_of_the_plan() -> None:
    variant = Variant("a", {}, tuple(outcome(seed) for seed in (7, 3, 5)))
    table = Table(Path("s"), {}, (variant,), 0)
    assert table.seeds == [7, 3, 5]
    assert [trial.seed for trial in table.first(2).trials] == [7, 3]
