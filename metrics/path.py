"""Geometry of a latent space: perceptual path length, and interpolation against the true interpolation.

A decoder that always paints the same scores the shortest path: read it only beside reconstruction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from metrics.case import PEOPLE, Case, Evaluator, as_values
from metrics.info import MetricInfo

EPSILON = 1e-4
BETWEEN = 16  # neighbouring pairs of poses whose middle is rendered
PERCENTILES = (1.0, 99.0)  # what lies outside is left out, as in Karras, Laine, Aila 2019


def squared_l2(a: Tensor, b: Tensor) -> Tensor:
    """(B,) sum of squared differences."""
    return (a - b).square().flatten(1).sum(1)


def path_lengths(
    decode: Callable[[Tensor], Tensor],
    z0: Tensor,
    z1: Tensor,
    squared_distance: Callable[[Tensor, Tensor], Tensor] = squared_l2,
    epsilon: float = EPSILON,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(B,) `d(decode(z(t)), decode(z(t + eps)))^2 / eps^2` at one random t in [0, 1 - eps] on each straight way z0-z1.

    z0, z1 (B, ...) latents; lerp, never slerp, which changes the norms of VAE latents. Computed in the dtype of the
    latents, which must be float32 or float64: a bfloat16 step of 1e-4 is no step (ValueError). For a linear decoder A
    and L2 this is |A (z1 - z0)|^2 at every eps. Karras, Laine, Aila 2019, section 4.1.
    """
    if z0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"path lengths need float32 or float64 latents, got {z0.dtype}: a step of {epsilon} vanishes")
    t = torch.rand(len(z0), dtype=torch.float64, generator=generator) * (1 - epsilon)
    t = t.reshape(-1, *[1] * (z0.dim() - 1)).to(z0)
    with torch.no_grad():
        return squared_distance(decode(torch.lerp(z0, z1, t)), decode(torch.lerp(z0, z1, t + epsilon))) / epsilon**2


def filtered(values: np.ndarray) -> np.ndarray:
    """The values within the 1st and 99th percentile: the others are replaced by NaN, so that indices stay."""
    values = np.asarray(values, dtype=np.float64)
    low, high = np.nanpercentile(values, PERCENTILES)
    return np.where((values >= low) & (values <= high), values, np.nan)


def interpolation_error(
    decode: Callable[[Tensor], Tensor], z0: Tensor, z1: Tensor, truth: Tensor, shares: Tensor
) -> Tensor:
    """(T, B) mean absolute error of decode(lerp of latents) to the true pictures in between.

    truth (T, B, C, H, W): for instance renders of the interpolated factors, at each of the shares (T,) of the way.
    """
    with torch.no_grad():
        pictures = [decode(torch.lerp(z0, z1, float(share))) for share in shares]
    return torch.stack([(p - x).abs().flatten(1).mean(1) for p, x in zip(pictures, truth, strict=True)])


def _painted(decode: Callable[[Tensor, str], Tensor], person: str, z: Tensor) -> Tensor:
    return decode(z, person)


def _path(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    assert case.mu is not None and case.decode is not None
    decode, generator = case.decode, torch.Generator().manual_seed(0)
    values = []

    for person in PEOPLE:
        z = case.mu[person].float()
        found = path_lengths(partial(_painted, decode, person), z, z.roll(1, 0), generator=generator)
        values.append(as_values(found / case.images[person][0].numel()))
    lengths = np.concatenate(values)
    if (lengths == 0).mean() > 0.5:
        case.note("ppl", "most steps change nothing: the decoder is constant, or works in too low a precision")
    yield "ppl", filtered(lengths)


def _interpolation(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """Half-way between the latents of poses i and i + 1, against the true picture half-way between their factors."""
    assert case.mu is not None and case.decode is not None and case.render is not None and case.pose is not None
    decode, render = case.decode, case.render
    between: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    n = min(BETWEEN, case.count - 1)
    for person in PEOPLE:
        z, pose = case.mu[person].float(), case.pose
        middle = torch.lerp(pose[:n], pose[1 : n + 1], 0.5)
        truth = case.remember(f"half-way {person}", partial(render, person, middle), fixed=True)
        half = torch.tensor([0.5])
        found = interpolation_error(partial(_painted, decode, person), z[:n], z[1 : n + 1], truth[None], half)
        at_ends = (case.rec[person][: n + 1] - case.images[person][: n + 1]).abs().flatten(1).mean(1)
        between.append(as_values(found[0]))
        ends.append(as_values(torch.lerp(at_ends[:-1], at_ends[1:], 0.5)))
    error = np.concatenate(between)
    yield "interpolation_error", error
    yield "interpolation_excess", error - np.concatenate(ends)


EVALUATORS = {
    "interpolation": Evaluator(
        _interpolation,
        (
            MetricInfo(
                "interpolation_error",
                "lower",
                "",
                0.0,
                "mean absolute error of the picture half-way between two latents to the true picture half-way between "
                "their poses",
                title="Error half-way between latents",
                decimals=4,
                bounds=(0.0, None),
            ),
            MetricInfo(
                "interpolation_excess",
                "lower",
                "",
                0.0,
                "the same, minus the reconstruction error at the two ends: what the way between costs",
                title="Error half-way, over reconstruction",
                decimals=4,
            ),
        ),
        frozenset({"latent", "model", "truth", "renderer"}),
    ),
    "path": Evaluator(
        _path,
        (
            MetricInfo(
                "ppl",
                "lower",
                "",
                None,
                "mean squared change of a pixel for a step along the line between two latents, over the step squared; "
                "a collapsed decoder scores best",
                title="Path length (PPL)",
                decimals=4,
                ladder="path",
                bounds=(0.0, None),
            ),
        ),
        frozenset({"latent", "model"}),
    ),
}
