"""Step or ramp? Four curves through a leakage metric over latent cells, compared by BIC.

Every model is intercept + slope * basis(cells), with at most two shape parameters searched on a fixed grid: no start
values, no local optima, the same answer on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
STEP, OTHER = "step", "gradual or undetermined"
BIC_GAIN = 10.0
RISE = 2 * math.log(9)  # a logistic goes from 10 % to 90 % of its height within this many scales


@dataclass(frozen=True)
class Curve:
    """One fitted model. ``shape``: (), (exponent,) or (midpoint, scale), the last two in log cells."""

    name: str
    parameters: int
    bic: float
    rss: float
    intercept: float
    slope: float
    shape: tuple[float, ...]

    def __call__(self, cells: Array) -> Array:
        """Fitted values at ``cells`` (> 0), same shape."""
        return self.intercept + self.slope * _basis(self.name, np.log(np.asarray(cells, dtype=np.float64)), self.shape)


@dataclass(frozen=True)
class TransitionFit:
    """The verdict and all it rests on. Midpoint, interval and width (10 % to 90 %) are in cells and in log cells."""

    verdict: str
    reason: str
    curves: tuple[Curve, ...]
    bic_gain: float  # best other model's BIC minus the logistic's
    midpoint: float  # cells
    midpoint_interval: tuple[float, float]  # cells
    width: float  # share of the tested log range, 1 = all of it
    p_step: float = math.nan  # F-test: how likely residuals as large as those of the best step in the asked range are

    @property
    def best(self) -> Curve | None:
        return min(self.curves, key=lambda curve: curve.bic) if self.curves else None


def _basis(name: str, x: Array, shape: tuple[Any, ...]) -> Array:
    if name == "constant":
        return np.zeros_like(x)
    if name == "linear in log cells":
        return x
    if name == "power law":
        return np.exp(np.clip(shape[0] * x, -50, 50))
    midpoint, scale = shape
    return 1 / (1 + np.exp(np.clip(-(x - midpoint) / scale, -50, 50)))


def _centring(groups: Sequence[object] | None, n: int) -> Array:
    """The projection that removes each group's mean; one group when none are named."""
    codes = (
        np.unique([str(g) for g in groups], return_inverse=True)[1] if groups is not None else np.zeros(n, dtype=int)
    )
    member = (codes[:, None] == np.arange(codes.max() + 1)[None, :]).astype(np.float64)
    return np.eye(n) - member @ np.diag(1 / member.sum(axis=0)) @ member.T


def _residuals(y: Array, bases: Array, centre: Array) -> tuple[Array, Array]:
    """RSS and slope of y on each row of ``bases`` (K, n), group means removed from both sides."""
    yc, bc = centre @ y, bases @ centre
    norm = np.einsum("kn,kn->k", bc, bc)
    slope = np.where(norm > 1e-12, bc @ yc / np.maximum(norm, 1e-12), 0.0)
    total = float(yc @ yc)
    return np.maximum(total - slope**2 * norm, 1e-9 * total + 1e-300), slope


