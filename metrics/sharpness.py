"""Is detail there, and is it the truth's? Gain per octave band, detail in the right place, width of edges.

Lattice frequencies of upsampling are left out of the bands: a checkerboard fakes sharpness.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values
from metrics.info import MetricInfo
from metrics.lattice import free_bins

BANDS = 3  # octaves, finest first: 1/4-1/2, 1/8-1/4 and 1/16-1/8 cycles a pixel
EDGE_SHARE = 0.05  # the strongest gradients of the truth count as its edges
_RANGE_REACH, _SLOPE_REACH = 5, 2  # pixels beside an edge that still belong to it


class Bands(NamedTuple):
    """`gain` (B, bands): amplitude over the truth's, 1 = equal; `detail` (B, bands): the truth's own detail kept."""

    gain: Tensor
    detail: Tensor


@lru_cache(maxsize=16)
def _rings(height: int, width: int) -> Tensor:
    """(bands, H * W) float64 membership of the bins in each octave, lattice discs left out."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    rings = [(radius > 0.5 / 2 ** (k + 1)) & (radius <= 0.5 / 2**k) & free_bins(height, width) for k in range(BANDS)]
    return torch.as_tensor(np.stack(rings)).flatten(1).double()


def band_gains(images: Tensor, truth: Tensor) -> Bands:
    """Spectra of (B, C, H, W) images against the truth's, per octave band, finest band first.

    gain = sqrt(P_image / P_truth): under 1 is soft; noise and ringing raise it. detail = Re<image, truth> / P_truth:
    what noise cannot raise, 1 = all of the truth's detail in its place. NaN for a band in which the truth has nothing.
    """
    window = torch.outer(*(torch.hann_window(n, dtype=torch.float64, device=truth.device) for n in truth.shape[-2:]))
    rings = _rings(*truth.shape[-2:]).to(truth.device)
    gains, details = [], []
    for image, wanted in zip(images.split(16), truth.split(16), strict=True):
        y, x = (
            torch.fft.fft2((t.double() - t.double().mean((-2, -1), keepdim=True)) * window) for t in (image, wanted)
        )
        power_y, power_x, cross = (
            part.mean(1).flatten(1) @ rings.T for part in (y.abs().square(), x.abs().square(), (y * x.conj()).real)
        )
        empty = power_x <= 1e-9 * rings.sum(1)
        gains.append((power_y / power_x).sqrt().masked_fill(empty, float("nan")))
        details.append((cross / power_x).masked_fill(empty, float("nan")))
    return Bands(torch.cat(gains), torch.cat(details))


def edge_width(images: Tensor, truth: Tensor) -> Tensor:
    """(B,) width of the images' edges over the truth's, at the truth's strongest edges; 1 = as crisp.

    The width of an edge is its range within five pixels over its steepest slope within two, so that an edge moved by
    a pixel is not called soft. NaN for a truth without edges.
    """
    steepness, heights = zip(*(_slope_and_range(t.mean(1, keepdim=True)) for t in (images, truth)), strict=True)
    raw = _slope(truth.mean(1, keepdim=True)).flatten(1)
    count = max(1, int(EDGE_SHARE * raw.shape[1]))
    places = raw.topk(count, dim=1).indices
    ranges = [h.flatten(1).gather(1, places).sum(1) for h in heights]
    slopes = [s.flatten(1).gather(1, places).sum(1) for s in steepness]
    width = (ranges[0] / slopes[0].clamp_min(1e-6)) / (ranges[1] / slopes[1].clamp_min(1e-6))
    return width.masked_fill(slopes[1] < 1e-3 * count, float("nan"))


def _slope(grey: Tensor) -> Tensor:
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return torch.hypot(across, down)


def _slope_and_range(grey: Tensor) -> tuple[Tensor, Tensor]:
    def largest(x: Tensor, reach: int) -> Tensor:
        return F.max_pool2d(x, 2 * reach + 1, 1, reach)

    return largest(_slope(grey), _SLOPE_REACH), largest(grey, _RANGE_REACH) + largest(-grey, _RANGE_REACH)


def _sharpness(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    pairs = {"rec_": [(case.rec[person], case.images[person]) for person in PEOPLE]}
    if case.matched:
        pairs[""] = [(case.swap[way], case.truth(way)) for way in DIRECTIONS]
    for prefix in ("", "rec_"):
        if prefix not in pairs:
            for name in (f"sharpness_{what}" for what in (*_NAMES, "edge_width")):
                case.note(name, "needs ground truth")
                yield name, np.full(1, np.nan)
            continue
        bands = [band_gains(image, truth) for image, truth in pairs[prefix]]
        for k in range(BANDS):
            yield f"{prefix}sharpness_gain_{k + 1}", np.concatenate([as_values(b.gain[:, k]) for b in bands])
            yield f"{prefix}sharpness_detail_{k + 1}", np.concatenate([as_values(b.detail[:, k]) for b in bands])
        widths = [as_values(edge_width(image, truth)) for image, truth in pairs[prefix]]
        yield f"{prefix}sharpness_edge_width", np.concatenate(widths)


_NAMES = tuple(f"{what}_{k + 1}" for k in range(BANDS) for what in ("gain", "detail"))


def _infos() -> Iterator[MetricInfo]:
    for prefix, of, ladder in (("", "swaps", "blur"), ("rec_", "reconstructions", "rec_blur")):
        for k in range(BANDS):
            band = f"{1 / 2 ** (k + 2):g}-{1 / 2 ** (k + 1):g} cycles a pixel"
            yield MetricInfo(
                f"{prefix}sharpness_gain_{k + 1}",
                "none",
                "",
                1.0,
                f"amplitude of the {of} over the truth's at {band}, lattice left out; under 1 soft, over 1 noisy",
                ladder=ladder,
                ends=(None, 1.0),
                title=f"Gain of {of}, octave {k + 1}",
                decimals=3,
            )
            yield MetricInfo(
                f"{prefix}sharpness_detail_{k + 1}",
                "higher",
                "",
                1.0,
                f"share of the truth's detail at {band} that the {of} show in its place",
                ladder=ladder,
                ends=(None, 1.0),
                title=f"Detail of {of}, octave {k + 1}",
                decimals=3,
            )
        yield MetricInfo(
            f"{prefix}sharpness_edge_width",
            "lower",
            "×",
            1.0,
            f"width of the edges of the {of} over the truth's",
            ladder=ladder,
            ends=(None, 1.0),
            title=f"Edge width of {of}",
            decimals=2,
        )


EVALUATORS = {"sharpness": Evaluator(_sharpness, tuple(_infos()))}
