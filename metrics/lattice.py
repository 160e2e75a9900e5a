"""Lattice frequencies (a, b) / 2^j in windowed spectra: where they are, which bins are theirs, and patterns to inject.

Bins are those of an unshifted (H, W) Fourier transform; level j holds the (a, b) with a or b odd.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 3
SMALLEST_SPACING = 8.0  # bins between lattice points below which no background fits between two discs
FULL_SPACING = 16.0  # bins from which on the radii have their full size
PEAK = 3.0  # bins: radius of the disc that holds a lattice point's power


class Spectra(NamedTuple):
    """`power` (B, H, W) of each picture and `common` (H, W), that of the pictures' mean; float64, unshifted."""

    power: Tensor
    common: Tensor


def spectra(images: Tensor) -> Spectra:
    """Windowed spectra of (B, C, H, W) images, mean over channels; power sums to the windowed mean square.

    Hann window, its weighted mean removed. Channels are not mixed, since chroma patterns cancel in luma.
    """
    height, width = images.shape[-2:]
    window = torch.outer(
        torch.hann_window(height, dtype=torch.float64, device=images.device),
        torch.hann_window(width, dtype=torch.float64, device=images.device),
    )
    scale = height * width * window.square().sum()
    powers, total = [], torch.zeros(images.shape[1:], dtype=torch.complex128, device=images.device)
    for some in images.split(16):
        some = some.to(torch.float64)
        some = some - (some * window).sum((-2, -1), keepdim=True) / window.sum()
        spectrum = torch.fft.fft2(some * window)
        powers.append(_power(spectrum).mean(1) / scale)
        total += spectrum.sum(0)
    return Spectra(torch.cat(powers), _power(total / len(images)).mean(0) / scale)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def power_spectra(images: Tensor) -> Tensor:
    """(B, H, W) float64 power of (B, C, H, W) images: see `spectra`."""
    return spectra(images).power


def lattice_points(level: int) -> list[tuple[int, int]]:
    """The (a, b) of level j, 0 <= a, b < 2^j, a or b odd: 3, 12 and 48 points for levels 1, 2 and 3."""
    return [(a, b) for a in range(2**level) for b in range(2**level) if a % 2 or b % 2]


def readable_levels(height: int, width: int, levels: int = LEVELS) -> int:
    """How many of the levels have lattice points far enough apart: 3 from 64 px on, 2 from 32 px, 1 from 16 px."""
    return max(j for j in range(levels + 1) if j == 0 or min(height, width) / 2**j >= SMALLEST_SPACING)


def offsets(height: int, width: int, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) signed distances in bins, down and across, of every bin to the frequency (a, b), on the torus."""
    row, column = np.mgrid[:height, :width].astype(float)
    down = (row - a * height + height / 2) % height - height / 2
    across = (column - b * width + width / 2) % width - width / 2
    return down, across


def radius_scale(height: int, width: int, levels: int) -> float:
    """1 when the lattice of the finest level is 16 bins or more apart (128 px for three levels), less below."""
    return min(1.0, min(height, width) / 2**levels / FULL_SPACING)


def peak_radius(height: int, width: int, levels: int) -> float:
    """Bins. At least 2: an on-bin line under a Hann window reaches 1.4 bins."""
    return max(2.0, PEAK * radius_scale(height, width, levels))


@lru_cache(maxsize=32)
def free_bins(height: int, width: int, levels: int = LEVELS) -> np.ndarray:
    """(H, W) bool, unshifted: bins outside of every lattice disc of the readable levels, and of zero frequency."""
    levels = readable_levels(height, width, levels)
    radius = peak_radius(height, width, levels)
    free = np.hypot(*offsets(height, width, 0, 0)) > radius
    for level in range(1, levels + 1):
        for a, b in lattice_points(level):
            free &= np.hypot(*offsets(height, width, a / 2**level, b / 2**level)) > radius
    return free


def checkerboard_pattern(height: int, width: int, level: int, seed: int = 0) -> Tensor:
    """(H, W) float64 pattern of rms 1 that repeats every 2^level pixels and holds frequencies of that level only."""
    side = 2**level
    tile = np.fft.fft2(np.random.default_rng(seed).normal(size=(side, side)))
    keep = np.zeros((side, side))
    for a, b in lattice_points(level):
        keep[a, b] = 1
    pattern = np.fft.ifft2(tile / np.abs(tile) * keep).real
    pattern /= np.sqrt(np.square(pattern).mean())
    return torch.as_tensor(np.tile(pattern, (-(-height // side), -(-width // side)))[:height, :width])


def inject_checkerboard(images: Tensor, level: int, rms: float, seed: int = 0) -> Tensor:
    """The images plus a checkerboard of `level` and known rms amplitude (fraction of the range); nothing is clipped."""
    return images + (rms * checkerboard_pattern(images.shape[-2], images.shape[-1], level, seed)).to(images)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur with edge repetition; sigma in pixels, 0 returns the images."""
    if sigma <= 0:
        return images
    reach = max(1, int(np.ceil(3 * sigma)))
    axis = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (axis / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    images = F.pad(images, (reach,) * 4, mode="replicate")
    images = F.conv2d(images, kernel.reshape(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(images, kernel.reshape(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
