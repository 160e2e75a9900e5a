"""The power that pictures without a checkerboard would have: a smooth curve through the bins where none can be.

Spectra of natural pictures fall with frequency, so a checkerboard has to be held against the fall itself: log power is
fitted by a polynomial in log frequency over the free bins, the two axes apart from the rest (edges of faces and of
frames run along them). On 1/f^2 noise a background from the neighbourhood alone is off by -1 to -13 dB, this one by
0.2 dB.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from metrics.lattice import free_bins, offsets, peak_radius, readable_levels

DEGREE = 4  # a cubic leaves 3.7 dB at level 1 of blurred photographs, a quartic 2.4
OUTLIER = 3.0  # median absolute deviations beyond which a bin is left out of the fit
TRIM = 0.1
ROUNDING = 1 / 255**2 / 12  # power of rounding to 8 bits: what a display cannot show is no checkerboard


@lru_cache(maxsize=32)
def _parts(height: int, width: int, levels: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Lines along the axes and the rest: (bins, their terms, free bins, their terms), of flat unshifted spectra."""
    peak = peak_radius(height, width, levels)
    down, across = offsets(height, width, 0, 0)
    log = np.log(np.maximum(np.hypot(down / height, across / width), 0.5 / max(height, width)))
    terms = np.stack([log.ravel() ** k for k in range(DEGREE + 1)], axis=-1)
    free = free_bins(height, width, levels).ravel()
    near_row, near_column = np.abs(down) <= peak, np.abs(across) <= peak
    masks = [~near_row & ~near_column]
    for beside, line in ((down, near_row), (across, near_column & ~near_row)):
        masks += [line & (np.abs(beside - offset) < 0.5) for offset in range(-int(peak), int(peak) + 1)]
    parts = []
    for mask in masks:
        bins, known = np.flatnonzero(mask), np.flatnonzero(mask.ravel() & free)
        used = terms[:, : min(DEGREE, len(known) // 3 - 1) + 1]  # a line of 16 px leaves 6 bins: enough for a slope
        parts.append((bins, used[bins], known, used[known]))
    return parts


def expected_power(power: np.ndarray, levels: int) -> np.ndarray:
    """(H, W) power to expect without a checkerboard, from an unshifted spectrum (H, W) averaged over images.

    `levels`: of the lattice whose discs are left out. The zero frequency is handed back.
    """
    height, width = power.shape
    flat = power.ravel() + ROUNDING / power.size
    expected, highest = np.zeros_like(flat), np.log(flat.max())  # a steep curve runs away at the lowest frequencies
    for bins, terms, known, known_terms in _parts(height, width, readable_levels(height, width, levels)):
        weights = _robust_fit(known_terms, np.log(flat[known]))
        curve = np.minimum(terms @ weights, highest)
        ratio = np.sort(flat[known] / np.exp(known_terms @ weights))
        cut = int(TRIM * len(ratio))
        expected[bins] = np.exp(curve) * ratio[cut : len(ratio) - cut].mean()
    expected[0] = flat[0]
    # No curve falls below what was added to all.
    return np.maximum(expected.reshape(height, width) - ROUNDING / power.size, 0)


def _robust_fit(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Least squares, twice repeated without the outliers of the fit before."""
    kept = np.ones(len(values), dtype=bool)
    for _ in range(3):
        weights = np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0]
        away = np.abs(values - terms @ weights)
        kept = away <= OUTLIER * 1.4826 * np.median(away) + 1e-12
    return weights
