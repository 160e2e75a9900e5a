"""How often verdicts are false on records with a known truth, and how often a large effect is decided.

A verdict is false when it supports what is false or refutes what is true. Truths stand at the margin or just beside
it, where errors are most frequent.
"""

from __future__ import annotations

import numpy as np
import pytest

from harness.claims.simulated import claim, table
from harness.claims.stats import wilson
from harness.claims.verdict import judge

M = "identity_transfer"
AXIS = {"in": "cells", "over": [f"v{i}" for i in range(5)]}
RAMP = np.linspace(0, 1, 5)
DIFFERENCE = {"relation": "difference", "metric": M, "a": "v0", "than": "v1", "by": 0.05, "sign": 1}
EQUIVALENT = {"relation": "equivalent", "metric": M, "a": "v0", "to": "v1", "within": 0.05}
LEVEL = {"relation": "level", "metric": M, "of": "v0", "value": 0.5, "sign": 1}
FALLS = {"relation": "monotone", "metric": M, "direction": "falls", **AXIS}
STEP = {"relation": "step", "metric": M, "between": [9, 36], "sign": -1, **AXIS}
RISING = {"relation": "correlation", "metric": M, "with": "leak_gap", "is": "positive", "within": 0.0, **AXIS}
UNRELATED = {**RISING, "is": "none", "within": 0.3}
NOT_RISING = {**RISING, "is": "not_positive", "within": 0.3}
ALL = [{**DIFFERENCE, "a": f"v{i}", "than": "v4"} for i in range(4)]
FLAT = {M: [0.5] * 5, "leak_gap": [0.5] * 5}
TOGETHER = {name: list(0.6 - 0.1 * RAMP) for name in FLAT}
BOTH = ("supported", "refuted")

# relation, expected values, the verdicts that are false of them: either one exactly at the margin, each on its own
TRUTHS = {
    "difference at its margin": (claim(DIFFERENCE), {M: [0.55, 0.5]}, BOTH),
    "equivalence at its margin": (claim(EQUIVALENT), {M: [0.55, 0.5]}, BOTH),
    "equivalence of equals within nearly nothing": (claim({**EQUIVALENT, "within": 1e-4}), {M: [0.5, 0.5]}, BOTH),
    "level at its margin": (claim(LEVEL), {M: [0.5]}, BOTH),
    "conjunction with one part at its margin": (
        claim(DIFFERENCE, {**DIFFERENCE, "than": "v2"}), {M: [0.8, 0.5, 0.75]}, ("supported",)
    ),
    "conjunction that is true by a hair": (claim(*ALL), {M: [0.55] * 4 + [0.5]}, ("refuted",)),
    "trend where there is none": (claim(FALLS), FLAT, BOTH),
    "trend that is hardly there": (claim(FALLS), {M: list(0.502 - 0.004 * RAMP)}, ("refuted",)),
    "step on a ramp": (claim(STEP), {M: list(0.7 - 0.4 * RAMP)}, ("supported",)),
    "step that is small": (claim(STEP), {M: [0.54, 0.54, 0.46, 0.46, 0.46]}, ("refuted",)),
    "correlation where there is none": (claim(RISING), FLAT, BOTH),
    "no correlation where there is one": (claim(UNRELATED), TOGETHER, ("supported",)),
    "no rising together where it rises": (claim(NOT_RISING), TOGETHER, ("supported",)),
    "no correlation where there is none": (claim(UNRELATED), FLAT, ("refuted",)),
}  # fmt: skip


def verdicts(runs: int, seed: int, means, n: int, *claims, **more) -> list[str]:
    """The first claim's verdict in each of `runs` simulations."""
    rng = np.random.default_rng(seed)
    return [judge(table(rng, means, n, claims, **more))[0].verdict for _ in range(runs)]


def false_rates(name: str, n: int, runs: int, **more) -> list[float]:
    claimed, means, wrong = TRUTHS[name]
    found = verdicts(runs, n, means, n, claimed, **more)
    return [found.count(verdict) / runs for verdict in wrong]


@pytest.mark.long
@pytest.mark.parametrize("n", [3, 4, 6, 10])
@pytest.mark.parametrize("name", TRUTHS)
def test_false_verdicts_stay_at_five_percent(name: str, n: int) -> None:
    runs = 400 if "step" in name else 1200
    for rate in false_rates(name, n, runs):
        assert wilson(round(rate * runs), runs, 0.999)[0] <= 0.05, f"{n} pairs: {rate:.3f}"


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in TRUTHS if "step" not in name])
def test_looking_four_times_adds_no_false_verdicts(name: str) -> None:
    runs = 600
    for rate in false_rates(name, 10, runs, looks=(4, 6, 8, 10)):
        assert wilson(round(rate * runs), runs, 0.999)[0] <= 0.05, f"{rate:.3f}"


@pytest.mark.parametrize("name", ["difference at its margin", "level at its margin", "trend where there is none"])
def test_replicates_of_the_same_people_do_not_count_as_independent(name: str) -> None:
    for rate in false_rates(name, 12, 150, people=3):
        assert wilson(round(rate * 150), 150, 0.999)[0] <= 0.05, f"{rate:.3f}"


@pytest.mark.parametrize(
    ("claimed", "means", "expected"),
    [
        (claim(DIFFERENCE), {M: [0.8, 0.5]}, "supported"),
        (claim(DIFFERENCE), {M: [0.5, 0.7]}, "refuted"),
        (claim(EQUIVALENT), {M: [0.8, 0.5]}, "refuted"),
        (claim({**EQUIVALENT, "within": 0.12}), {M: [0.5, 0.5]}, "supported"),
        (claim(LEVEL), {M: [0.85]}, "supported"),
        (claim(FALLS), {M: list(0.65 - 0.2 * RAMP)}, "supported"),
        (claim(STEP), {M: [0.7, 0.7, 0.4, 0.4, 0.4]}, "supported"),
        (claim(RISING), {name: list(0.7 - 0.4 * RAMP) for name in FLAT}, "supported"),
        (claim(NOT_RISING), {M: list(0.7 - 0.4 * RAMP), "leak_gap": list(0.4 + 0.4 * RAMP)}, "supported"),
    ],
)
def test_a_large_effect_is_decided_by_six_pairs(claimed, means, expected) -> None:
    assert verdicts(20, 1, means, 6, claimed).count(expected) >= 16
