"""Intervals keep their coverage, tests know their smallest p, and a ramp is not called a step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from harness.claims import stats
from harness.claims.transition import STEP, transition_fit

CELLS = np.array([9.0, 16.0, 25.0, 36.0, 49.0])


def test_interval_is_students_t_over_pairs() -> None:
    interval = stats.estimate([0.1, 0.4, 0.7]).interval()
    half = 4.3027 * 0.3 / math.sqrt(3)
    assert (interval.mean, interval.n, interval.over) == (pytest.approx(0.4), 3, "pair")
    assert interval.high - interval.mean == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize("n", [3, 4, 6, 10])
def test_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    draws = np.random.default_rng(n).normal(0, 0.2, (4000, n))
    found = [stats.estimate(row).interval() for row in draws]
    assert np.mean([i.low <= 0 <= i.high for i in found]) == pytest.approx(0.95, abs=0.012)


def test_replicates_of_one_pair_are_averaged_and_one_pair_alone_counts_its_seeds() -> None:
    found, over = stats.units({(0, "p1"): 1.0, (1, "p2"): 2.0, (2, "p1"): 3.0})
    assert (list(found), over) == ([2.0, 2.0], "pair")
    found, over = stats.units({(0, "own"): 1.0, (1, "own"): 3.0})
    assert (list(found), over) == ([1.0, 3.0], "seed")


def test_differences_are_those_of_the_replicates_that_both_have() -> None:
    assert stats.differences({(0, "p1"): 3.0, (1, "p2"): 1.0}, {(0, "p1"): 1.0}) == {(0, "p1"): 2.0}


def test_what_is_undefined_does_not_count() -> None:
    found = stats.estimate([1.0, math.nan, 3.0])
    assert (found.mean, found.n) == (2.0, 2)


def test_one_value_has_a_mean_and_no_interval() -> None:
    found = stats.estimate([4.0])
    assert found.mean == 4.0
    assert not found.interval().known and math.isnan(found.above(0.0)) and math.isnan(found.outside(0.1))
    assert math.isnan(stats.estimate([]).mean)


def test_bounds_stay_inside_the_range_of_the_quantity() -> None:
    found = stats.estimate([0.97, 0.99, 0.85])
    assert found.bounds(0.95)[1] > 1
    assert found.clipped(0.0, 1.0, 0.95) == (found.bounds(0.95)[0], 1.0)


def test_three_pairs_never_reach_p_of_five_percent_and_say_so() -> None:
    result = stats.sign_flip([1.0, 1.1, 0.9], np.random.default_rng(0))
    assert result.p == result.attainable == 0.25
    assert result.sentence() == "sign-flip p cannot be below 0.25 with 3 pairs"
    assert stats.sign_flip([1.0] * 6, np.random.default_rng(0)).p == pytest.approx(2 / 64)
    assert stats.sign_flip([1.0, 1.1, 0.9], np.random.default_rng(0), "greater").p == 0.125


def test_sign_flip_rejects_a_true_null_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(7)
    rejected = sum(stats.sign_flip(rng.normal(0, 1, 8), rng).p <= 0.05 for _ in range(400))
    assert rejected / 400 <= 0.075


def test_sign_flip_of_many_units_is_sampled_and_never_zero() -> None:
    result = stats.sign_flip([1.0] * 20, np.random.default_rng(0))
    assert 0 < result.p < 0.01


def test_interquartile_mean_ignores_both_tails() -> None:
    assert stats.interquartile_mean(np.array([-100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 900.0])) == 3.5
    assert math.isnan(stats.interquartile_mean(np.array([np.nan])))


def test_generators_depend_on_their_names_only() -> None:
    assert stats.generator("a", "b").random() == stats.generator("a", "b").random()
    assert stats.generator("a", "b").random() != stats.generator("b", "a").random()


def _share_of_steps(curve, noise: float, runs: int, seed: int) -> float:
    rng, found = np.random.default_rng(seed), 0
    for _ in range(runs):
        rows = [curve(CELLS) + rng.normal(0, 0.1) + rng.normal(0, noise, 5) for _ in range(3)]
        keys = np.repeat(["far", "mid", "near"], 5)
        found += transition_fit(np.tile(CELLS, 3), np.concatenate(rows), keys).verdict == STEP
    return found / runs


def _share(cells: np.ndarray) -> np.ndarray:
    return np.log(cells / 9) / np.log(49 / 9)


def test_ramps_are_called_steps_in_at_most_five_percent() -> None:
    ramps = [
        lambda c: 0 * c,
        _share,
        lambda c: (c - 9) / 40,
        lambda c: 1 - np.exp(-2 * _share(c)),
        lambda c: 1 / (1 + np.exp(-(_share(c) - 0.5) / 0.2)),
    ]
    rates = [_share_of_steps(r, noise, 6, 10 * i) for i, r in enumerate(ramps) for noise in (0.03, 0.12)]
    assert np.mean(rates) <= 0.05


@pytest.mark.long
def test_ramps_of_many_shapes_are_called_steps_in_at_most_five_percent() -> None:
    for index, ramp in enumerate((lambda c: 0 * c, _share, lambda c: (c - 9) / 40, lambda c: 1 / c)):
        for noise in (0.02, 0.06, 0.15):
            assert _share_of_steps(ramp, noise, 100, 100 + index) <= 0.05


def test_a_step_inside_the_range_is_found_and_placed() -> None:
    assert _share_of_steps(lambda c: (c > 20) * 1.0, 0.08, 8, 1) == 1
    assert _share_of_steps(lambda c: 1.0 - (c > 30), 0.08, 8, 2) == 1
    rng = np.random.default_rng(5)
    fit = transition_fit(np.tile(CELLS, 3), np.tile((CELLS > 20) * 1.0, 3) + rng.normal(0, 0.03, 15))
    low, high = fit.midpoint_interval
    assert 15 <= low <= high <= 26  # any midpoint between the grids of 16 and 25 cells is this step
    assert fit.bic_gain > 10
    assert fit.best is not None and fit.best.name == "logistic"


def test_four_cell_counts_are_too_few_for_a_verdict() -> None:
    fit = transition_fit([9, 16, 25, 36] * 3, [0, 0, 1, 1] * 3)
    assert fit.verdict != STEP
    assert "at least 5" in fit.reason


def test_shared_replicate_offsets_do_not_hide_a_step() -> None:
    offsets = np.repeat([-3.0, 0.0, 3.0], 5)
    noise = np.random.default_rng(0).normal(0, 0.05, 15)
    values = np.tile((CELLS > 20) * 1.0, 3) + offsets + noise
    assert transition_fit(np.tile(CELLS, 3), values, offsets).verdict == STEP
    assert transition_fit(np.tile(CELLS, 3), values).verdict != STEP


def test_fitted_curves_go_through_noiseless_data() -> None:
    values = 0.2 + 0.1 * np.log(CELLS)
    fit = transition_fit(CELLS, values)
    line = next(c for c in fit.curves if c.name == "linear in log cells")
    assert np.allclose(line(CELLS), values, atol=1e-6)


def test_holm_steps_down_and_its_levels_decide_as_its_adjusted_p() -> None:
    p = [0.03, 0.001, math.nan, 0.012, 0.3]
    adjusted, levels = stats.holm(p)
    assert adjusted == [pytest.approx(value) for value in (0.09, 0.005, 1.0, 0.048, 0.6)]
    assert levels == [0.05 / 3, 0.05 / 5, 0.05 / 3, 0.05 / 4, 0.05 / 3]  # what is unknown keeps its place: it is last
    assert all((value <= level) == (a <= 0.05) for value, level, a in zip(p, levels, adjusted, strict=True))


def test_wilson_interval_is_the_published_one_and_stays_inside() -> None:
    low, high = stats.wilson(81, 263)
    assert (low, high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))  # Newcombe 1998, method 3
    assert stats.wilson(0, 5)[0] == 0 and stats.wilson(5, 5)[1] == 1
    with pytest.raises(ValueError, match="greater than n"):
        stats.wilson(3, 2)


def test_probability_of_improvement_counts_ties_half_and_weighs_replicates_alike() -> None:
    wins = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0]), np.array([-1.0, np.nan])]
    found = stats.probability_of_improvement(wins, np.random.default_rng(0))
    assert (found.mean, found.n, found.images) == (0.5, 3, 7)
    mixed = [np.array([1.0, -1.0] * 40)] * 3
    interval = stats.probability_of_improvement(mixed, np.random.default_rng(0))
    assert 0.4 < interval.low < 0.5 < interval.high < 0.6


def test_spread_between_seeds_needs_two_of_one_pair_and_ignores_the_pairs_levels() -> None:
    assert math.isnan(stats.seed_spread({(0, "p1"): 0.8, (1, "p2"): 0.4, (2, "p3"): 0.5}))
    found = stats.seed_spread({(0, "p1"): 0.80, (3, "p1"): 0.82, (1, "p2"): 0.4, (4, "p2"): 0.42})
    assert found == pytest.approx(0.02 / math.sqrt(2))


def test_bounds_and_one_sided_p_of_an_estimate_agree() -> None:
    found = stats.estimate([0.2, 0.5, 0.4])
    assert found.bounds(1 - found.above(0.1))[0] == pytest.approx(0.1)
    assert found.bounds(1 - found.below(0.6))[1] == pytest.approx(0.6)
    assert found.above(0.1) == pytest.approx(1 - found.below(0.1))
    exact = stats.Estimate(1.0, 0.0, 3)
    assert (exact.above(0.5), exact.below(0.5), exact.above(1.0)) == (0.0, 1.0, 1.0)


def test_the_p_of_lying_outside_is_two_sided_for_no_margin_and_one_sided_for_a_wide_one() -> None:
    found = stats.estimate([0.2, 0.5, 0.4])
    assert found.outside(0.0) == pytest.approx(2 * found.above(0.0))
    far = stats.estimate([10.2, 10.5, 10.4])
    assert far.outside(9.0) == pytest.approx(far.above(9.0), rel=0.01)
    assert found.inside(0.9) == pytest.approx(found.below(0.9))


def test_interval_of_a_rate_is_wilsons() -> None:
    for successes, n, confidence in ((0, 5, 0.95), (5, 5, 0.9), (3, 17, 0.999), (128, 200, 0.95)):
        found = scipy.stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
        assert stats.wilson(successes, n, confidence) == pytest.approx((found.low, found.high))
