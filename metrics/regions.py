"""Where a swap is wrong: on glasses, on hair, or on the rest of the two heads.

A pixel belongs to a region where the driver or the truth shows it, for a swap errs in two ways: by keeping what should
vanish and by missing what should appear.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values
from metrics.identity import masked_l1, swap_mask
from metrics.info import MetricInfo

APART = ("glasses", "hair")
WHERE = {"glasses": "glasses", "hair": "hair", "rest": "the rest of the two heads"}


def either(shares: Tensor, others: Tensor, threshold: float = 0.5) -> Tensor:
    """(M, H, W) shares of a region in two pictures of one pose -> (M, 1, H, W) bool, where one of them shows it."""
    return (torch.maximum(shares, others) > threshold)[:, None]


def _masks(case: Case) -> dict[str, np.ndarray]:
    """{region: packed bits}: small enough to be kept for every case over the same images."""
    assert case.regions is not None
    src, dst = (case.regions(person) for person in PEOPLE)
    return {name: np.packbits(either(src[name], dst[name]).cpu().numpy()) for name in APART}


def _errors(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    packed = case.remember("regions", partial(_masks, case), fixed=True)
    shape = case.alpha["src"].shape
    device = case.images["src"].device
    masks = {
        name: torch.from_numpy(np.unpackbits(bits, count=shape.numel()).astype(bool)).view(shape).to(device)
        for name, bits in packed.items()
    }
    heads = swap_mask(case.alpha["src"], case.alpha["dst"])
    masks["rest"] = heads & ~masks["glasses"] & ~masks["hair"]
    for name, mask in masks.items():
        errors = np.concatenate([as_values(masked_l1(case.swap[w], case.truth(w), mask)) for w in DIRECTIONS])
        case.note_lost(f"swap_error_{name}", errors, f"no pixel of {WHERE[name]} in the driver or the truth")
        if np.isnan(errors).all():
            case.note(f"swap_error_{name}", f"neither person has {name}")
        yield f"swap_error_{name}", errors


EVALUATORS = {
    "regions": Evaluator(
        _errors,
        tuple(
            MetricInfo(
                f"swap_error_{name}",
                "lower",
                "",
                0.0,
                f"mean absolute error of the swap to the exact truth where the driver or the truth shows {where}",
                title=f"Swap error, {name}",
                decimals=4,
                ladder="blend",
                ends=(None, 0.0),
                bounds=(0.0, None),
            )
            for name, where in WHERE.items()
        ),
        frozenset({"truth", "regions"}),
    ),
}
