"""How often verdicts are false on records with a known truth, and how often a large effect is decided.

A verdict is false when it supports what is false or refutes what is true. Truths stand at the margin or just beside
it, where errors are most frequent.
"""

from __future__ import annotations

import numpy as np
import pytest
from simulated_claims import claim, verdicts

from harness.claims.stats import wilson

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
ALL = [{**DIFFERENCE, "a": f"v{i}", "than": "v4"} for i in range(4)]
FLAT = {M: [0.5] * 5, "leak_gap": [0.5] * 5}

# relation, expected values, is it true of them (None: it stands exactly at the margin, so that any verdict is false)
TRUTHS = {
    "difference at its margin": (claim(DIFFERENCE), {M: [0.55, 0.5]}, None),
    "equivalence at its margin": (claim(EQUIVALENT), {M: [0.55, 0.5]}, None),
    "level at its margin": (claim(LEVEL), {M: [0.5]}, None),
    "conjunction with one part at its margin": (
        claim(DIFFERENCE, {**DIFFERENCE, "than": "v2"}), {M: [0.8, 0.5, 0.75]}, False
    ),
    "conjunction that is true by a hair": (claim(*ALL), {M: [0.55] * 4 + [0.5]}, True),
    "trend where there is none": (claim(FALLS), {M: [0.5] * 5}, False),
    "trend that is hardly there": (claim(FALLS), {M: list(0.502 - 0.004 * RAMP)}, True),
    "step on a ramp": (claim(STEP), {M: list(0.7 - 0.4 * RAMP)}, False),
    "step that is small": (claim(STEP), {M: [0.54, 0.54, 0.46, 0.46, 0.46]}, True),
    "correlation where there is none": (claim(RISING), FLAT, False),
    "no correlation where there is one": (claim(UNRELATED), {name: list(0.6 - 0.1 * RAMP) for name in FLAT}, False),
    "no correlation where there is none": (claim(UNRELATED), FLAT, True),
}  # fmt: skip


def false_rate(name: str, n: int, runs: int) -> float:
    claimed, means, truth = TRUTHS[name]
    found = verdicts(runs, n, means, n, claimed)
    wrong = {None: ("supported", "refuted"), True: ("refuted",), False: ("supported",)}[truth]
    return sum(verdict in wrong for verdict in found) / runs


@pytest.mark.parametrize("name", TRUTHS)
def test_at_most_five_percent_of_verdicts_are_false(name: str) -> None:
    runs = 75 if "step" in name else 250
    for n in (3, 6):
        assert false_rate(name, n, runs) <= 0.05, f"{n} replicates"


@pytest.mark.long
@pytest.mark.parametrize("name", TRUTHS)
def test_false_verdicts_stay_at_five_percent_over_many_simulations(name: str) -> None:
    for n in (3, 6):
        rate = false_rate(name, n, 2000)
        assert wilson(round(rate * 2000), 2000)[0] <= 0.05, f"{n} replicates: {rate:.3f}"


def test_a_suite_of_true_nulls_errs_in_at_most_five_percent_of_its_runs() -> None:
    from simulated_claims import table

    from harness.claims.verdict import judge

    rng, wrong = np.random.default_rng(0), 0
    claims = [claim({**DIFFERENCE, "a": f"v{i}", "by": 0.0, "than": "v4"}, id=f"C{i}") for i in range(4)]
    for _ in range(150):
        wrong += any(v.verdict != "undecided" for v in judge(table(rng, {M: [0.5] * 5}, 6, claims)))
    assert wrong / 150 <= 0.05


@pytest.mark.parametrize(
    ("claimed", "means", "expected"),
    [
        (claim(DIFFERENCE), {M: [0.8, 0.5]}, "supported"),
        (claim(DIFFERENCE), {M: [0.5, 0.7]}, "refuted"),
        (claim(EQUIVALENT), {M: [0.8, 0.5]}, "refuted"),
        (claim(LEVEL), {M: [0.85]}, "supported"),
        (claim(FALLS), {M: list(0.65 - 0.2 * RAMP)}, "supported"),
        (claim(STEP), {M: [0.7, 0.7, 0.4, 0.4, 0.4]}, "supported"),
        (claim(RISING), {name: list(0.7 - 0.4 * RAMP) for name in FLAT}, "supported"),
    ],
)
def test_a_large_effect_is_decided_by_six_replicates(claimed, means, expected) -> None:
    found = verdicts(40, 1, means, 6, claimed)
    assert found.count(expected) >= 34
