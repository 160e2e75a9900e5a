"""Is A at most so many times as slow as B? Pairs are added at three looks until bounds answer.

Readings on a busy machine come in spells, so blocks of pairs are the units (`harness.claims.blocks`). A gate that looks
three times has three chances to fail falsely: the level is spent over the looks as for claims (`harness.claims.looks`).
At the threshold itself it fails falsely in at most 2.5 % of runs, also when neighbouring pairs correlate with 0.5.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.bench.timing import Call, Clock, Ratio, paired
from harness.claims.blocks import BLOCK, block_estimate
from harness.claims.looks import nominal

STAGES = (20, 40, 80)  # pairs after which a gate looks; A/A on two shared cores: 40 pairs hold +-1.5 to 3.5 %
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
    found = block_estimate(np.log(np.asarray([a / b for a, b in pairs], dtype=np.float64)))
    low, high = found.bounds(1 - level)
    return Ratio(math.exp(found.mean), math.exp(low), math.exp(high), len(pairs))
