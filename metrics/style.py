"""Style-based decoders: path length in the mapped space w, and what coarse and fine styles carry.

Karras, Laine, Aila 2019 (arXiv:1812.04948), section 4.1 and figure 3. A case without `mapped` and `mix` (any decoder
that is not style-based) yields nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from metrics.case import PEOPLE, Case, Evaluator, as_values
from metrics.info import MetricInfo
from metrics.path import EPSILON, filtered, path_lengths, squared_l2
from metrics.perceptual import random_feature_distance

FEATURE_EPSILON = 1e-2  # of the way: what a step of 1e-4 changes is lost in the rounding of float32 features


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
    features = case.perceptual or random_feature_distance
    in_w, in_pixels, in_features = [], [], []
    for person in PEOPLE:
        z = case.mu[person].float()
        with torch.no_grad():
            w = case.mapped(z, person)
        pixels, seen = [], []
        for decode, ends in ((case.decode_mapped, w), (case.decode, z)):
            pixels.append(_lengths(decode, person, ends, squared_l2, EPSILON) / case.images[person][0].numel())
            seen.append(_lengths(decode, person, ends, features, FEATURE_EPSILON))
        in_w.append(pixels[0])
        in_pixels.append(_over(*pixels))
        in_features.append(_over(*seen))
    yield "ppl_w", np.concatenate(in_w)
    if case.perceptual is None:
        case.note("ppl_feature_ratio", "in the features of a fixed random network: LPIPS's weights are not here")
    for name, ratios in (("ppl_ratio", np.array(in_pixels)), ("ppl_feature_ratio", np.array(in_features))):
        case.note_lost(name, ratios, "the decoder paints the same wherever it goes between two latents")
        yield name, ratios


def _over(in_w: np.ndarray, in_z: np.ndarray) -> float:
    """Mean path length in w over that in z; NaN where the way in z changes nothing."""
    length = float(np.nanmean(in_z))
    return float(np.nanmean(in_w)) / length if length > 0 else float("nan")


def _lengths(
    decode: Callable[[Tensor, str], Tensor],
    person: str,
    ends: Tensor,
    distance: Callable[[Tensor, Tensor], Tensor],
    epsilon: float,
) -> np.ndarray:
    """(M,) squared path lengths between neighbouring ends, at the same places t for every space and distance."""
    generator = torch.Generator().manual_seed(0)
    found = path_lengths(partial(_painted, decode, person), ends, ends.roll(1, 0), distance, epsilon, generator)
    return filtered(as_values(found))


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
    for name, parts, what in (("mix_structure", structure, "landmarks"), ("mix_colour", tint, "colours")):
        shares = np.concatenate(parts)
        case.note_lost(name, shares, f"the two faces that were mixed have the same {what}")
        yield name, shares


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
                bounds=(0.0, None),
            ),
            MetricInfo(
                "ppl_ratio",
                "lower",
                "",
                None,
                "path length in w over path length in z, the same decoder and end points; under 1: w is less entangled",
                title="Path length in pixels, w over z",
                decimals=3,
                bounds=(0.0, None),
            ),
            MetricInfo(
                "ppl_feature_ratio",
                "lower",
                "",
                None,
                "the same in perceptual distance: LPIPS where its weights are, else features of a fixed random network",
                title="Perceptual path length, w over z",
                decimals=3,
                bounds=(0.0, None),
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
