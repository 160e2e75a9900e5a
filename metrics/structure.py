"""Does a swap keep the driver's pose and expression? Read by a regressor, judged against the true factors.

A copy of the driver is perfect here: never read these numbers without identity transfer beside them.
`regressor(images (B, 3, H, W)) -> {"pose": (B, K), "landmarks": (B, L, 2)}`, with `.pose_names` naming the K factors. A
reader of photographs names angles at most: then angles, landmarks and the detection rate are judged, against what it
reads in the driver itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values
from metrics.info import MetricInfo
from metrics.readings import EXPRESSIONS, Error, Readings

ANGLES = ("yaw", "pitch", "roll")  # degrees
SLOPES = ("yaw", "mouth_open", "blink", "smile")
PROFILE_YAW = 45.0  # beyond it the eyes' distance shrinks to nothing and the face's diagonal takes its place


def landmark_error(found: Tensor, truth: Tensor, eyes: tuple[int, int], yaw: Tensor | None = None) -> Tensor:
    """(B,) mean landmark distance over the inter-ocular distance, or over the face diagonal beyond 45 degrees of yaw.

    found, truth (B, L, 2) in any common unit; eyes: indices of the two eye centres; yaw (B,) degrees. The diagonal is
    that of the bounding box of the true landmarks.
    """
    between = (truth[:, eyes[0]] - truth[:, eyes[1]]).norm(dim=1)
    if yaw is not None:
        diagonal = (truth.amax(1) - truth.amin(1)).norm(dim=1)
        between = torch.where(yaw.abs() > PROFILE_YAW, diagonal, between)
    return (found - truth).norm(dim=2).mean(1) / between


def r2(found: np.ndarray, truth: np.ndarray) -> float:
    """1 - residual / total sum of squares; NaN when the truth does not vary. Constant answers score 0 or less."""
    total = np.square(truth - truth.mean()).sum()
    return float(1 - np.square(found - truth).sum() / total) if total > 1e-12 else float("nan")


def gain(found: np.ndarray, truth: np.ndarray) -> float:
    """Slope of `found` on `truth`: 1 = follows fully, 0 = ignores it; NaN when the truth does not vary."""
    centred = truth - truth.mean()
    total = np.square(centred).sum()
    return float(found @ centred / total) if total > 1e-12 else float("nan")


def _eyes(names: tuple[str, ...]) -> tuple[int, int]:
    return (names.index("eye_left"), names.index("eye_right")) if "eye_left" in names else (0, 1)


def _structure(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    seen = Readings(case)
    if not any(name in seen.names for name in EXPRESSIONS):
        yield from _of_photographs(case, seen)
        return
    absent = [name for name in (*ANGLES, *EXPRESSIONS, *SLOPES) if name not in seen.names]
    if absent:
        raise ValueError(f"the regressor does not read {', '.join(absent)}; it reads {', '.join(seen.names)}")
    yield from _landmarks(case, seen)
    for name in ANGLES:
        error = seen.error(name)
        yield f"{name}_error", error.excess
        yield f"{name}_error_floor", error.floor

    expression = seen.expression()
    if expression is None:
        case.note("expression_error", "no expression varies in these pictures")
        expression = Error(*np.full((2, 1), np.nan))
    yield "expression_error", expression.excess
    yield "expression_error_floor", expression.floor

    for name in SLOPES:
        truth = np.concatenate([seen.true(seen.reference(way), name) for way in DIRECTIONS])
        own = np.concatenate([seen.true(person, name) for person in PEOPLE])
        for prefix, found, wanted in (
            ("", np.concatenate([seen.factor(seen.swap[way], name) for way in DIRECTIONS]), truth),
            ("rec_", np.concatenate([seen.factor(seen.rec[p], name) for p in PEOPLE]), own),
            ("floor_", np.concatenate([seen.factor(seen.real[p], name) for p in PEOPLE]), own),
        ):
            for what, value in (("r2", r2(found, wanted)), ("gain", gain(found, wanted))):
                case.note_lost(f"{prefix}{name}_{what}", np.array([value]), "it does not vary in these pictures")
                yield f"{prefix}{name}_{what}", np.array([value])

    yield from _detection(case, seen)


def _of_photographs(case: Case, seen: Readings) -> Iterator[tuple[str, np.ndarray]]:
    """Landmarks and angles against what the same reader sees in the driver: agreement, for want of a truth."""
    found = dict([*_landmarks(case, seen), *_detection(case, seen)])
    found |= {f"{name}_error": seen.error(name).swap for name in ANGLES if name in seen.names}
    del found["landmark_error_floor"]  # against its own reading it would be 0, and say nothing
    for info in EVALUATORS["structure"].infos:
        if info.name not in found:
            case.note(info.name, "the reader of photographs reads no expression, and knows no truth to be held against")
        yield info.name, found.get(info.name, np.array([np.nan]))


def _detection(case: Case, seen: Readings) -> Iterator[tuple[str, np.ndarray]]:
    flags = [reading["found"] for reading in seen.swap.values() if "found" in reading]
    if len(flags) < len(DIRECTIONS):
        case.note("detection_rate", "this regressor reads every image and never says that it found no face")
        flags = [torch.full((1,), float("nan"))]
    yield "detection_rate", np.concatenate([as_values(found) for found in flags])


def _landmarks(case: Case, seen: Readings) -> Iterator[tuple[str, np.ndarray]]:
    swaps, floors = [], []
    for way in DIRECTIONS:
        person = seen.reference(way)
        real = seen.real[person]["landmarks"]
        truth = case.landmarks[person].to(real) if case.landmarks is not None else real
        yaw = torch.as_tensor(seen.true(person, "yaw")).to(real) if "yaw" in seen.names else None
        eyes = _eyes(case.landmark_names or tuple(getattr(case.regressor, "landmark_names", ())))
        swaps.append(as_values(landmark_error(seen.swap[way]["landmarks"], truth, eyes, yaw)))
        floors.append(as_values(landmark_error(real, truth, eyes, yaw)))
    swap, floor = np.concatenate(swaps), np.concatenate(floors)
    yield "landmark_error", swap - floor
    yield "landmark_error_floor", floor


def _floor(name: str, title: str, unit: str, decimals: int) -> MetricInfo:
    """The regressor's own error on the truth, which its metric has taken off."""
    what = f"{title.lower()} of the regressor on the truth itself"
    return MetricInfo(
        f"{name}_floor", "none", unit, None, what, title=f"{title}, floor of the reader", decimals=decimals
    )


