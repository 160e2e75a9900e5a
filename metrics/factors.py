"""Which factor of the identity leaks: how well each can be read from the latents of many people in one pose."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from metrics.case import Case, Evaluator
from metrics.info import MetricInfo
from metrics.leakage import factor_r2


def crowd_of(case: Case) -> tuple[Tensor, Tensor]:
    """Pictures (N, 3, H, W) of many people in one pose and their factors (N, K), kept for all cases."""
    assert case.crowd is not None
    return case.remember("crowd", case.crowd, fixed=True)


def _factors(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    assert case.encode is not None
    if case.crowd is None:
        case.note("identity_factor_r2", "needs many people whose identity factors are known: the built-in faces")
        yield "identity_factor_r2", np.full(1, np.nan)
        return
    images, factors = crowd_of(case)
    device = case.images["src"].device
    with torch.no_grad():
        latents = case.encode(images.to(device)).float()
    yield "identity_factor_r2", factor_r2(latents, factors)


EVALUATORS = {
    "factors": Evaluator(
        _factors,
        (
            MetricInfo(
                "identity_factor_r2",
                "lower",
                "",
                0.0,
                "R^2 of each identity factor read linearly from the latents of many people in one pose; the mean over "
                "the factors, and one value for each factor in the renderer's order",
                title="Identity factors in the latent",
                decimals=3,
                ladder="factors",
                ends=(1.0, 0.0),
                bounds=(None, 1.0),
            ),
        ),
        frozenset({"model"}),
    ),
}
