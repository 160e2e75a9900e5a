"""Looks while a run goes on: the boundary is the published one, and all looks together err no more than one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.claims.looks import nominal, overall, spent
from harness.claims.schedule import LOOKS, looks_up_to


def test_boundaries_of_students_t_are_the_published_ones() -> None:
    """Two-sided 5 % at 4, 6, 8, 10 values: 4.12, 3.60, 3.23, 3.02 in 400,000 simulated null runs."""
    found = [stats.t.isf(level, n - 1) for level, n in zip(nominal(LOOKS, 0.025), LOOKS, strict=True)]
    assert found == pytest.approx([4.12, 3.60, 3.23, 3.02], abs=0.025)


def test_the_first_look_spends_what_its_share_of_the_pairs_allows_and_one_look_spends_all() -> None:
    assert nominal(LOOKS, 0.05)[0] == pytest.approx(0.05 * math.log(1 + (math.e - 1) * 0.4), rel=1e-4)
    assert nominal((7,), 0.05) == (0.05,)


@pytest.mark.parametrize("alpha", [0.05, 0.005])
def test_null_runs_cross_at_each_look_as_often_as_was_planned(alpha: float) -> None:
    draws = np.random.default_rng(0).normal(size=(200_000, LOOKS[-1]))
    crossed = np.zeros(len(draws), dtype=bool)
    for n, level in zip(LOOKS, nominal(LOOKS, alpha), strict=True):
        first = draws[:, :n]
        crossed |= first.mean(axis=1) / first.std(axis=1, ddof=1) * math.sqrt(n) > stats.t.isf(level, n - 1)
        planned = float(spent(np.array(alpha), n / LOOKS[-1]))
        assert crossed.mean() == pytest.approx(planned, abs=4 * math.sqrt(planned / len(draws)))


def test_the_overall_level_of_a_p_is_the_one_whose_boundary_it_meets() -> None:
    for look in range(4):
        for alpha in (0.2, 0.05, 0.001):
            assert overall(LOOKS, look, nominal(LOOKS, alpha)[look]) == pytest.approx(alpha, rel=1e-6)
    assert overall(LOOKS, 3, 0.9) == 1.0
    assert 0 < overall(LOOKS, 0, 1e-12) < 1e-11
    assert math.isnan(overall(LOOKS, 0, math.nan))


def test_looks_end_at_the_most_pairs_that_may_be_used() -> None:
    assert looks_up_to(10) == LOOKS
    assert looks_up_to(30) == (4, 6, 8, 10, 14, 20, 30)
    assert looks_up_to(7) == (4, 6, 7)
    assert looks_up_to(3) == (3,)
    assert looks_up_to(60)[-3:] == (30, 45, 60)
