"""Trends over ordered variants: Page's test within replicates, and correlation of two metrics across trials.

Every array here is (n, k): one row a replicate, one column a variant in its order.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.claims.stats import Estimate

Array = NDArray[np.float64]
EXACT_COLUMNS = 7  # 7! = 5,040 orders of a row; the rows' distributions are then convolved, whatever their number


@dataclass(frozen=True)
class Page:
    """Page's trend test (Page 1963). ``rises`` and ``falls`` are one-sided p; ``attainable`` the smallest of them."""

    rises: float
    falls: float
    attainable: float
    n: int
    variants: int

    @property
    def p(self) -> float:
        """Two-sided."""
        return min(1.0, 2 * min(self.rises, self.falls))


def page(rows: Array, rng: np.random.Generator, draws: int = 20_000) -> Page:
    """Test that the columns of ``rows`` (n, k) are exchangeable within each row against an ordered trend.

    Exact up to 7 columns, ties by mean ranks; by ``draws`` seeded permutations beyond. The p-values hold for the very
    replicates that were run: whether other identity pairs would agree, the interval of the slope must say.
    """
    n, k = rows.shape
    ranks = stats.rankdata(rows, axis=1)
    weights = np.arange(1, k + 1)
    observed = round(float(2 * (ranks @ weights).sum()))  # mean ranks are halves: twice them are whole
    smallest = max(1.0 / math.factorial(k) ** n if k * n < 60 else 0.0, 0.0)
    if k <= EXACT_COLUMNS:
        counts, start = np.ones(1), 0
        for row in ranks:
            values, first = _orders(tuple(sorted(float(r) for r in row)))
            counts, start = np.convolve(counts, values), start + first
        counts = counts / counts.sum()
        place = observed - start
        return Page(float(counts[place:].sum()), float(counts[: place + 1].sum()), smallest, n, k)
    drawn = np.zeros(draws)
    for row in ranks:
        drawn += 2 * (rng.permuted(np.broadcast_to(row, (draws, k)), axis=1) @ weights)
    rises = (np.sum(drawn >= observed - 1e-6) + 1) / (draws + 1)
    falls = (np.sum(drawn <= observed + 1e-6) + 1) / (draws + 1)
    return Page(float(rises), float(falls), max(smallest, 1 / (draws + 1)), n, k)


@functools.lru_cache(maxsize=256)
def _orders(ranks: tuple[float, ...]) -> tuple[Array, int]:
    """How many orders of a row give each value of twice the statistic, and the value of the first entry."""
    orders = np.array(list(itertools.permutations(ranks)))
    totals = np.rint(2 * (orders @ np.arange(1, len(ranks) + 1))).astype(np.int64)
    counts = np.bincount(totals - totals.min()).astype(np.float64)
    return counts / counts.sum(), int(totals.min())


def slopes(rows: Array) -> Array:
    """Fitted change from the first to the last column of each row (n, k), columns equally spaced: (n,)."""
    x = np.linspace(-0.5, 0.5, rows.shape[1])
    return (rows @ x) / float(x @ x)


def correlation(x: Array, y: Array, rng: np.random.Generator, draws: int = 1000) -> Estimate:
    """Fisher's z of the correlation of ``x`` and ``y`` (n, k) with each replicate's mean removed from both.

    The standard error is the bootstrap's over replicates, corrected by sqrt(n / (n - 1)). `math.tanh` of the mean and
    of the interval's ends are correlations. NaN when one of them does not vary.
    """
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    sums = np.stack([(x * y).sum(axis=1), (x * x).sum(axis=1), (y * y).sum(axis=1)])  # (3, n)
    n = x.shape[0]

    def z(totals: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.arctanh(np.clip(totals[0] / np.sqrt(totals[1] * totals[2]), -0.999999, 0.999999))

    middle = float(z(sums.sum(axis=1)))
    if n < 2 or not math.isfinite(middle):
        return Estimate(middle, math.nan, n, x.size)
    drawn = z(sums[:, rng.integers(0, n, size=(draws, n))].sum(axis=2))
    error = float(np.nanstd(drawn)) * math.sqrt(n / (n - 1))
    return Estimate(middle, error, n, x.size)
