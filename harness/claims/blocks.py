"""Means of readings that come in spells: neighbours are not independent, so blocks of them are the units."""

from __future__ import annotations

import math

import numpy as np

from harness.claims.stats import Array, Estimate

BLOCK = 5  # readings


def block_estimate(readings: Array) -> Estimate:
    """The mean of the medians of five neighbouring readings each, with its standard error.

    A median weighs a disturbed reading little. What correlation is left between blocks widens the error. An incomplete
    last block is left out.
    """
    whole = np.asarray(readings, dtype=np.float64)[: len(readings) // BLOCK * BLOCK]
    blocks = np.median(whole.reshape(-1, BLOCK), axis=1)
    n, middle = blocks.size, float(blocks.mean()) if blocks.size else math.nan
    if n < 4:
        return Estimate(middle, math.nan, n, "block")
    error = float(blocks.std(ddof=1)) / math.sqrt(n) * _widened(blocks - middle)
    return Estimate(middle, error, n, "block")


def _widened(deviations: Array) -> float:
    """How much more a mean varies than of independent blocks, by their first autocorrelation, corrected for its bias.

    The estimate falls short by about (1 + 3 r) / n (Kendall 1954).
    """
    n, squares = deviations.size, float((deviations**2).sum())
    if squares == 0:
        return 1.0
    found = (n * float((deviations[1:] * deviations[:-1]).sum()) / squares + 1) / (n - 3.5)
    r = min(max(found, 0.0), 0.7)
    return math.sqrt((1 + r) / (1 - r))
