"""Style-based decoders: path length in the mapped space w, and what coarse and fine styles carry.

Karras, Laine, Aila 2019 (arXiv:1812.04948), section 4.1 and figure 3. A case without `mapped` and `mix` (any decoder
that is not style-based) yields nothing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from metrics.case import PEOPLE, Case, Evaluator, as_values
from metrics.info import MetricInfo
from metrics.path import filtered, path_lengths


def share_of(found: Tensor, fine: Tensor, coarse: Tensor, floor: float = 1e-9) -> Tensor:
    """(B,) how far `found` went from `fine` (0) to `coarse` (1): projections of (B, K) features on their difference.

    NaN where the two ends do not differ.
    """
    way = coarse - fine
    length = way.square().sum(1)
    return torch.where(length > floor, ((found - fine) * way).sum(1) / length.clamp_min(floor), torch.nan)


def colour(images: Tensor) -> Tensor:
    """(B, 6) mean and standard deviation of each channel of (B, 3, H, W) pictures: what has no place."""
    return torch.cat([images.mean((2, 3)), images.std((2, 3))], dim=1)


def _mapped_path(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    if case.mapped is None or case.decode_mapped is None or case.mu is None or case.decode is None:
        return
    in_w, shares = [], []
    for person in PEOPLE:
        z = case.mu[person].float()
        with torch.no_grad():
            w = case.mapped(z, person)
        lengths = []
        for decode, ends in ((case.decode_mapped, w), (case.decode, z)):
            generator = torch.Generator().manual_seed(0)  # the same t for both spaces
            found = path_lengths(partial(_painted, decode, person), ends, ends.roll(1, 0), generator=generator)
            lengths.append(filtered(as_values(found / case.images[person][0].numel())))
        in_w.append(lengths[0])
        shares.append(np.nanmean(lengths[0]) / np.nanmean(lengths[1]))
    yield "ppl_w", np.concatenate(in_w)
    yield "ppl_ratio", np.array(shares)


def _painted(decode, person: str, code: Tensor) -> Tensor:
    return decode(code, person)


def _mixing(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """The coarse half of the layers styled by one face, the fine half by another of the same person."""
    if case.mix is None or case.mu is None or case.decode is None or case.regressor is None:
        return
    structure, tint = [], []
    for person in PEOPLE:
        a = case.mu[person].float()
        b = a.roll(1, 0)
        with torch.no_grad():
            mixed = case.mix(a, b, person, case.style_layers // 2)
            coarse, fine = case.decode(a, person), case.decode(b, person)
            marks = [case.regressor(picture)["landmarks"].flatten(1) for picture in (mixed, fine, coarse)]
        structure.append(as_values(share_of(*marks)))
        tint.append(as_values(share_of(colour(mixed), colour(fine), colour(coarse))))
    yield "mix_structure", np.concatenate(structure)
    yield "mix_colour", np.concatenate(tint)


EVALUATORS = {
    "mapped_path": Evaluator(
        _mapped_path,
        (
            MetricInfo(
                "ppl_w",
                "lower",
                "",
                None,
                "perceptual path length (L2) in the mapped space w",
                title="Path length in w",
                decimals=4,
            ),
            MetricInfo(
                "ppl_ratio",
                "lower",
                "",
                None,
                "path length in w over path length in z, the same decoder and end points; under 1: w is less entangled",
                title="Path length, w over z",
                decimals=3,
            ),
        ),
        frozenset({"model", "latent"}),
    ),
    "mixing": Evaluator(
        _mixing,
        (
            MetricInfo(
                "mix_structure",
                "none",
                "",
                None,
                "style mixing: how much of the landmarks follows the face that styles the coarse half of the layers",
                title="Structure from the coarse style",
                decimals=3,
            ),
            MetricInfo(
                "mix_colour",
                "none",
                "",
                None,
                "style mixing: how much of mean colour and contrast follows the face that styles the coarse half",
                title="Colour from the coarse style",
                decimals=3,
            ),
        ),
        frozenset({"model", "latent", "regressor"}),
    ),
}
