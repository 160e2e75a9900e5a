"""How much of the target's identity a swap shows: against the exact truth, in pixels and in an embedding.

Notation: y = swap, d = driver image, x = truth (target's identity, driver's pose), r = reconstruction of x by its own
decoder. All images (B, 3, H, W) display-encoded in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from torch import Tensor

from metrics.case import DIRECTIONS, LOST, Case, Evaluator, as_values, driver_of, mean_of, target_of
from metrics.info import MetricInfo

CODE_VALUE = 1 / 255  # differences below one 8-bit code value are noise
RELATIVE_MARGIN = 0.1  # a reconstruction must beat the copy and the mean picture by this share of their error


class Transfer(NamedTuple):
    """`along` (B,): 0 = driver, 1 = truth. `off_axis` (B,): orthogonal part, over the same distance driver-truth."""

    along: Tensor
    off_axis: Tensor


def swap_mask(alpha_driver: Tensor, alpha_truth: Tensor, threshold: float = 0.5) -> Tensor:
    """(B, 1, H, W) bool: pixels of the driver's or the truth's matte.

    The union, because a swap that keeps the driver's hair outline paints outside of the truth's matte, and one that
    loses the truth's outline errs inside it; either alone would hide one of the two.
    """
    return (alpha_driver > threshold) | (alpha_truth > threshold)


def transfer(swap: Tensor, driver: Tensor, truth: Tensor, mask: Tensor | None = None, floor: float = 0.0) -> Transfer:
    """Projection of swap - driver on truth - driver, and what is left beside that line.

    `(B, ...)` features of any shape: pixels (with a `mask` that broadcasts) or embeddings. With b = truth - driver:
    along = <swap - driver, b> / |b|^2; off_axis = |swap - driver - along * b| / |b|, so both are free of scale.
    An image whose |b| is at most `floor` (root mean square over the masked values; 0 for exactly equal) gives NaN.
    Blur and collapse can reach along = 1; off_axis exposes them.
    """
    weight = (mask.to(driver.dtype).expand_as(driver) if mask is not None else driver.new_ones(driver.shape)).flatten(1)
    base = (truth - driver).flatten(1) * weight
    moved = (swap - driver).flatten(1) * weight
    square = base.square().sum(1)
    along = (moved * base).sum(1) / square
    off_axis = (moved - along[:, None] * base).norm(dim=1) / square.sqrt()
    undefined = square <= floor**2 * weight.sum(1)
    return Transfer(along.masked_fill(undefined, float("nan")), off_axis.masked_fill(undefined, float("nan")))


def masked_l1(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
    """(B,) mean absolute difference over the masked pixels and all channels; NaN where the mask is empty."""
    weight = mask.to(a.dtype).expand_as(a)
    return ((a - b).abs() * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)


class Gap(NamedTuple):
    """`value`: NaN where it is undefined, and `reason` then says why."""

    value: float
    reason: str = ""


def leak_gap(swap: np.ndarray, own: np.ndarray, copy: np.ndarray, mean_face: np.ndarray) -> Gap:
    """`(d(y, x) - d(r, x)) / (d(d, x) - d(r, x))`, each d the mean over the pictures of a replicate.

    Takes the errors (N,) to the truth of the swap, of the target's own reconstruction of it, of the copied driver and
    of the target's mean picture. 0: the swap is as good as the own reconstruction; 1: no better than copying.
    A ratio of means, because a mean of ratios rests on the pictures that are left. Undefined where more than a tenth
    of the pictures is reconstructed hardly better than a copy would be (by a tenth of its error, or one code value),
    and where the reconstructions are hardly better than the mean picture: a collapsed model has nothing to leak into.
    Pictures without a head (NaN) are left out, a tenth of them at most.
    """
    shown = ~np.isnan(swap + own + copy + mean_face)
    if 1 - shown.mean() > LOST:
        return Gap(np.nan, f"{(~shown).sum()} of {len(shown)} pictures show no head")
    swap, own, copy, mean_face = (error[shown] for error in (swap, own, copy, mean_face))
    if mean_face.mean() - own.mean() <= RELATIVE_MARGIN * mean_face.mean():
        return Gap(np.nan, "the reconstructions are hardly better than the target's mean picture")
    lost = copy - own <= np.maximum(RELATIVE_MARGIN * copy, CODE_VALUE)
    if lost.mean() > LOST:
        return Gap(np.nan, f"{lost.sum()} of {len(lost)} pictures are reconstructed hardly better than by a copy")
    return Gap(float((swap.mean() - own.mean()) / (copy.mean() - own.mean())))


class Errors(NamedTuple):
    """Masked L1 to the exact truth (2M,), both directions: of the swap, and of what a leak gap compares it with."""

    swap: np.ndarray
    own: np.ndarray
    copy: np.ndarray
    mean_face: np.ndarray

    @property
    def gap(self) -> Gap:
        return leak_gap(*self)


def errors(case: Case, swap: Mapping[str, Tensor] | None = None) -> Errors:
    """The errors of a case with ground truth; `swap` in place of its own swaps."""

    def distance(pictures: Callable[[str], Tensor]) -> np.ndarray:
        return case.both(lambda way: masked_l1(pictures(way).expand_as(case.truth(way)), case.truth(way), mask[way]))

    def mean_face(way: str) -> Tensor:
        return case.images[target_of(way)].mean(0, keepdim=True)

    mask = {way: swap_mask(case.alpha[driver_of(way)], case.alpha[target_of(way)]) for way in DIRECTIONS}
    shown = case.swap if swap is None else swap
    return Errors(
        swap=distance(shown.__getitem__),
        own=distance(lambda way: case.rec[target_of(way)]),
        copy=case.remember("copy_error", lambda: distance(lambda way: case.images[driver_of(way)]), fixed=True),
        mean_face=case.remember(
            "mean_face_error",
            lambda: distance(mean_face),
            fixed=True,
        ),
    )


def _pixels(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    moved = {}
    for way in DIRECTIONS:
        driver, truth = case.images[driver_of(way)], case.truth(way)
        mask = swap_mask(case.alpha[driver_of(way)], case.alpha[target_of(way)])
        moved[way] = transfer(case.swap[way], driver, truth, mask, floor=CODE_VALUE)
    along = case.both(lambda way: moved[way].along)
    for name in ("identity_transfer", "off_axis"):
        case.note_lost(name, along, "driver and truth look alike (under one code value), or neither shows a head")
    yield "identity_transfer", along
    yield "off_axis", case.both(lambda way: moved[way].off_axis)
    found = errors(case)
    if found.gap.reason:
        case.note("leak_gap", found.gap.reason)
    yield "leak_gap", np.array([found.gap.value])
    case.note_lost("swap_error", found.swap, "neither the driver nor the truth shows a head")
    yield "swap_error", found.swap
    exact = mean_of(found.own) <= 0.1 * CODE_VALUE
    reason = found.gap.reason or ("the reconstruction is exact, a ratio to its error has no meaning" if exact else "")
    if reason:
        case.note("swap_ratio", reason)
    yield "swap_ratio", np.array([np.nan if reason else mean_of(found.swap) / mean_of(found.own)])


def _cycle(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    assert case.encode is not None and case.decode is not None
    errors = []
    for way in DIRECTIONS:
        driver = case.images[driver_of(way)]
        back = cycle(case.encode, case.decode, case.swap[way], driver_of(way))
        errors.append(as_values(masked_l1(back, driver, case.alpha[driver_of(way)] > 0.5)))
    yield "cycle_error", np.concatenate(errors)


def cycle(encode, decode, swap: Tensor, driver: str) -> Tensor:
    """(B, 3, H, W) images of A -> B -> A: the swap encoded again and decoded as the driver. Needs no ground truth.

    A model that copies passes this perfectly: read it only beside a measure of identity.
    """
    return decode(encode(swap), driver)


EVALUATORS = {
    "identity": Evaluator(
        _pixels,
        (
            MetricInfo(
                "identity_transfer",
                "higher",
                "",
                1.0,
                "pixels in the face: 0 = copy of the driver, 1 = the exact swap",
                title="Identity transfer",
                decimals=3,
                ladder="blend",
                ends=(0.0, 1.0),
                controls={
                    "blurred_copy": (float("-inf"), 0.5),
                    "half_face": (0.2, 0.8),
                    "poor_reconstruction": (0.999, 1.001),
                },
            ),
            MetricInfo(
                "off_axis",
                "lower",
                "",
                0.0,
                "the part of the change that leads elsewhere, over the distance driver to truth; exposes collapse",
                title="Off-axis residual",
                decimals=3,
                ladder="collapse",
                ends=(None, 0.0),
                controls=dict.fromkeys(("mean_face", "other_pose", "half_face", "blurred_copy"), (0.1, float("inf"))),
                bounds=(0.0, None),
            ),
            MetricInfo(
                "leak_gap",
                "lower",
                "",
                0.0,
                "0 = as good as the target's own reconstruction at that pose, 1 = no better than a copy of the driver",
                title="Leak gap",
                decimals=3,
                ladder="blend",
                ends=(1.0, 0.0),
                controls={"mean_face": None, "poor_reconstruction": None, "ghost": (0.45, 0.55)},
            ),
            MetricInfo(
                "swap_error",
                "lower",
                "",
                0.0,
                "mean absolute error of the swap to the exact truth over the union of both mattes",
                title="Swap error",
                decimals=4,
                ladder="blend",
                ends=(None, 0.0),
                controls={"poor_reconstruction": (0.0, 1e-6)},
                bounds=(0.0, None),
            ),
            MetricInfo(
                "swap_ratio",
                "lower",
                "×",
                1.0,
                "mean error of the swaps over the mean error of the target's own reconstructions at the same poses",
                title="Swap / reconstruction error",
                decimals=2,
                ladder="blend_soft",
                controls={"mean_face": None, "poor_reconstruction": None},
                bounds=(0.0, None),
            ),
        ),
        frozenset({"truth"}),
    ),
    "cycle": Evaluator(
        _cycle,
        (
            MetricInfo(
                "cycle_error",
                "lower",
                "",
                0.0,
                "masked L1 of A -> B -> A to A; a copying model scores 0, so read it beside identity only",
                title="Cycle error",
                decimals=4,
                ladder="cycle",
                ends=(None, 0.0),
                bounds=(0.0, None),
            ),
        ),
        frozenset({"model"}),
    ),
}
