"""The power spectrum as a picture, lattice points framed: a checkerboard shows as a bright dot inside its frame."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metrics.lattice import LEVELS, lattice_points, power_spectra, readable_levels

# From dark to bright.
_INK = np.array([[8, 8, 20], [60, 20, 100], [170, 50, 110], [240, 130, 70], [252, 240, 190]], dtype=float)
_MARK = np.array([[90, 220, 255], [120, 255, 120], [255, 255, 255]], dtype=np.uint8)  # levels 1, 2, 3
_DARKEST = 1e-20  # power; keeps the logarithm of an exact residual finite


def spectrum_picture(images: Tensor, truth: Tensor | None = None, levels: int = LEVELS, side: int = 384) -> np.ndarray:
    """(S, S', 3) uint8 picture of (B, C, H, W) images or their residual, the shorter side at least `side`.

    Log power averaged over channels and images, zero frequency in the middle; up to three levels are framed: cyan
    level 1, green level 2, white level 3.
    """
    signal = images if truth is None else images.to(torch.float64) - truth.to(torch.float64)
    power = np.fft.fftshift(power_spectra(signal).mean(0).cpu().numpy())
    height, width = power.shape
    log = np.log10(np.maximum(power, _DARKEST))
    low, high = np.percentile(log, [2, 99.9])
    shade = np.clip((log - low) / max(high - low, 1e-9), 0, 1) * (len(_INK) - 1)
    picture = np.stack([np.interp(shade, np.arange(len(_INK)), _INK[:, c]) for c in range(3)], axis=-1).astype(np.uint8)
    zoom = -(-side // min(height, width))
    picture = picture.repeat(zoom, 0).repeat(zoom, 1)
    half = (3 if min(height, width) >= 128 else 2) * zoom + zoom // 2
    for level in range(min(len(_MARK), readable_levels(height, width, levels)), 0, -1):
        for a, b in lattice_points(level):
            middle_row = int((a / 2**level * height + height // 2) % height) * zoom + zoom // 2
            middle_column = int((b / 2**level * width + width // 2) % width) * zoom + zoom // 2
            top, bottom = np.clip([middle_row - half, middle_row + half], 0, height * zoom - 1)
            left, right = np.clip([middle_column - half, middle_column + half], 0, width * zoom - 1)
            picture[[top, bottom], left : right + 1] = _MARK[level - 1]
            picture[top : bottom + 1, [left, right]] = _MARK[level - 1]
    return picture
