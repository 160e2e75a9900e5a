"""Intervals, paired differences and tests over replicates: small-sample honest, and the same numbers on every call.

A *replicate* is one (seed, identity pair); images sit inside replicates and are never counted as independent trials.
Every random draw comes from a numpy generator that the caller hands in.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
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


def mean_interval(
    groups: Sequence[Array], rng: np.random.Generator, confidence: float = 0.95, draws: int = 1000
) -> Interval:
    """Mean of replicate means with an interval that keeps its coverage at two or three replicates.

    The standard error is the hierarchical bootstrap's, corrected by sqrt(n / (n - 1)), times Student's t with n - 1
    degrees of freedom. Plain percentiles of the bootstrap cannot leave the range of the replicates, and so cover at
    most 75 % when n = 3 (Hesterberg 2015, "What teachers should know about the bootstrap", section 4).
    """
    clean = [g[np.isfinite(g)] for g in (np.asarray(g, dtype=np.float64).ravel() for g in groups)]
    clean = [g for g in clean if g.size]
    images = sum(g.size for g in clean)
    if not clean:
        return Interval(math.nan, math.nan, math.nan, 0, 0)
    mean = float(np.mean([g.mean() for g in clean]))
    n = len(clean)
    if n < 2:
        return Interval(mean, math.nan, math.nan, n, images)
    error = float(np.std(hierarchical_bootstrap(clean, rng, draws))) * math.sqrt(n / (n - 1))
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * error
    return Interval(mean, mean - half, mean + half, n, images)


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
