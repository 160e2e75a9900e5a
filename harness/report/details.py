"""Details of the picture strips: what a swap gets wrong, and an enlarged patch of skin where a mesh would show.

Both are computed from the strips of six tiles on disk (src | src rec | src→dst | dst→src | dst rec | dst), so that a
report can be made anew without the model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]
BRIGHTER = 2  # how much brighter than |swap - truth| the difference is shown
CONTRAST = 4  # how much the second skin patch is stretched about its mean
SWAP, TRUTH = (2, 3), (5, 0)  # columns of the two swaps and of their exact truths


def tiles(path: Path) -> Bytes:
    """(6, H, H, 3) bytes of a strip. ValueError when it is no row of six square tiles."""
    with Image.open(path) as opened:
        strip = np.asarray(opened.convert("RGB"))
    height, width = strip.shape[:2]
    if width != 6 * height:
        raise ValueError(f"{path.name} is no row of six square tiles: {width} x {height}")
    return strip.reshape(height, 6, height, 3).swapaxes(0, 1)


def difference(path: Path) -> Image.Image:
    """|swap - truth| of both directions side by side, BRIGHTER times as bright; black where the swap is exact."""
    row = tiles(path).astype(np.int16)
    parts = [np.abs(row[swap] - row[truth]) * BRIGHTER for swap, truth in zip(SWAP, TRUTH, strict=True)]
    return Image.fromarray(np.concatenate(parts, axis=1).clip(0, 255).astype(np.uint8))


def flattest(face: Bytes, size: int) -> tuple[int, int]:
    """(top, left) of the least structured skin-coloured patch of `size` pixels in the middle of a face (H, H, 3)."""
    warmth = face[..., 0].astype(np.float64) - face[..., 2]
    edges = sum(np.hypot(*np.gradient(channel.astype(np.float64))) for channel in np.moveaxis(face, 2, 0))
    low, high = len(face) // 5, len(face) - len(face) // 5 - size
    places = [(top, left) for top in range(low, high + 1) for left in range(low, high + 1)] or [(0, 0)]

    def cost(place: tuple[int, int]) -> float:
        window = (slice(place[0], place[0] + size), slice(place[1], place[1] + size))
        dull = max(0.0, 60.0 - float(warmth[window].min()))  # dark hair and the black matte are no skin
        return float(edges[window].max()) + 2 * dull

    return min(places, key=cost)


def skin(path: Path, place: tuple[int, int], size: int, column: int = SWAP[0]) -> Image.Image:
    """A patch of one column (src→dst): as it is, and beside it with its detail CONTRAST times as strong.

    Detail is what remains of each channel after its mean and slope: shading is not stretched, a mesh is.
    """
    top, left = place
    patch = tiles(path)[column][top : top + size, left : left + size].astype(np.float64)
    y, x = np.mgrid[:size, :size].reshape(2, -1) - (size - 1) / 2
    basis = np.stack([np.ones(size * size), x, y], axis=1)
    flat = patch.reshape(size * size, 3)
    shading = basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]
    strong = (shading + CONTRAST * (flat - shading)).reshape(patch.shape).clip(0, 255)
    return Image.fromarray(np.concatenate([patch, strong], axis=1).round().astype(np.uint8))
