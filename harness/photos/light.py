"""Between what a picture file holds and linear light, for the part of a picture that a crop needs."""

from __future__ import annotations

import functools

import numpy as np
import torch

from harness.data.encoding import to_display, to_linear
from harness.photos.picture import Picture


@functools.cache
def _curve(levels: int) -> np.ndarray:
    """Linear light of each level of an 8- or 16-bit sRGB picture."""
    return to_linear(torch.arange(levels, dtype=torch.float64) / (levels - 1)).float().numpy()


def linear(picture: Picture, rows: slice, columns: slice) -> np.ndarray:
    """(h, w, 4) float32 linear RGB premultiplied by alpha, and alpha, of a part of a picture."""
    pixels = picture.pixels[rows, columns]
    out = np.empty((*pixels.shape[:2], 4), np.float32)
    if picture.encoding == "linear":
        out[..., :3] = pixels
    else:
        out[..., :3] = _curve(np.iinfo(pixels.dtype).max + 1)[pixels]
    out[..., 3] = 1.0 if picture.alpha is None else share(picture.alpha[rows, columns])
    if picture.alpha is not None and picture.encoding == "srgb":
        out[..., :3] *= out[..., 3:]
    return out


def from_bytes(pixels: np.ndarray) -> np.ndarray:
    """uint8 sRGB -> linear light, float32 of the same shape; what is linear already stays."""
    return pixels if pixels.dtype == np.float32 else _curve(256)[pixels]


def from_display(values: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] -> linear light, float32 of the same shape."""
    return to_linear(torch.from_numpy(np.ascontiguousarray(values, np.float32))).numpy()


def share(values: np.ndarray) -> np.ndarray:
    """Integers of 8 or 16 bits as float32 in [0, 1]; floats as they are, clipped."""
    if values.dtype == np.float32:
        return values.clip(0, 1)
    return values.astype(np.float32) / np.iinfo(values.dtype).max


def shown(picture: Picture) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of the whole picture on black, for looking at it."""
    if picture.pixels.dtype == np.float32:
        return display_bytes(picture.pixels)
    pixels = as_bytes(picture.pixels)
    if picture.alpha is None:
        return pixels
    return (pixels * share(picture.alpha)[..., None]).round().astype(np.uint8)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Integers of 16 bits, or shares in [0, 1], as uint8 in the same encoding."""
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def to_shown(values: np.ndarray) -> np.ndarray:
    """Linear light -> sRGB values in [0, 1], float32 of the same shape."""
    return to_display(torch.from_numpy(np.ascontiguousarray(values))).numpy()


def display_bytes(values: np.ndarray) -> np.ndarray:
    """Linear light, any shape -> uint8 sRGB of the same shape."""
    return as_bytes(to_shown(values))
