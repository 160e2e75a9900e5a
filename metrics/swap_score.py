"""The headline: how much of a swap there is, from 0 (the best answer without a swap) to 1 (the exact swap).

Two skill scores, 1 - error / error of a reference (Murphy 1988, Monthly Weather Review 116), and the lower of the two:

- in pixels, against the better of two answers that swap nobody: the target's mean picture, and a ghost half-way between
  driver and truth (half as wrong as the copy). Copy, mean face, ghost, blur and a wrong pose cannot win here.
- in expression, against the target's mean picture, which has none: an exact face with a frozen expression cannot win.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, mean_of, target_of
from metrics.identity import CODE_VALUE, errors
from metrics.info import MetricInfo
from metrics.readings import Readings

GHOST = 0.5  # a ghost's error is this share of the copy's
FLAT = 0.1  # standard deviations: a mean picture that errs by less in expression is no reference


def skill(error: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """(2M,) `1 - error / reference`, both (2M,) with src->dst in the first half: 0 like the reference, 1 exact.

    The reference is the mean over its direction: each picture weighs the same, the mean of the skills is the skill of
    the means, and no picture's own small reference makes it an outlier. Negative: worse than the reference.
    """
    means = np.array([mean_of(half) for half in reference.reshape(2, -1)])
    return 1 - error / np.repeat(means, len(error) // 2)


def pixel_skill(case: Case) -> np.ndarray:
    """(2M,) skill of the swaps' masked L1; NaN where driver and truth look alike (under one code value)."""
    found = errors(case)
    trivial = np.stack([found.mean_face, GHOST * found.copy]).reshape(2, 2, -1)
    reference = np.apply_along_axis(mean_of, 2, trivial).min(axis=0)
    if np.isnan(reference).any():
        case.note("pixel_skill", "more than a tenth of the pictures of a direction shows no head")
    elif reference.min() <= CODE_VALUE:
        case.note("pixel_skill", "the two people look alike: an answer without a swap errs by under one code value")
        return np.full(len(found.swap), np.nan)
    return skill(found.swap, np.repeat(reference, len(found.swap) // 2))


def expression_skill(case: Case) -> np.ndarray:
    """(2M,) skill of the swaps' expression error beyond the regressor's own; NaN where no expression varies."""
    seen = Readings(case)
    found = seen.expression()
    if found is not None:
        reference = case.remember("mean face's expression", lambda: _mean_face(seen), fixed=True)
        if reference.reshape(2, -1).mean(axis=1).min() > FLAT:
            return skill(found.excess, reference)
    case.note("expression_skill", "no expression varies in these pictures")
    return np.full(2 * case.count, np.nan)


def _mean_face(seen: Readings) -> np.ndarray:
    """(2M,) expression error of the targets' mean pictures, beyond the regressor's own."""
    case = seen.case
    with torch.no_grad():
        read = {person: case.regressor(case.images[person].mean(0, keepdim=True)) for person in PEOPLE}
    constant = {way: _repeated(read[target_of(way)], case.count) for way in DIRECTIONS}
    error = seen.expression(constant)
    assert error is not None
    return error.excess


def _repeated(reading: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    return {"pose": reading["pose"].expand(count, -1)}


def _swap_score(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    parts = {"pixel_skill": pixel_skill(case), "expression_skill": expression_skill(case)}
    yield from parts.items()
    means = {name: mean_of(values) for name, values in parts.items()}
    undefined = [name for name, mean in means.items() if np.isnan(mean)]
    lower = undefined[0] if undefined else min(means, key=lambda name: means[name])
    case.note("swap_score", case.notes.get(lower, "") if undefined else f"the lower part is {lower}")
    yield "swap_score", parts[lower]


NEVER = float("-inf")
NO_SWAP = {
    "oracle": (1.0, 1.0),
    "copy": (NEVER, 0.0),
    "mean_face": (NEVER, 1e-6),
    "ghost": (NEVER, 1e-6),
    "blurred_copy": (NEVER, 0.0),
    "half_face": (NEVER, 0.2),
    "other_pose": (NEVER, 0.0),
    "poor_reconstruction": (1.0, 1.0),
}

EVALUATORS = {
    "swap_score": Evaluator(
        _swap_score,
        (
            MetricInfo(
                "swap_score",
                "higher",
                "",
                1.0,
                "0 = the best answer without a swap (mean face, copy, ghost), 1 = the exact swap; the lower of the "
                "skills in pixels and in expression",
                title="Swap score",
                decimals=3,
                ladder="blend",
                ends=(None, 1.0),
                controls={**NO_SWAP, "frozen_expression": (NEVER, 0.5)},
                bounds=(None, 1.0),
            ),
            MetricInfo(
                "pixel_skill",
                "higher",
                "",
                1.0,
                "share of the pixel error of the best answer without a swap that is gone",
                title="Skill in pixels",
                decimals=3,
                ladder="blend",
                ends=(None, 1.0),
                controls=NO_SWAP,
                bounds=(None, 1.0),
            ),
            MetricInfo(
                "expression_skill",
                "higher",
                "",
                1.0,
                "share of the mean face's expression error that is gone; a copy is perfect here",
                title="Skill in expression",
                decimals=3,
                ladder="pose",
                ends=(None, 1.0),
                controls={"mean_face": (-0.01, 0.01), "frozen_expression": (NEVER, 0.5)},
            ),
        ),
        frozenset({"truth", "regressor"}),
    ),
}
