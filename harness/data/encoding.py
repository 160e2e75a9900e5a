"""Transfer functions between linear light and what a screen (and a model) sees.

sRGB is the piecewise curve of IEC 61966-2-1. Pixels are premultiplied, so a linear RGB image *is* its composite on
black, and encoding it gives the displayed composite.
"""

from __future__ import annotations

from typing import Literal

import torch

Encoding = Literal["srgb", "linear"]
ENCODINGS: tuple[Encoding, ...] = ("srgb", "linear")
KNEE = 0.0031308  # linear value where the sRGB curve passes from a line to a power


def to_display(linear: torch.Tensor, encoding: Encoding = "srgb") -> torch.Tensor:
    """Linear light, any shape and range -> values in [0, 1] of the same shape; "linear" only clamps.

    Negative values and values above 1 (possible in an EXR) are clamped. Raises ValueError for an unknown encoding.
    """
    if encoding == "linear":
        return linear.clamp(0.0, 1.0)
    if encoding != "srgb":
        raise ValueError(f"unknown encoding {encoding!r}: one of {', '.join(ENCODINGS)}")
    # Line and power meet at KNEE, so the curve is the sum of both, each held still on the other's side: a third of the
    # time of a torch.where, and no infinite slope at 0.
    power = linear.clamp(KNEE, 1.0).log2().mul_(1 / 2.4).exp2()
    display = linear.clamp(0.0, KNEE).mul_(12.92).add_(power, alpha=1.055).sub_(1.055 * KNEE ** (1 / 2.4))
    return display.clamp(0.0, 1.0)  # rounding may leave a black of -1e-8


def to_linear(display: torch.Tensor, encoding: Encoding = "srgb") -> torch.Tensor:
    """Inverse of `to_display` on [0, 1], same shape. Raises ValueError for an unknown encoding."""
    clamped = display.clamp(0.0, 1.0)
    if encoding == "linear":
        return clamped
    if encoding != "srgb":
        raise ValueError(f"unknown encoding {encoding!r}: one of {', '.join(ENCODINGS)}")
    curve = clamped.add(0.055).div(1.055).pow(2.4)
    return torch.where(clamped <= 0.04045, clamped / 12.92, curve)
