"""The slow reference of the augmentation: three steps, three resamplings, in OpenCV and float64 numpy.

It shares nothing with `harness.data.augment` but the drawn numbers: the steps are written as the source material
describes them, in pixels and degrees.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.interpolate import BSpline

from harness.spec import AugmentSpec


@dataclass(frozen=True)
class Steps:
    """One image's draws in the source's own terms."""

    degrees: float
    shift: tuple[float, float]  # (right, down), fraction of the side
    flip: bool
    lattice: np.ndarray  # (2, n, n) displacement (x, y), fraction of the side
    zoom: float


def steps_of(spec: AugmentSpec, generator: torch.Generator, batch: int, field: torch.Tensor) -> list[Steps]:
    """Read the draws of `augment.draw` again from the same generator; `field` is (B, 2, n, n) in units of [-1, 1]."""
    u = torch.rand(batch, 9, generator=generator).double().numpy()
    steps = []
    for i in range(batch):
        affine, _, zoom = u[i, :3] < spec.probability
        steps.append(
            Steps(
                degrees=float((2 * u[i, 3] - 1) * spec.rotate) if affine else 0.0,
                shift=tuple((2 * u[i, 4:6] - 1) * spec.shift) if affine else (0.0, 0.0),
                flip=bool(affine and u[i, 6] < spec.flip),
                lattice=field[i].double().numpy() / 2,
                zoom=float(spec.zoom[0] + (spec.zoom[1] - spec.zoom[0]) * u[i, 8]) if zoom else 1.0,
            )
        )
    return steps


def displacement(lattice: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(dx, dy) in fractions of the side at points (x, y) given as fractions: cubic B-spline over the lattice."""
    spline = BSpline.basis_element(np.arange(-2, 3), extrapolate=False)
    n = lattice.shape[-1]
    wx, wy = (np.nan_to_num(spline(at[..., None] * (n - 1) - np.arange(n))) for at in (x, y))
    whole = wy.sum(-1) * wx.sum(-1)  # below 1 at the ends, where knots are missing
    return tuple(((wy @ plane) * wx).sum(-1) / whole for plane in lattice)


def affine_step(image: np.ndarray, s: Steps) -> np.ndarray:
    """Rotate about the centre, shift, then mirror; (S, S, C)."""
    size = len(image)
    matrix = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), s.degrees, 1.0)
    matrix[:, 2] += np.array(s.shift) * size
    moved = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return moved[:, ::-1] if s.flip else moved


def elastic_step(image: np.ndarray, s: Steps) -> np.ndarray:
    """Move every pixel by the smooth noise; smears at the border."""
    size = len(image)
    row, column = np.mgrid[0:size, 0:size].astype(np.float64)
    dx, dy = displacement(s.lattice, (column + 0.5) / size, (row + 0.5) / size)
    at = (column + dx * size).astype(np.float32), (row + dy * size).astype(np.float32)
    return cv2.remap(np.ascontiguousarray(image), *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def zoom_step(image: np.ndarray, s: Steps) -> np.ndarray:
    """Enlarge the middle part to the whole side."""
    size = len(image)
    at = (((np.arange(size) + 0.5) / size - 0.5) * s.zoom + 0.5) * size - 0.5
    column, row = np.meshgrid(at.astype(np.float32), at.astype(np.float32))
    return cv2.remap(np.ascontiguousarray(image), column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def three_steps(image: np.ndarray, s: Steps, order: str = "warp_zoom") -> np.ndarray:
    """The source's augmentation: affine, then elastic, then zoom ("zoom_warp": the last two swapped)."""
    last = (elastic_step, zoom_step) if order == "warp_zoom" else (zoom_step, elastic_step)
    for step in (affine_step, *last):
        image = step(image, s)
    return image


def source_points(s: Steps, size: int, order: str = "warp_zoom") -> np.ndarray:
    """(S, S, 2) in [-1, 1]: where each output pixel comes from, by following the three backward maps in float64."""
    y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    for step in ("zoom", "warp") if order == "warp_zoom" else ("warp", "zoom"):
        if step == "zoom":
            x, y = (x - 0.5) * s.zoom + 0.5, (y - 0.5) * s.zoom + 0.5
        else:
            dx, dy = displacement(s.lattice, x, y)
            x, y = (np.clip(v, 0.5 / size, 1 - 0.5 / size) for v in (x + dx, y + dy))
    if s.flip:
        x = 1 - x
    x, y = x - 0.5 - s.shift[0], y - 0.5 - s.shift[1]
    cos, sin = np.cos(np.radians(s.degrees)), np.sin(np.radians(s.degrees))
    return 2 * np.stack((cos * x - sin * y, sin * x + cos * y), axis=-1)
