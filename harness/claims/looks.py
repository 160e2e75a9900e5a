"""Looks while a run goes on: how much of the error each may spend, exactly for Student's t.

A claim that is tested at 4, 6, 8 and 10 pairs has four chances to err. Its level is spent over the looks by the
function of Lan and DeMets (1983) that resembles Pocock's boundary: alpha * ln(1 + (e - 1) * share of the pairs). The
levels of single looks follow from the joint distribution of the t statistics of one growing normal sample.

That distribution needs no simulation. The direction of n independent normal values is uniform on a sphere, so
u = t / sqrt(t^2 + n - 1) is a Markov chain: adding a value gives u' = (sqrt(n) u cos(phi) + sin(phi)) / sqrt(n + 1)
with an angle phi independent of u, of density cos(phi)^(n - 1).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from harness.memo import remembered

Array = NDArray[np.float64]
POINTS, NODES = 1201, 128  # of the grid over u, and of the quadrature over phi
ALPHAS = np.geomspace(1e-7, 0.5, 90)


def spent(alpha: Array, share: float) -> Array:
    """The error that may be spent when ``share`` of the pairs is there."""
    return alpha * math.log(1 + (math.e - 1) * share)


def nominal(looks: Sequence[int], alpha: float) -> tuple[float, ...]:
    """One-sided level of the t-test at each look (numbers of pairs, rising) so that all of them err ``alpha``."""
    if len(looks) == 1:
        return (alpha,)
    levels = _levels(tuple(looks))
    return tuple(float(np.exp(np.interp(math.log(alpha), np.log(ALPHAS), np.log(row)))) for row in levels)


def overall(looks: Sequence[int], look: int, p: float) -> float:
    """The smallest overall level at which a one-sided ``p`` decides at the look of this place; 1 above one half."""
    if len(looks) == 1 or math.isnan(p):
        return p
    row = _levels(tuple(looks))[look]
    if p < row[0]:
        return float(p * ALPHAS[0] / row[0])
    return 1.0 if p > row[-1] else float(np.exp(np.interp(math.log(p), np.log(row), np.log(ALPHAS))))


@functools.lru_cache(maxsize=16)
def _levels(looks: tuple[int, ...]) -> Array:
    """Level of each look for each overall level: (looks, alphas)."""
    return np.array(remembered("levels of looks", looks, lambda: _computed(looks).tolist()))


def _computed(looks: tuple[int, ...]) -> Array:
    angle = np.linspace(-math.pi / 2, math.pi / 2, POINTS)  # u = sin(angle)
    n, done = looks[0], np.zeros_like(ALPHAS)
    with np.errstate(divide="ignore"):
        first = special.stdtr(n - 1, -np.tan(angle) * math.sqrt(n - 1))
    beyond = np.repeat(first[:, None], ALPHAS.size, axis=1)  # chance of no decision before and a larger u: (u, alpha)
    found = []
    for pairs in looks:
        while n < pairs:
            beyond = _one_more(n, angle) @ beyond
            n += 1
        due = spent(ALPHAS, pairs / looks[-1]) - done
        done += due
        edge = np.array([np.interp(-d, -column, angle) for d, column in zip(due, beyond.T, strict=True)])
        found.append(special.stdtr(n - 1, -np.tan(edge) * math.sqrt(n - 1)))
        beyond = np.maximum(beyond - due, 0.0)  # what decided is out
    return np.array(found)


def _one_more(n: int, angle: Array) -> sparse.csr_matrix:
    """The matrix that takes the chances of larger u over the grid from n values to n + 1, by linear interpolation."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    phi = nodes * math.pi / 2
    weights = weights * np.cos(phi) ** (n - 1)
    before = (math.sqrt(n + 1) * np.sin(angle)[:, None] - np.sin(phi)) / (math.sqrt(n) * np.cos(phi))
    place = (np.arcsin(np.clip(before, -1, 1)) - angle[0]) / (angle[1] - angle[0])
    left = np.clip(place.astype(int), 0, POINTS - 2)
    share = np.broadcast_to(weights / weights.sum(), left.shape)
    row = np.repeat(np.arange(POINTS), NODES)
    values = np.concatenate([(share * (left + 1 - place)).ravel(), (share * (place - left)).ravel()])
    columns = np.concatenate([left.ravel(), left.ravel() + 1])
    return sparse.csr_matrix((values, (np.concatenate([row, row]), columns)), shape=(POINTS, POINTS))
