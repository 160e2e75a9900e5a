"""Page's test is exact where it can be, and each replicate has a correlation of its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from harness.claims import trend


@pytest.mark.parametrize(("n", "k"), [(3, 3), (3, 5), (6, 4)])
def test_pages_test_is_exact(n: int, k: int) -> None:
    rng = np.random.default_rng(n * k)
    for _ in range(3):
        rows = rng.normal(size=(n, k))
        found = trend.page(rows, rng)
        assert found.rises == pytest.approx(reference.page_trend_test(rows, method="exact").pvalue)
        assert found.falls == pytest.approx(reference.page_trend_test(-rows, method="exact").pvalue)


def test_pages_test_of_many_columns_is_sampled_near_the_exact_one_and_equal_for_equal_seeds() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 8)) + np.arange(8) * 0.1
    one, other = (trend.page(rows, np.random.default_rng(1)) for _ in range(2))
    assert one == other
    assert one.rises == pytest.approx(reference.page_trend_test(rows, method="exact").pvalue, abs=0.01)


def test_pages_test_of_three_replicates_can_decide_over_five_variants_and_knows_its_smallest_p() -> None:
    found = trend.page(np.tile(np.arange(5.0), (3, 1)), np.random.default_rng(0))
    assert found.rises == pytest.approx(found.attainable) == pytest.approx(1 / 120**3)
    assert found.falls == pytest.approx(1.0)


def test_pages_test_of_equal_values_finds_nothing() -> None:
    found = trend.page(np.ones((4, 5)), np.random.default_rng(0))
    assert (found.rises, found.falls, found.p) == (1.0, 1.0, 1.0)


def test_slopes_are_changes_from_first_to_last() -> None:
    assert trend.slopes(np.array([[0.0, 1.0, 2.0, 3.0], [5.0, 4.0, 3.0, 2.0]])) == pytest.approx([3.0, -3.0])


def test_fisher_z_is_each_rows_own_and_removes_what_the_row_shares() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 5))
    level = np.arange(6.0)[:, None] * 10
    found = trend.fisher_z(x + level, 0.5 * x + level + rng.normal(0, 0.1, x.shape))
    each = [np.corrcoef(x[i], 0.5 * x[i])[0, 1] for i in range(6)]
    assert found.shape == (6,) and np.all(found > 1) and np.allclose(each, 1)
    assert np.tanh(trend.fisher_z(x + level, level - x)) == pytest.approx(-1, abs=1e-5)
    y = rng.normal(size=(6, 5))
    assert np.tanh(trend.fisher_z(x, y)) == pytest.approx([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)])
    assert np.isnan(trend.fisher_z(np.ones((3, 4)), x[:3, :4])).all()
