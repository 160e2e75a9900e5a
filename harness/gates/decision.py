"""Is A at most so many times as slow as B? Pairs are added at three looks until bounds answer.

Readings on a busy machine come in spells, so neighbouring pairs are not independent: each five of them are one block
(its median, so that a disturbed pair weighs little), and what correlation is left between blocks widens the bounds. A
gate that looks three times has three chances to fail falsely: the level is spent over the looks as for claims
(`harness.claims.looks`). At the threshold itself it fails falsely in at most 2.5 % of runs, also when neighbouring
pairs correlate with 0.5.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.bench.timing import Call, Clock, Ratio, paired
from harness.claims.looks import nominal

STAGES = (20, 40, 80)  # pairs after which a gate looks; A/A on two shared cores: 40 pairs hold +-1.5 to 3.5 %
BLOCK = 5  # pairs
LEVEL = 0.025  # of either false answer, over all looks


@dataclass(frozen=True)
class Decision:
    """What a paired gate found: `outcome` is "pass", "fail" or "inconclusive"."""

    outcome: str
    ratio: Ratio
    at_most: float
    pairs: tuple[tuple[float, float], ...]

    def sentence(self) -> str:
        """The finding in one line."""
        what = {"pass": "below", "fail": "above", "inconclusive": "INCONCLUSIVE against"}[self.outcome]
        return f"time ratio {self.ratio}, {what} the threshold {self.at_most:.3g}"


def decide(
    a: Call, b: Call, at_most: float, stages: Sequence[int] = STAGES, clock: Clock = time.perf_counter
) -> Decision:
    """Is A's time at most `at_most` times B's? Pairs are added stage by stage until the bounds answer.

    Pass when both bounds lie at or below the threshold, fail when both lie above; after the last stage inconclusive.
    `stages`: rising multiples of 5, 20 or more; else ValueError.
    """
    if any(stage % BLOCK or stage < 4 * BLOCK for stage in stages) or list(stages) != sorted(set(stages)):
        raise ValueError(f"stages cannot be {tuple(stages)}. Expected rising multiples of {BLOCK}, {4 * BLOCK} or more")
    pairs: list[tuple[float, float]] = []
    levels = nominal([stage // BLOCK for stage in stages], LEVEL)
    for stage, level in zip(stages, levels, strict=True):
        pairs += paired(a, b, stage - len(pairs), clock)
        ratio = bounded(pairs, level)
        if ratio.high <= at_most:
            return Decision("pass", ratio, at_most, tuple(pairs))
        if ratio.low > at_most:
            return Decision("fail", ratio, at_most, tuple(pairs))
    return Decision("inconclusive", ratio, at_most, tuple(pairs))


def bounded(pairs: Sequence[tuple[float, float]], level: float) -> Ratio:
    """The ratio of (seconds of A, seconds of B) pairs with bounds that each fail with probability `level`."""
    logs = np.log(np.asarray([a / b for a, b in pairs], dtype=np.float64))
    blocks = np.median(logs.reshape(-1, BLOCK), axis=1)
    n, middle = blocks.size, float(blocks.mean())
    error = float(blocks.std(ddof=1)) / math.sqrt(n) * _widened(blocks - middle)
    half = float(stats.t.isf(level, n - 1)) * error
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half), len(pairs))


def _widened(deviations: np.ndarray) -> float:
    """How much more a mean varies than of independent blocks, by their first autocorrelation, corrected for its bias.

    The estimate falls short by about (1 + 3 r) / n (Kendall 1954).
    """
    n, squares = deviations.size, float((deviations**2).sum())
    if squares == 0:
        return 1.0
    found = (n * float((deviations[1:] * deviations[:-1]).sum()) / squares + 1) / (n - 3.5)
    r = min(max(found, 0.0), 0.7)
    return math.sqrt((1 + r) / (1 - r))
