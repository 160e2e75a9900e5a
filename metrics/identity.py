"""How much of the target's identity a swap shows: against the exact truth, in pixels and in an embedding.

Notation: y = swap, d = driver image, x = truth (target's identity, driver's pose), r = reconstruction of x by its own
decoder. All images (B, 3, H, W) display-encoded in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from metrics.case import DIRECTIONS, Case, Evaluator, as_values, driver_of, target_of
from metrics.info import MetricInfo

CODE_VALUE = 1 / 255  # differences below one 8-bit code value are noise
RELATIVE_FLOOR = 0.1  # the leak gap's denominator must be at least this share of d(d, x)


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


def leak_gap(swap: Tensor, driver: Tensor, truth: Tensor, own: Tensor, mask: Tensor) -> Tensor:
    """(B,) `(d(y,x) - d(r,x)) / (d(d,x) - d(r,x))` with masked L1 as d and `own` = r.

    0: the swap is as good as the target's own reconstruction at that pose; 1: no better than copying the driver.
    NaN where the denominator is under the noise floor: less than one code value, or less than a tenth of d(d, x)
    (a reconstruction about as wrong as a copy says nothing about leakage).
    """
    own_error = masked_l1(own, truth, mask)
    copy_error = masked_l1(driver, truth, mask)
    room = copy_error - own_error
    gap = (masked_l1(swap, truth, mask) - own_error) / room
    return gap.masked_fill(~(room > (RELATIVE_FLOOR * copy_error).clamp_min(CODE_VALUE)), float("nan"))


def _note_undefined(case: Case, name: str, values: np.ndarray, reason: str) -> None:
    lost = int(np.isnan(values).sum())
    if lost:
        case.note(name, f"{lost} of {len(values)} values undefined: {reason}")


def _pixels(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    moved, gaps, errors, own_errors = {}, {}, {}, {}
    for way in DIRECTIONS:
        driver, truth, own = case.images[driver_of(way)], case.truth(way), case.rec[target_of(way)]
        mask = swap_mask(case.alpha[driver_of(way)], case.alpha[target_of(way)])
        moved[way] = transfer(case.swap[way], driver, truth, mask, floor=CODE_VALUE)
        gaps[way] = leak_gap(case.swap[way], driver, truth, own, mask)
        errors[way] = masked_l1(case.swap[way], truth, mask)
        own_errors[way] = masked_l1(own, truth, mask)
    along = case.both(lambda way: moved[way].along)
    _note_undefined(case, "identity_transfer", along, "driver and truth look alike (under one code value)")
    yield "identity_transfer", along
    yield "off_axis", case.both(lambda way: moved[way].off_axis)
    gap = case.both(gaps.__getitem__)
    _note_undefined(
        case, "leak_gap", gap, "the reconstruction is hardly better than a copy (denominator under the noise floor)"
    )
    yield "leak_gap", gap
    error = case.both(errors.__getitem__)
    yield "swap_error", error
    own_error = case.both(own_errors.__getitem__)
    ratio = np.divide(error, own_error, out=np.full_like(error, np.nan), where=own_error > 0.1 * CODE_VALUE)
    _note_undefined(case, "swap_ratio", ratio, "the reconstruction is exact, a ratio to its error has no meaning")
    yield "swap_ratio", ratio


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
            ),
            MetricInfo(
                "leak_gap",
                "lower",
                "",
                0.0,
                "0: as good as the target's own reconstruction at the same pose; 1: no better than copying",
                title="Leak gap",
                decimals=3,
                ladder="blend",
                ends=(1.0, 0.0),
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
            ),
            MetricInfo(
                "swap_ratio",
                "lower",
                "×",
                1.0,
                "error of the swap over the error of the target's own reconstruction at the same pose",
                title="Swap / reconstruction error",
                decimals=2,
                ladder="blend_soft",
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
            ),
        ),
        frozenset({"model"}),
    ),
}
