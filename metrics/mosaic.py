"""Whom a face recogniser sees in a mosaic: how many cells of plain colour carry an identity.

A property of the pictures alone, measured without any model: the same for all variants of a replicate.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from metrics.case import PEOPLE, Case, Evaluator, as_values
from metrics.info import MetricInfo
from metrics.recognition import DISTRACTORS, centre, embeddings, retrieved, strangers

CELLS = (3, 4, 5, 6, 7)


def mosaic(images: Tensor, cells: int) -> Tensor:
    """(B, C, H, W) pictures as `cells` x `cells` squares of their mean colour, the same shape."""
    small = adaptive_avg_pool2d(images, cells)
    return interpolate(small, size=images.shape[2:], mode="nearest-exact")


def _mosaic(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """`mosaic_N` (2M,) of each number of cells: 1 where the mosaic is nearer to its own person than to all others."""
    for cells in CELLS:
        if case.distractors is None:
            case.note(f"mosaic_{cells}", "needs other people to tell from")
            yield f"mosaic_{cells}", np.full(1, np.nan)
        else:
            yield f"mosaic_{cells}", case.remember(f"mosaic {cells}", partial(_found, case, cells), fixed=True)


@torch.no_grad()
def _found(case: Case, cells: int) -> np.ndarray:
    embed, others, real = case.embedder, strangers(case), embeddings(case, case.images)
    assert embed is not None and others is not None
    found = []
    for person, other in (PEOPLE, PEOPLE[::-1]):
        rivals = torch.cat([others, centre(real[other])[None]])
        probes = embed(mosaic(case.images[person], cells)).float()
        found.append(as_values(retrieved(probes, centre(real[person]), rivals)))
    return np.concatenate(found)


EVALUATORS = {
    "mosaic": Evaluator(
        _mosaic,
        tuple(
            MetricInfo(
                f"mosaic_{cells}",
                "none",
                "",
                None,
                f"{cells} x {cells} mosaics of real faces in which the recogniser finds the person among the other one "
                f"and {DISTRACTORS} or more strangers; no model is involved",
                title=f"Recognised in {cells} x {cells} mosaics",
                decimals=3,
                bounds=(0.0, 1.0),
            )
            for cells in CELLS
        ),
        frozenset({"embedder"}),
    ),
}
