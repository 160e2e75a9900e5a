"""Is detail there, and is it the truth's? Gain per octave band, detail in the right place, width of edges.

Lattice frequencies of upsampling are left out of the bands: a checkerboard fakes sharpness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values, target_of
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
    return _bands_of([images], truth)[0]


def _bands_of(several: Sequence[Tensor], truth: Tensor) -> list[Bands]:
    """The bands of several sets of images against one truth, whose spectra are taken once."""
    window = torch.outer(*(torch.hann_window(n, dtype=torch.float64, device=truth.device) for n in truth.shape[-2:]))
    rings = _rings(*truth.shape[-2:]).to(truth.device)
    found: list[list[Bands]] = [[] for _ in several]
    for *some, wanted in zip(*(t.split(16) for t in (*several, truth)), strict=True):
        x = _spectra(wanted, window)
        power_x = _power(x, x) @ rings.T
        empty = power_x <= 1e-9 * rings.sum(1)
        for parts, image in zip(found, some, strict=True):
            y = _spectra(image, window)
            gain = (_power(y, y) @ rings.T / power_x).sqrt().masked_fill(empty, float("nan"))
            parts.append(Bands(gain, (_power(y, x) @ rings.T / power_x).masked_fill(empty, float("nan"))))
    return [Bands(*map(torch.cat, zip(*parts, strict=True))) for parts in found]


def _spectra(images: Tensor, window: Tensor) -> Tensor:
    """(B, C, H, W) complex128 spectra under a window, the mean taken off."""
    images = images.double()
    return torch.fft.fft2((images - images.mean((-2, -1), keepdim=True)) * window)


def _power(a: Tensor, b: Tensor) -> Tensor:
    """(B, H * W) real part of the product of two spectra (B, C, H, W), mean over channels."""
    return (a.real * b.real + a.imag * b.imag).mean(1).flatten(1)


class Edges(NamedTuple):
    """The strongest edges of a truth: `places` (B, n) in the flat picture; `ranges`, `slopes` (B,) summed over them."""

    places: Tensor
    ranges: Tensor
    slopes: Tensor


def edges_of(truth: Tensor) -> Edges:
    """Where (B, C, H, W) pictures are steepest, and how wide they are there."""
    grey = truth.mean(1, keepdim=True)
    steep = _slope(grey).flatten(1)
    places = steep.topk(max(1, int(EDGE_SHARE * steep.shape[1])), dim=1).indices
    return Edges(places, *_range_and_slope(grey, places))


def edge_width(images: Tensor, truth: Tensor | Edges) -> Tensor:
    """(B,) width of the images' edges over the truth's, at the truth's strongest edges; 1 = as crisp.

    The width of an edge is its range within five pixels over its steepest slope within two, so that an edge moved by
    a pixel is not called soft. NaN for a truth without edges.
    """
    edges = truth if isinstance(truth, Edges) else edges_of(truth)
    ranges, slopes = _range_and_slope(images.mean(1, keepdim=True), edges.places)
    width = (ranges / slopes.clamp_min(1e-6)) / (edges.ranges / edges.slopes.clamp_min(1e-6))
    return width.masked_fill(edges.slopes < 1e-3 * edges.places.shape[1], float("nan"))


def _slope(grey: Tensor) -> Tensor:
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    down = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    return torch.hypot(across, down)


def _range_and_slope(grey: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) of grey pictures (B, 1, H, W): ranges and steepest slopes around the places (B, n), summed over them."""

    def at(x: Tensor) -> Tensor:
        return x.flatten(1).gather(1, places).sum(1)

    return at(largest(grey, _RANGE_REACH) + largest(-grey, _RANGE_REACH)), at(largest(_slope(grey), _SLOPE_REACH))


def largest(x: Tensor, reach: int) -> Tensor:
    """(B, C, H, W): the largest value within `reach` pixels, down and across.

    What max pooling gives, in a fraction of its time: rows, then columns, in windows that double.
    """
    for dim in (-2, -1):
        padded = F.pad(x, (0, 0, reach, reach) if dim == -2 else (reach, reach), value=float("-inf"))
        width, length = 1, 2 * reach + 1
        while width < length:
            step = min(width, length - width)
            left = padded.shape[dim] - step
            padded = torch.maximum(padded.narrow(dim, 0, left), padded.narrow(dim, step, left))
            width += step
        x = padded
    return x


def _read(case: Case, person: str, several: Sequence[Tensor]) -> list[tuple[Bands, Tensor]]:
    """Bands and edge widths of several sets of pictures that all should show `person`; the same set is read once."""
    kept = case.remember("edges", lambda: {p: tuple(edges_of(case.images[p])) for p in PEOPLE}, fixed=True)
    sets = {id(images): images for images in several}
    bands = _bands_of(list(sets.values()), case.images[person])
    widths = [edge_width(images, Edges(*kept[person])) for images in sets.values()]
    read = dict(zip(sets, zip(bands, widths, strict=True), strict=True))
    return [read[id(images)] for images in several]


def _sharpness(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    swaps = {target_of(way): [case.swap[way]] if case.matched else [] for way in DIRECTIONS}
    found = {person: _read(case, person, [case.rec[person], *swaps[person]]) for person in PEOPLE}
    shown = {"": [found[p][-1] for p in swaps], "rec_": [found[p][0] for p in PEOPLE]}
    if not case.matched:
        del shown[""]
        for name in (f"sharpness_{what}" for what in (*_NAMES, "edge_width")):
            case.note(name, "needs ground truth")
            yield name, np.full(1, np.nan)
    for prefix, read in shown.items():
        values = {}
        for k in range(BANDS):
            values[f"gain_{k + 1}"] = np.concatenate([as_values(b.gain[:, k]) for b, _ in read])
            values[f"detail_{k + 1}"] = np.concatenate([as_values(b.detail[:, k]) for b, _ in read])
        values["edge_width"] = np.concatenate([as_values(widths) for _, widths in read])
        for what, some in values.items():
            name = f"{prefix}sharpness_{what}"
            case.note_lost(name, some, "the true picture has nothing here, or is too small for this band")
            yield name, some


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
