"""Pasting a swapped face back: through the inverse of its alignment, feathered by its matte, colours matched if asked.

Everything outside the feathered matte keeps its very bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.photos import align, light

Colour = Literal["none", "match"]
Blend = Literal["feather", "seamless"]
SEEN = 1e-3  # weights below it change no byte


@dataclass(frozen=True)
class Pasting:
    """feather: width of the soft edge, inside the matte, share of the crop's side. shrink: what is left out before it.

    colour: "match" gives the swap the mean and spread of the colours that it covers. blend: "seamless" is OpenCV's
    seamless cloning (Perez et al. 2003), which takes the colours of the rim.
    """

    feather: float = 0.08
    shrink: float = 0.02
    colour: Colour = "none"
    blend: Blend = "feather"


def feathered(matte: np.ndarray, how: Pasting) -> np.ndarray:
    """(S, S) matte in [0, 1] -> weights of the swap: 0 outside of the matte and at the crop's rim, rising inside."""
    import cv2

    size = len(matte)
    inside = np.pad((matte > 0.5).astype(np.uint8), 1)  # beyond the rim nothing is known
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] - 0.5
    ramp = ((depth - how.shrink * size) / max(how.feather * size, 1.0)).clip(0, 1)
    return matte * ramp * ramp * (3 - 2 * ramp)


def matched(swap: np.ndarray, driver: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(S, S, 3) sRGB in [0, 1]: the swap with the weighted mean and spread of the driver in Lab (Reinhard 2001)."""
    import cv2

    total = float(weights.sum())
    if total < 1:
        return swap
    ours, theirs = (cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2Lab) for x in (swap, driver))
    share = weights[..., None] / total
    means = [(x * share).sum((0, 1)) for x in (ours, theirs)]
    spreads = [np.sqrt((((x - m) ** 2) * share).sum((0, 1))) for x, m in zip((ours, theirs), means, strict=True)]
    gain = np.clip(spreads[1] / np.maximum(spreads[0], 1e-3), 0.5, 2.0)
    moved = ((ours - means[0]) * gain + means[1]).astype(np.float32)
    return cv2.cvtColor(moved, cv2.COLOR_Lab2RGB).clip(0, 1)


def paste(
    picture: np.ndarray, swap: np.ndarray, matte: np.ndarray, matrix: np.ndarray, how: Pasting, driver: np.ndarray
) -> np.ndarray:
    """A copy of (H, W, 3) uint8 sRGB (or float32 linear light) with the swap in its place.

    swap, driver: (S, S, 3) sRGB in [0, 1], the network's answer and what it saw. matte: (S, S) in [0, 1], where the
    face is. matrix: (2, 3), from the picture to the crop.
    """
    size, back = len(swap), align.inverse(matrix)
    weights = feathered(matte, how)
    if how.colour == "match":
        swap = matched(swap, driver, weights)
    rows, columns = align.region(matrix, size, picture.shape[:2])
    here = align.shifted_back(back, rows, columns)
    shape = (rows.stop - rows.start, columns.stop - columns.start)
    if 0 in shape:
        return picture.copy()
    drawn = align.warp(np.dstack([light.from_display(swap), weights.astype(np.float32)]), here, shape)
    face, weight = drawn[..., :3], drawn[..., 3:].clip(0, 1)
    # Beyond the crop nothing is known: colours there are 0, and so are the weights.
    out, old = picture.copy(), picture[rows, columns]
    if how.blend == "seamless" and picture.dtype == np.uint8:
        out[rows, columns] = _seamless(old, light.display_bytes(face), weight[..., 0])
        return out
    mixed = face * weight + light.from_bytes(old) * (1 - weight)
    changed = weight[..., 0] > SEEN
    fresh = mixed if picture.dtype == np.float32 else light.display_bytes(mixed)
    out[rows, columns][changed] = fresh[changed]
    return out


def _seamless(old: np.ndarray, face: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """OpenCV's seamless cloning of the part of `face` that is at least half there; the old one when there is none."""
    import cv2

    mask = (weight > 0.5).astype(np.uint8) * 255
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    if not mask.any():
        return old
    x, y, width, height = cv2.boundingRect(mask)
    return cv2.seamlessClone(
        np.ascontiguousarray(face), np.ascontiguousarray(old), mask, (x + width // 2, y + height // 2), cv2.NORMAL_CLONE
    )
