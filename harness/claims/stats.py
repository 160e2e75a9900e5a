"""Intervals, tests and corrections over independent units: small-sample honest, and the same numbers on every call.

A *replicate* is one pair of people with one seed. People carry most of the variance, so the independent unit is the
pair: replicates that share one are averaged first (`units`). Images sit inside replicates and never count as trials.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats, which has the same functions, costs a second to import

Array = NDArray[np.float64]
Side = Literal["two-sided", "greater", "less"]
EXACT_FLIPS = 20_000  # sign flips are all tried while they are no more than these: up to 14 units


@dataclass(frozen=True)
class Interval:
    """A mean with its interval. ``low`` and ``high`` are NaN below two units; ``over`` names what n counts."""

    mean: float
    low: float
    high: float
    n: int
    images: int = 0  # per-image values under them
    over: str = "pair"  # pair | seed | image

    @property
    def known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def excludes_zero(self) -> bool:
        return self.known and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Estimate:
    """A mean over n units with its standard error, from which intervals and p-values by Student's t follow.

    ``error`` is NaN below two units. Without any spread a p-value is 0 or 1: so it is of costs, which are exact.
    """

    mean: float
    error: float
    n: int
    over: str = "pair"

    def interval(self, confidence: float = 0.95) -> Interval:
        """Two-sided."""
        return Interval(self.mean, *self.bounds(0.5 + confidence / 2), self.n, 0, self.over)

    def bounds(self, confidence: float) -> tuple[float, float]:
        """A lower and an upper bound, each of which holds with ``confidence``."""
        if not math.isfinite(self.error):
            return math.nan, math.nan
        half = float(special.stdtrit(self.n - 1, confidence)) * self.error
        return self.mean - half, self.mean + half

    def above(self, value: float) -> float:
        """One-sided p: small when the mean surely lies above ``value``. Below two units nothing is sure: NaN."""
        if not math.isfinite(self.error):
            return math.nan
        distance, size = self.mean - value, max(abs(self.mean), abs(value))
        if self.error <= 1e-12 * size:
            return float(distance <= 1e-9 * size)
        return float(special.stdtr(self.n - 1, -distance / self.error))

    def below(self, value: float) -> float:
        """One-sided p: small when the mean surely lies below ``value``."""
        return Estimate(-self.mean, self.error, self.n).above(-value)

    def inside(self, within: float) -> float:
        """p: small when the mean surely lies between -``within`` and ``within`` (two one-sided tests)."""
        return float(np.maximum(self.above(-within), self.below(within)))

    def outside(self, within: float) -> float:
        """p: small when the mean surely lies beyond -``within`` or ``within``, for the worst of all means inside."""
        mirrored = Estimate(abs(self.mean), self.error, self.n)
        return float(np.minimum(1.0, mirrored.above(within) + mirrored.above(-within)))

    def clipped(self, low: float, high: float, confidence: float) -> tuple[float, float]:
        """`bounds` cut at the range of the quantity: a mean cannot lie outside it, so no coverage is lost."""
        lower, upper = self.bounds(confidence)
        return float(np.clip(lower, low, high)), float(np.clip(upper, low, high))


def generator(*names: str) -> np.random.Generator:
    """A generator that depends on ``names`` only, so that no number depends on the order of computation."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def units(means: Mapping[tuple[int, str], float]) -> tuple[Array, str]:
    """Independent values of replicates {(seed, pair): mean}, and what they are: one mean for each pair of people.

    Where all replicates have the same two people (a folder of one's own), the seeds are what varies, and an interval
    over them speaks of these people only.
    """
    by_pair: dict[str, list[float]] = {}
    for (_, pair), value in means.items():
        by_pair.setdefault(pair, []).append(value)
    if len(by_pair) == 1 and len(means) > 1:
        return np.array(list(means.values()), dtype=np.float64), "seed"
    return np.array([np.mean(values) for values in by_pair.values()], dtype=np.float64), "pair"


