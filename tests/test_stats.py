"""Intervals keep their coverage, tests know their smallest p, and a ramp is not called a step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.claims import stats
from harness.claims.transition import STEP, transition_fit

CELLS = np.array([9.0, 16.0, 25.0, 36.0, 49.0])


def test_hierarchical_bootstrap_keeps_the_spread_between_replicates() -> None:
    rng = np.random.default_rng(0)
    groups = [np.full(400, mean) + rng.normal(0, 0.01, 400) for mean in (0.0, 1.0, 2.0)]
    spread = stats.hierarchical_bootstrap(groups, np.random.default_rng(1), 4000).std()
    assert spread == pytest.approx(math.sqrt(2 / 3) / math.sqrt(3), rel=0.05)  # pooling the frames would give 0.02


def test_hierarchical_bootstrap_refuses_an_empty_replicate() -> None:
    with pytest.raises(ValueError, match="at least one"):
        stats.hierarchical_bootstrap([np.ones(3), np.empty(0)], np.random.default_rng(0))


def test_interval_is_students_t_when_images_do_not_vary() -> None:
    groups = [np.full(8, value) for value in (0.1, 0.4, 0.7)]
    interval = stats.mean_interval(groups, np.random.default_rng(2), draws=40_000)
    half = 4.3027 * 0.3 / math.sqrt(3)
    assert interval.mean == pytest.approx(0.4)
    assert interval.high - interval.mean == pytest.approx(half, rel=0.02)
    assert (interval.n, interval.images) == (3, 24)


@pytest.mark.parametrize("replicates", [3, 6])
def test_interval_covers_the_truth_at_least_as_often_as_it_says(replicates: int) -> None:
    rng, covered = np.random.default_rng(replicates), 0
    for trial in range(300):
        groups = [rng.normal(rng.normal(0, 0.2), 0.2, 24) for _ in range(replicates)]
        interval = stats.mean_interval(groups, np.random.default_rng(trial), draws=200)
        covered += interval.low <= 0 <= interval.high
    assert covered / 300 >= 0.93


def test_pairing_removes_what_the_images_share() -> None:
    rng = np.random.default_rng(3)
    base = [rng.normal(offset, 1.0, 64) for offset in (-2, 0, 2)]
    other = [images + 0.1 + rng.normal(0, 0.01, 64) for images in base]
    paired = stats.paired_interval(other, base, np.random.default_rng(4))
    assert paired.excludes_zero
    assert paired.mean == pytest.approx(0.1, abs=0.01)
    assert not stats.mean_interval(other, np.random.default_rng(5)).excludes_zero


def test_pairing_asks_for_the_same_replicates_on_both_sides() -> None:
    with pytest.raises(ValueError, match="same replicates"):
        stats.paired_differences([np.ones(2)], [])


def test_undefined_images_are_left_out_and_undefined_replicates_do_not_count() -> None:
    groups = [np.array([1.0, np.nan, 3.0]), np.array([2.0]), np.array([np.nan])]
    interval = stats.mean_interval(groups, np.random.default_rng(0))
    assert (interval.mean, interval.n, interval.images) == (2.0, 2, 3)


def test_one_replicate_has_a_mean_and_no_interval() -> None:
    interval = stats.mean_interval([np.arange(9.0)], np.random.default_rng(0))
    assert interval.mean == 4.0
    assert not interval.known
    assert math.isnan(stats.mean_interval([], np.random.default_rng(0)).mean)


def test_three_replicates_never_reach_p_of_five_percent_and_say_so() -> None:
    result = stats.sign_flip([1.0, 1.1, 0.9], np.random.default_rng(0))
    assert result.p == result.attainable == 0.25
    assert not result.decidable
    assert result.sentence() == "sign-flip p cannot be below 0.25 with 3 replicates"
    assert stats.sign_flip([1.0] * 6, np.random.default_rng(0)).p == pytest.approx(2 / 64)


def test_sign_flip_rejects_a_true_null_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(7)
    rejected = sum(stats.sign_flip(rng.normal(0, 1, 8), rng).p <= 0.05 for _ in range(400))
    assert rejected / 400 <= 0.075


def test_sign_flip_of_many_replicates_is_sampled_and_never_zero() -> None:
    result = stats.sign_flip([1.0] * 20, np.random.default_rng(0), draws=2000)
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
    p = [0.03, 0.001, math.nan, 0.02, 0.3]
    adjusted, levels = stats.holm(p)
    assert adjusted[:2] == [pytest.approx(0.06), pytest.approx(0.004)]
    assert math.isnan(adjusted[2]) and math.isnan(levels[2])
    assert adjusted[3:] == [pytest.approx(0.06), pytest.approx(0.3)]
    assert levels[1] == 0.05 / 4
    assert levels[0] == levels[3] == levels[4] == 0.05 / 3  # 0.02 is the first to fail
    known = [i for i in range(5) if i != 2]
    assert all((p[i] <= levels[i]) == (adjusted[i] <= 0.05) for i in known)


def test_wilson_interval_is_the_published_one_and_stays_inside() -> None:
    low, high = stats.wilson(81, 263)
    assert (low, high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))  # Newcombe 1998, method 3
    assert stats.wilson(0, 5)[0] == 0 and stats.wilson(5, 5)[1] == 1
    with pytest.raises(ValueError, match="successes"):
        stats.wilson(3, 2)


def test_probability_of_improvement_counts_ties_half_and_weighs_replicates_alike() -> None:
    wins = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0]), np.array([-1.0, np.nan])]
    found = stats.probability_of_improvement(wins, np.random.default_rng(0))
    assert (found.mean, found.n, found.images) == (0.5, 3, 7)
    mixed = [np.array([1.0, -1.0] * 40)] * 3
    interval = stats.probability_of_improvement(mixed, np.random.default_rng(0))
    assert 0.4 < interval.low < 0.5 < interval.high < 0.6


def test_spread_between_seeds_needs_two_seeds_of_one_pair_and_ignores_the_pairs_levels() -> None:
    assert not stats.spread_between_seeds({(0, "far"): 0.8, (1, "mid"): 0.4, (2, "near"): 0.5}).known
    floor = stats.spread_between_seeds({(0, "far"): 0.80, (3, "far"): 0.82, (1, "mid"): 0.4, (4, "mid"): 0.42})
    assert (floor.value, floor.repeats) == (pytest.approx(0.02 / math.sqrt(2)), 2)


def test_interval_and_p_of_an_estimate_agree() -> None:
    found = stats.estimate([np.array([v, v + 0.1]) for v in (0.2, 0.5, 0.4)], np.random.default_rng(0))
    interval = found.interval(1 - found.p(0.1))
    assert interval.low == pytest.approx(0.1)
    assert stats.Estimate(1.0, 0.0, 3, 3).p(0.5) == 0 and stats.Estimate(1.0, 0.0, 3, 3).p(1.0) == 1
