"""Intervals, paired differences and tests over replicates: small-sample honest, and the same numbers on every call.

A *replicate* is one (seed, identity pair); images sit inside replicates and are never counted as independent trials.
Every random draw comes from a numpy generator that the caller hands in.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over replicates with its interval. ``low`` and ``high`` are NaN below two replicates."""

    mean: float
    low: float
    high: float
    n: int  # replicates
    images: int  # per-image values under them

    @property
    def known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def excludes_zero(self) -> bool:
        return self.known and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class SignFlip:
    """Two-sided sign-flip test. ``attainable`` is the smallest p that n replicates can give at all."""

    p: float
    attainable: float
    n: int

    @property
    def decidable(self) -> bool:
        return self.attainable < 0.05

    def sentence(self) -> str:
        count = f"{self.n} replicate" + ("" if self.n == 1 else "s")
        if not self.decidable:
            return f"sign-flip p cannot be below {self.attainable:.2g} with {count}"
        return f"sign-flip p = {self.p:.2g} ({count})"


def generator(*names: str) -> np.random.Generator:
    """A generator that depends on ``names`` only, so that no number depends on the order of computation."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def hierarchical_bootstrap(groups: Sequence[Array], rng: np.random.Generator, draws: int = 1000) -> Array:
    """Resampled grand means, shape (draws,): replicates with replacement, then images within each drawn replicate.

    ``groups`` holds one non-empty 1-D array of per-image values for each replicate. The grand mean is the mean of
    replicate means, so a replicate with more images does not weigh more.
    """
    if not groups or any(len(g) == 0 for g in groups):
        raise ValueError("hierarchical_bootstrap needs at least one replicate, and one value in each")
    n = len(groups)
    chosen = rng.integers(0, n, size=(draws, n))
    means = np.empty((draws, n))
    for index, values in enumerate(groups):
        rows, columns = np.nonzero(chosen == index)
        if len(values) == 1:
            means[rows, columns] = values[0]
            continue
        images = rng.integers(0, len(values), size=(len(rows), len(values)), dtype=np.int32)
        means[rows, columns] = np.asarray(values, dtype=np.float64)[images].mean(axis=1)
    return means.mean(axis=1)


@dataclass(frozen=True)
class Estimate:
    """A mean over replicates and its standard error, from which intervals of any level and p-values follow.

    ``error`` is NaN below two replicates. Intervals and p-values use Student's t with n - 1 degrees of freedom, so the
    interval of level 1 - alpha leaves ``value`` out exactly when ``p(value) < alpha``.
    """

    mean: float
    error: float
    n: int  # replicates
    images: int  # per-image values under them

    def interval(self, confidence: float = 0.95) -> Interval:
        if not math.isfinite(self.error):
            return Interval(self.mean, math.nan, math.nan, self.n, self.images)
        half = float(stats.t.ppf(0.5 + confidence / 2, self.n - 1)) * self.error
        return Interval(self.mean, self.mean - half, self.mean + half, self.n, self.images)

    def p(self, value: float = 0.0) -> float:
        """Two-sided p of the mean being ``value``; NaN below two replicates. Without any spread it is 0 or 1."""
        if not math.isfinite(self.error):
            return math.nan
        distance = abs(self.mean - value)
        if self.error <= 1e-12 * max(abs(self.mean), abs(value)):
            return float(distance <= 1e-9 * max(abs(self.mean), abs(value)))
        return float(2 * stats.t.sf(distance / self.error, self.n - 1))


def estimate(groups: Sequence[Array], rng: np.random.Generator, draws: int = 1000) -> Estimate:
    """Mean of replicate means with a standard error that stays honest at two or three replicates.

    The standard error is the hierarchical bootstrap's, corrected by sqrt(n / (n - 1)); with Student's t it keeps the
    coverage of its intervals. Plain percentiles of the bootstrap cannot leave the range of the replicates, and so cover
    at most 75 % when n = 3 (Hesterberg 2015, "What teachers should know about the bootstrap", section 4).
    """
    clean = [g[np.isfinite(g)] for g in (np.asarray(g, dtype=np.float64).ravel() for g in groups)]
    clean = [g for g in clean if g.size]
    images = sum(g.size for g in clean)
    if not clean:
        return Estimate(math.nan, math.nan, 0, 0)
    mean = float(np.mean([g.mean() for g in clean]))
    n = len(clean)
    if n < 2:
        return Estimate(mean, math.nan, n, images)
    error = float(np.std(hierarchical_bootstrap(clean, rng, draws))) * math.sqrt(n / (n - 1))
    return Estimate(mean, error, n, images)


def mean_interval(
    groups: Sequence[Array], rng: np.random.Generator, confidence: float = 0.95, draws: int = 1000
) -> Interval:
    """Mean of replicate means with its interval: see `estimate`."""
    return estimate(groups, rng, draws).interval(confidence)


def paired_differences(a: Sequence[Array], b: Sequence[Array]) -> list[Array]:
    """Per-image differences a - b replicate by replicate; of the means where the image counts differ."""
    if len(a) != len(b):
        raise ValueError(f"paired comparison needs the same replicates on both sides, got {len(a)} and {len(b)}")
    pairs = [
        (np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel())
        for x, y in zip(a, b, strict=True)
    ]
    return [x - y if x.shape == y.shape else np.array([np.nanmean(x) - np.nanmean(y)]) for x, y in pairs]


def paired_interval(
    a: Sequence[Array], b: Sequence[Array], rng: np.random.Generator, confidence: float = 0.95, draws: int = 1000
) -> Interval:
    """Interval of the mean difference a - b, paired by replicate and by image within it."""
    return mean_interval(paired_differences(a, b), rng, confidence, draws)


def sign_flip(differences: Sequence[float] | Array, rng: np.random.Generator, draws: int = 20_000) -> SignFlip:
    """Sign-flip (paired permutation) test of mean 0 on one difference a replicate; exact up to 14 replicates.

    With n replicates no p can be below 2 / 2^n: three replicates never reach 0.05, six do.
    """
    d = np.asarray(differences, dtype=np.float64)
    d = d[np.isfinite(d)]
    n = d.size
    if n == 0:
        return SignFlip(math.nan, 1.0, 0)
    observed = abs(d.mean()) * (1 - 1e-12)  # equal sums in another order must count as equal
    if n <= 14:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
        p = float(np.mean(np.abs(signs @ d) / n >= observed))
        return SignFlip(p, min(1.0, 2.0 / 2**n), n)
    signs = rng.choice(np.array([1.0, -1.0]), size=(draws, n))
    extreme = int(np.sum(np.abs(signs @ d) / n >= observed))
    return SignFlip((extreme + 1) / (draws + 1), max(2.0 / 2**n, 1 / (draws + 1)), n)


def interquartile_mean(values: Array) -> float:
    """Mean of the middle half (Agarwal et al. 2021); the plain mean below four values. NaN when nothing is finite."""
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = finite[np.isfinite(finite)]
    return float(stats.trim_mean(finite, 0.25)) if finite.size else math.nan


def holm(p: Sequence[float], alpha: float = 0.05) -> tuple[list[float], list[float]]:
    """Holm's step-down over hypotheses: adjusted p, and the level at which each was tested.

    Sorted p-values are compared with alpha / m, alpha / (m - 1) ... until the first one that fails; that one and all
    larger ones share its level. So ``p[i] <= levels[i]`` exactly when ``adjusted[i] <= alpha``, and an interval of
    confidence ``1 - levels[i]`` decides as the test does. NaN is no hypothesis: it gets NaN and counts for none.
    """
    known = sorted((value, index) for index, value in enumerate(p) if math.isfinite(value))
    adjusted, levels = [math.nan] * len(p), [math.nan] * len(p)
    highest, open_, level = 0.0, True, alpha
    for rank, (value, index) in enumerate(known):
        if open_:
            level = alpha / (len(known) - rank)
            open_ = value <= level
        highest = max(highest, min(1.0, value * (len(known) - rank)))
        adjusted[index], levels[index] = highest, level
    return adjusted, levels


def wilson(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a success rate (Wilson 1927), inside [0, 1] and sensible at 0 and at n successes."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"wilson needs 0 <= successes <= n and n > 0, got {successes} of {n}")
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    rate, spread = successes / n, z * z / n
    middle = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / n + spread / (4 * n)) / (1 + spread)
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
    return Interval(mean, float(low), float(high), len(wins), sum(row.size for row in wins))


@dataclass(frozen=True)
class SeedSpread:
    """What another seed of the same variant and identity pair changes: standard deviation, and its repeats."""

    value: float
    repeats: int  # degrees of freedom: replicates minus identity pairs

    @property
    def known(self) -> bool:
        return math.isfinite(self.value)


def spread_between_seeds(means: Mapping[tuple[int, str], float]) -> SeedSpread:
    """Spread of one variant's replicate means {(seed, pair): mean} over seeds within an identity pair, pooled.

    Unknown (NaN) while no pair was run with two seeds: the spread over pairs is no noise, it is the pairs' difference.
    """
    by_pair: dict[str, list[float]] = {}
    for (_, pair), value in means.items():
        if math.isfinite(value):
            by_pair.setdefault(pair, []).append(value)
    squares = sum(float(np.sum((np.array(v) - np.mean(v)) ** 2)) for v in by_pair.values())
    repeats = sum(len(v) - 1 for v in by_pair.values())
    return SeedSpread(math.sqrt(squares / repeats) if repeats else math.nan, repeats)
