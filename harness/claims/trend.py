"""Trends over ordered variants: Page's test within replicates, fitted changes, and correlation of two metrics.

Every array here is (n, k): one row for each replicate, one column for each variant in its order.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LARGEST_R = 0.999999  # of a row: Fisher's z of 1 is infinite
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


def mean_ranks(rows: Array) -> Array:
    """The rank of each value within its row, from 1; equal values share the mean of their ranks."""
    below = (rows[:, None, :] < rows[:, :, None]).sum(axis=2)
    equal = (rows[:, None, :] == rows[:, :, None]).sum(axis=2)
    return below + (equal + 1) / 2


def page(rows: Array, rng: np.random.Generator, draws: int = 20_000) -> Page:
    """Test that the columns of ``rows`` (n, k) are exchangeable within each row against an ordered trend.

    Exact up to 7 columns, ties by mean ranks; by ``draws`` seeded permutations beyond. The p-values hold for the very
    replicates that were run: whether other identity pairs would agree, the interval of the slope must say.
    """
    n, k = rows.shape
    ranks = mean_ranks(rows)
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


def fisher_z(x: Array, y: Array) -> Array:
    """Fisher's z of the correlation over the columns of ``x`` and ``y`` (n, k), one for each row: (n,).

    `math.tanh` of their mean is a correlation. NaN in a row in which one of the two does not vary.
    """
    flat = np.any([np.ptp(v, axis=1) <= 1e-12 * np.abs(v).max(axis=1) for v in (x, y)], axis=0)
    x, y = (v - v.mean(axis=1, keepdims=True) for v in (x, y))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    r[flat] = np.nan
    return np.arctanh(np.clip(r, -LARGEST_R, LARGEST_R))