def _infos() -> Iterator[MetricInfo]:
    yield MetricInfo(
        "landmark_error",
        "lower",
        "eye distances",
        0.0,
        "mean landmark distance to the truth over the inter-ocular distance (face diagonal beyond 45 degrees of yaw), "
        "minus the regressor's own error on the truth",
        title="Landmark error",
        decimals=4,
        ladder="pose",
        ends=(None, 0.0),
    )
    yield _floor("landmark_error", "Landmark error", "eye distances", 4)
    for name in ANGLES:
        what = f"error of the swap's {name} to the driver's, minus the regressor's own error on the truth"
        title = f"{name.capitalize()} error"
        yield MetricInfo(
            f"{name}_error", "lower", "°", 0.0, what, ladder="pose", ends=(None, 0.0), title=title, decimals=2
        )
        yield _floor(f"{name}_error", title, "°", 2)
    yield MetricInfo(
        "expression_error",
        "lower",
        "SD",
        0.0,
        "mean error of the expression factors, each in its standard deviations, minus the regressor's own on the truth",
        title="Expression error",
        decimals=3,
        ladder="pose",
        ends=(None, 0.0),
    )
    yield _floor("expression_error", "Expression error", "SD", 3)
    for name in SLOPES:
        shown = name.replace("_", " ")
        for prefix, of, where in (
            ("", "swaps", ""),
            ("rec_", "reconstructions", " of reconstructions"),
            ("floor_", "real images", " of real images"),
        ):
            ladder = "" if prefix == "floor_" else "pose"
            yield MetricInfo(
                f"{prefix}{name}_r2",
                "none" if prefix == "floor_" else "higher",
                "",
                1.0,
                f"R^2 of {shown} read in the {of} against the true factor",
                ladder=ladder,
                title=f"{shown.capitalize()} R²{where}",
                decimals=2,
                bounds=(None, 1.0),
            )
            yield MetricInfo(
                f"{prefix}{name}_gain",
                "none",
                "",
                1.0,
                f"slope of {shown} read in the {of} on the true factor; 0 = ignored",
                ladder=ladder,
                title=f"{shown.capitalize()} gain{where}",
                decimals=2,
            )
    yield MetricInfo(
        "detection_rate",
        "higher",
        "",
        1.0,
        "swaps in which the regressor finds a face at all",
        title="Faces found in swaps",
        decimals=3,
        bounds=(0.0, 1.0),
    )


EVALUATORS = {"structure": Evaluator(_structure, tuple(_infos()), frozenset({"regressor"}))}
