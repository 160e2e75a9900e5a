"""The speed gate's answer: right when it is clear, late when it is not, and falsely failing no oftener than it says."""

from __future__ import annotations

import numpy as np
import pytest
from test_bench import Hands

from harness.claims.blocks import BLOCK
from harness.claims.looks import nominal
from harness.claims.stats import wilson
from harness.gates.decision import LEVEL, STAGES, bounded, decide


@pytest.mark.parametrize(
    ("seconds", "outcome", "pairs"),
    [((1.0,), "pass", 20), ((1.2,), "fail", 20), ((1.0, 1.0, 1.2, 1.2), "inconclusive", 80)],
)
def test_a_decision_waits_until_the_bounds_answer(seconds: tuple[float, ...], outcome: str, pairs: int) -> None:
    hands = Hands()
    found = decide(hands.arm("a", *seconds), hands.arm("b", 1.0), 1.1, clock=lambda: hands.now)
    assert (found.outcome, found.ratio.pairs) == (outcome, pairs)


def test_stages_are_multiples_of_a_block() -> None:
    with pytest.raises(ValueError, match="rising multiples of 5"):
        decide(lambda: None, lambda: None, 1.1, stages=(8, 16))


def test_a_single_disturbed_pair_moves_the_ratio_little() -> None:
    rng = np.random.default_rng(0)
    pairs = [(float(np.exp(rng.normal(0, 0.02))), 1.0) for _ in range(40)]
    assert bounded([*pairs[:-1], (9.0, 1.0)], 0.025).value == pytest.approx(bounded(pairs, 0.025).value, rel=0.01)


def false_failures(correlation: float, runs: int, seed: int, ratio: float = 1.0) -> int:
    """How many runs of a gate fail whose true ratio stands at its threshold (by default)."""
    rng, levels, failed = np.random.default_rng(seed), nominal([s // BLOCK for s in STAGES], LEVEL), 0
    for _ in range(runs):
        noise = rng.normal(0, 0.05, STAGES[-1])
        for i in range(1, noise.size):
            noise[i] = correlation * noise[i - 1] + np.sqrt(1 - correlation**2) * noise[i]
        pairs = [(ratio * float(np.exp(value)), 1.0) for value in noise]
        for stage, level in zip(STAGES, levels, strict=True):
            found = bounded(pairs[:stage], level)
            if found.high <= 1.0 or found.low > 1.0:
                failed += found.low > 1.0
                break
    return failed


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_three_looks_at_the_threshold_fail_falsely_within_the_level(correlation: float) -> None:
    assert wilson(false_failures(correlation, 400, 1), 400, 0.999)[0] <= LEVEL


@pytest.mark.long
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.5])
def test_false_failures_stay_within_the_level_over_many_runs(correlation: float) -> None:
    assert wilson(false_failures(correlation, 8000, 2), 8000, 0.99)[0] <= LEVEL


def test_a_tenth_slower_than_the_threshold_is_found_through_correlated_noise() -> None:
    assert false_failures(0.5, 100, 3, ratio=1.1) >= 95
