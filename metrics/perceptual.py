"""Perceptual distance: LPIPS when the case brings it, else the distance in a fixed random network's features, so named.

A random network sees edges and textures but was never taught what people notice: its number is published under its own
name, never as LPIPS.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values
from metrics.info import MetricInfo

SEED = 20180618  # of the random network: it is part of the number's definition
WIDTHS = (16, 32, 64)
BATCH = 64


@functools.cache
def random_features() -> tuple[Tensor, ...]:
    """Weights of the fixed network: three 3 x 3 convolutions of stride 2 for ReLUs, He-normal from SEED, no biases."""
    rng = torch.Generator().manual_seed(SEED)
    layers, channels = [], 3
    for width in WIDTHS:
        layers.append(torch.randn(width, channels, 3, 3, generator=rng) * (2 / (9 * channels)) ** 0.5)
        channels = width
    return tuple(layers)


@torch.no_grad()
def random_feature_distance(x: Tensor, y: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) twice, display values in [0, 1] -> (B,); 0 for equal ones. It is not LPIPS.

    Built as LPIPS is (unit features, squared differences, mean over places, sum over layers), of random features with
    equal channel weights.
    """
    total = x.new_zeros(len(x), dtype=torch.float32)
    x, y = 2 * x.float() - 1, 2 * y.float() - 1
    for weight in random_features():
        x, y = (torch.relu(conv2d(side, weight.to(x.device), stride=2, padding=1)) for side in (x, y))
        total += (_unit(x) - _unit(y)).square().sum(dim=1).mean(dim=(1, 2))
    return total


def _unit(features: Tensor) -> Tensor:
    return features * (features.square().sum(dim=1, keepdim=True) + 1e-6).rsqrt()


Distance = Callable[[Tensor, Tensor], Tensor]


def _in_parts(distance: Distance, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([distance(a, b) for a, b in zip(x.split(BATCH), y.split(BATCH), strict=True)])


def _both_names(case: Case, prefix: str, values: Callable[[Distance], np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """One of the two numbers; the other one is undefined, and why is noted."""
    lpips, random = f"{prefix}_lpips", f"{prefix}_random_feature_distance"
    if case.perceptual is None:
        case.note(lpips, "needs LPIPS's pretrained trunk, which is not on this machine: harness weights")
        yield lpips, np.array([np.nan])
        yield random, values(random_feature_distance)
        return
    case.note(random, "only stands in where LPIPS is missing")
    yield random, np.array([np.nan])
    try:
        yield lpips, values(case.perceptual)
    except ValueError as error:  # pictures smaller than the trunk can see
        case.note(lpips, str(error))
        yield lpips, np.array([np.nan])


def _rec(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    def values(distance: Distance) -> np.ndarray:
        return np.concatenate([as_values(_in_parts(distance, case.rec[p], case.images[p])) for p in PEOPLE])

    yield from _both_names(case, "rec", values)


def _swap(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    def values(distance: Distance) -> np.ndarray:
        return np.concatenate([as_values(_in_parts(distance, case.swap[way], case.truth(way))) for way in DIRECTIONS])

    yield from _both_names(case, "swap", values)


def _infos(prefix: str, of: str, what: str, ladder: str) -> tuple[MetricInfo, ...]:
    return (
        MetricInfo(
            f"{prefix}_lpips",
            "lower",
            "",
            0.0,
            f"LPIPS 0.1 with the AlexNet trunk, {what}, display encoding",
            ladder=ladder,
            ends=(None, 0.0),
            title=f"LPIPS, {of}",
            decimals=4,
            bounds=(0.0, None),
        ),
        MetricInfo(
            f"{prefix}_random_feature_distance",
            "lower",
            "",
            0.0,
            f"distance in the features of a fixed random network, {what}; not LPIPS, which needs pretrained weights",
            ladder=ladder,
            ends=(None, 0.0),
            title=f"Random-feature distance, {of}",
            decimals=4,
            bounds=(0.0, None),
        ),
    )


EVALUATORS = {
    "perceptual_rec": Evaluator(_rec, _infos("rec", "reconstruction", "reconstruction to input", "rec_blur")),
    "perceptual_swap": Evaluator(
        _swap, _infos("swap", "swap", "swap to the exact truth", "blend"), frozenset({"truth"})
    ),
}