def transition_fit(
    cells: Sequence[float] | Array,
    values: Sequence[float] | Array,
    replicates: Iterable[object] | None = None,
    between: tuple[float, float] | None = None,
) -> TransitionFit:
    """Fit constant, linear in log cells, power law and 4-parameter logistic to one value for each trial.

    ``cells`` (> 0), ``values`` and ``replicates`` run in parallel; naming the replicates removes the offset that each
    of them shares over all grids. Verdict "step" only if the logistic's BIC is lower by more than 10 than every other
    model's, its midpoint's 95 % profile interval lies inside the tested range, and its 10-90 % width is under a third
    of that range (in log cells); otherwise "gradual or undetermined". ``p_step`` tests the opposite: that a step with
    its midpoint ``between`` (cells; the tested range when None) describes the data as well as the best curve does.
    """
    x_all, y_all = np.log(np.asarray(cells, dtype=np.float64)), np.asarray(values, dtype=np.float64)
    keep = np.isfinite(y_all) & np.isfinite(x_all)
    x, y = x_all[keep], y_all[keep]
    groups = None if replicates is None else [g for g, k in zip(replicates, keep, strict=True) if k]
    points = len(np.unique(x))
    if points < 5:
        reason = f"needs at least 5 different cell counts, has {points}"
        return TransitionFit(OTHER, reason, (), math.nan, math.nan, (math.nan, math.nan), math.nan)
    low, high = float(x.min()), float(x.max())
    span, n = high - low, len(y)
    centre = _centring(groups, n)
    levels = round(n - np.trace(centre))

    midpoints = np.linspace(low - span / 2, high + span / 2, 121)
    scales = np.geomspace(0.005 * span, span, 32)
    shapes: dict[str, list[tuple[float, ...]]] = {
        "constant": [()],
        "linear in log cells": [()],
        "power law": [(float(b),) for b in np.linspace(-4, 4, 161) if abs(b) > 0.02],
        "logistic": [(float(m), float(s)) for m in midpoints for s in scales],
    }
    curves: list[Curve] = []
    profile, surface = np.empty(0), np.empty((0, 0))
    for extra, (name, options) in enumerate(shapes.items()):
        if name == "logistic":  # all shapes at once: 3,872 of them
            bases = _basis(name, x, (midpoints[:, None, None], scales[None, :, None])).reshape(len(options), n)
        else:
            bases = np.stack([_basis(name, x, shape) for shape in options])
        rss, slopes = _residuals(y, bases, centre)
        best = int(np.argmin(rss))
        parameters = extra + 1  # 1, 2, 3, 4: intercept, slope, shape
        bic = n * math.log(rss[best] / n) + (parameters + levels) * math.log(n)  # + levels: noise and replicate offsets
        intercept = float(np.mean(y - slopes[best] * bases[best]))
        curves.append(Curve(name, parameters, bic, float(rss[best]), intercept, float(slopes[best]), options[best]))
        if name == "logistic":
            surface = rss.reshape(len(midpoints), len(scales))
            profile = surface.min(axis=1)
    freedom = max(1, n - 3 - levels)
    asked = np.log(between) if between else (low, high)
    steps = surface[np.ix_((midpoints >= asked[0]) & (midpoints <= asked[1]), RISE * scales < span / 3)]
    ratio = (steps.min() if steps.size else math.inf) / min(curve.rss for curve in curves) - 1
    p_step = float(special.fdtrc(2, freedom, ratio * freedom / 2))
    return replace(_judge(tuple(curves), midpoints, profile, freedom, (low, high)), p_step=p_step)


def _judge(
    curves: tuple[Curve, ...], midpoints: Array, profile: Array, freedom: int, tested: tuple[float, float]
) -> TransitionFit:
    logistic = curves[-1]
    midpoint, scale = logistic.shape
    gain = min(curve.bic for curve in curves[:-1]) - logistic.bic
    bound = logistic.rss * (1 + float(special.fdtri(1, freedom, 0.95)) / freedom)
    inside = midpoints[profile <= bound]
    interval = (float(inside.min()), float(inside.max()))
    width = RISE * scale / (tested[1] - tested[0])
    missing = []
    if not gain > BIC_GAIN:
        missing.append(f"BIC gain of a step {gain:.1f}, more than 10 needed".replace("-", "−"))
    if not (interval[0] >= tested[0] and interval[1] <= tested[1]):
        missing.append("its midpoint's interval leaves the tested range")
    if not width < 1 / 3:
        missing.append(f"its rise takes {100 * width:.0f} % of the tested range, under a third needed")
    verdict = OTHER if missing else STEP
    reason = (
        "; ".join(missing)
        if missing
        else f"BIC gain {gain:.1f}, midpoint inside the tested range, rise {100 * width:.0f} % of it"
    )
    cells = (math.exp(interval[0]), math.exp(interval[1]))
    return TransitionFit(verdict, reason, curves, gain, math.exp(midpoint), cells, width)