def estimate(values: Sequence[float] | Array, over: str = "pair") -> Estimate:
    """Mean and standard error of independent values; those that are not finite are left out."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    n = known.size
    error = float(known.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(float(known.mean()) if n else math.nan, error, n, over)


def estimate_of(means: Mapping[tuple[int, str], float]) -> Estimate:
    """Of replicates {(seed, pair): mean}, over pairs of people."""
    return estimate(*units(means))


def differences(a: Mapping[tuple[int, str], float], b: Mapping[tuple[int, str], float]) -> dict[tuple[int, str], float]:
    """a - b for each replicate that both have."""
    return {key: a[key] - b[key] for key in a if key in b}


@dataclass(frozen=True)
class SignFlip:
    """Sign-flip test. ``attainable`` is the smallest p that n units can give at all."""

    p: float
    attainable: float
    n: int
    over: str = "pair"

    def sentence(self) -> str:
        """The finding, or that there can be none."""
        count = f"{self.n} {self.over}" + ("" if self.n == 1 else "s")
        if self.attainable >= 0.05:
            return f"sign-flip p cannot be below {self.attainable:.2g} with {count}"
        return f"sign-flip p = {self.p:.2g} ({count})"


def sign_flip(
    values: Sequence[float] | Array, rng: np.random.Generator, side: Side = "two-sided", over: str = "pair"
) -> SignFlip:
    """Sign-flip (paired permutation) test of mean 0 on one difference for each unit; exact up to 14 units.

    With n units no two-sided p can be below 2 / 2^n: three never reach 0.05, six do.
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    n, sides = known.size, 2 if side == "two-sided" else 1
    if n < 2:
        return SignFlip(1.0 if n else math.nan, 1.0, n, over)
    from scipy import stats

    found = stats.permutation_test(
        (known,), np.mean, permutation_type="samples", alternative=side, n_resamples=EXACT_FLIPS, rng=rng
    )
    attainable = sides / 2**n if 2**n <= EXACT_FLIPS else max(sides / 2**n, sides / (EXACT_FLIPS + 1))
    return SignFlip(float(found.pvalue), min(1.0, attainable), n, over)


def interquartile_mean(values: Array) -> float:
    """Mean of the middle half (Agarwal et al. 2021); the plain mean below four values. NaN when nothing is finite."""
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    kept = np.sort(finite)[finite.size // 4 : finite.size - finite.size // 4]
    return float(kept.mean()) if finite.size else math.nan


def holm(p: Sequence[float], alpha: float = 0.05) -> tuple[list[float], list[float]]:
    """Holm's step-down over hypotheses: adjusted p, and the level at which each was tested.

    Sorted p-values are compared with alpha / m, alpha / (m - 1) ... until the first one that fails; that one and all
    larger ones share its level. So ``p[i] <= levels[i]`` exactly when ``adjusted[i] <= alpha``, and an interval whose
    bounds have confidence ``1 - levels[i]`` decides as the test does. NaN counts as 1: what cannot be tested yet keeps
    its place in the family, so that no level depends on which claims have data already.
    """
    ordered = sorted((1.0 if math.isnan(value) else value, index) for index, value in enumerate(p))
    adjusted, levels = [math.nan] * len(p), [math.nan] * len(p)
    highest, open_, level = 0.0, True, alpha
    for rank, (value, index) in enumerate(ordered):
        if open_:
            level = alpha / (len(ordered) - rank)
            open_ = value <= level
        highest = max(highest, min(1.0, value * (len(ordered) - rank)))
        adjusted[index], levels[index] = highest, level
    return adjusted, levels


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a success rate (Wilson 1927), inside [0, 1], sensible at 0 and at n. ValueError beyond n."""
    if successes > n:
        raise ValueError(f"{successes} successes are greater than n = {n}")
    z2, rate = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2, successes / n
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def probability_of_improvement(
    differences: Sequence[Array], rng: np.random.Generator, confidence: float = 0.95, draws: int = 1000
) -> Interval:
    """Share of images with a positive paired difference (ties count half), mean over replicates (Agarwal et al. 2021).

    The interval is the stratified bootstrap's: images are redrawn within each replicate, the replicates stay, so it
    speaks of these replicates only.
    """
    wins = [np.where(d > 0, 1.0, np.where(d < 0, 0.0, 0.5)) for d in (d[np.isfinite(d)] for d in differences) if d.size]
    if not wins:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    drawn = np.zeros(draws)
    for row in wins:
        counts = np.array([np.sum(row == value) for value in (0.0, 0.5, 1.0)])
        drawn += rng.multinomial(row.size, counts / row.size, size=draws) @ np.array([0.0, 0.5, 1.0]) / row.size
    low, high = np.quantile(drawn / len(wins), [0.5 - confidence / 2, 0.5 + confidence / 2])
    mean = float(np.mean([row.mean() for row in wins]))
    return Interval(mean, float(low), float(high), len(wins), sum(row.size for row in wins), "image")


def seed_spread(means: Mapping[tuple[int, str], float]) -> float:
    """Standard deviation over seeds within a pair of people, pooled over pairs: what a repeat would change.

    NaN while no pair was run with two seeds.
    """
    by_pair: dict[str, list[float]] = {}
    for (_, pair), value in means.items():
        if math.isfinite(value):
            by_pair.setdefault(pair, []).append(value)
    squares = sum(float(np.sum((np.array(v) - np.mean(v)) ** 2)) for v in by_pair.values())
    repeats = sum(len(v) - 1 for v in by_pair.values())
    return math.sqrt(squares / repeats) if repeats else math.nan
