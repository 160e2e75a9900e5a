"""Alignment: the similarity transform that brings five landmarks to a template, and the crop that it cuts.

The template is that of ArcFace (Deng et al. 2019): eyes, nose and mouth corners in a square of 112 pixels. A crop
factor of 1 is that square, which ends at chin and forehead; larger ones show more around it. Places are in pixels from
the upper left corner of the picture, x right, y down.
"""

from __future__ import annotations

import math

import numpy as np

ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
CROP = 1.35  # the default crop factor: about that of the built-in faces; hair and chin of most heads are inside


def template(crop: float = CROP, size: float = 1.0) -> np.ndarray:
    """(5, 2) places of the landmarks in an aligned picture of `size` pixels a side."""
    return ((ARCFACE / 112 - 0.5) / crop + 0.5) * size


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(2, 3) matrix of turn, scale and shift that brings `points` (N, 2) nearest to `targets` in least squares.

    Umeyama 1991, without reflection. ValueError when all points are one.
    """
    points, targets = np.asarray(points, np.float64), np.asarray(targets, np.float64)
    centre, aim = points.mean(0), targets.mean(0)
    a, b = points - centre, targets - aim
    spread = (a**2).sum()
    if spread < 1e-12:
        raise ValueError("the points are all in one place")
    # The best a + ib of least squares, with points as complex numbers.
    cosine = (a * b).sum() / spread
    sine = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.hstack([turn, (aim - turn @ centre)[:, None]])


def scale_of(matrix: np.ndarray) -> float:
    """Pixels of the crop for each pixel of the picture."""
    return math.hypot(matrix[0, 0], matrix[1, 0])


def inverse(matrix: np.ndarray) -> np.ndarray:
    """(2, 3) matrix of the way back."""
    turn = np.linalg.inv(matrix[:, :2])
    return np.hstack([turn, -(turn @ matrix[:, 2])[:, None]])


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(N, 2) points through a (2, 3) matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def warp(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) float32 -> (rows, columns, C) of `size` through `matrix`; 0 outside the picture.

    Right where it shrinks too: averaged by area. Values must be linear and premultiplied.
    """
    import cv2

    rows, columns = size
    shrink = math.floor(1 / scale_of(matrix) + 1e-6)
    if shrink > 1:  # the larger part by averaging, which is exact and cheap
        height, width = picture.shape[:2]
        smaller = (max(1, width // shrink), max(1, height // shrink))
        picture = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA)
        matrix = matrix @ np.diag([width / smaller[0], height / smaller[1], 1.0])
    finer = 1 if scale_of(matrix) >= 1 else 2
    # OpenCV counts from the middle of the first pixel, landmarks and crops from its corner.
    fine = finer * matrix
    fine[:, 2] += fine[:, :2] @ [0.5, 0.5] - 0.5
    kind = cv2.INTER_LINEAR if finer > 1 else cv2.INTER_CUBIC
    drawn = cv2.warpAffine(picture, fine, (columns * finer, rows * finer), flags=kind, borderMode=cv2.BORDER_CONSTANT)
    if finer > 1:
        drawn = cv2.resize(drawn, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.maximum(drawn if drawn.ndim == 3 else drawn[..., None], 0.0)


def cut_bytes(picture: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """(H, W, 3) uint8 sRGB -> (size, size, 3) uint8, for looking at only: averaged without regard to the encoding."""
    rows, columns = region(matrix, size, picture.shape[:2])
    part = np.ascontiguousarray(picture[rows, columns]).astype(np.float32)
    return warp(part, shifted(matrix, rows, columns), (size, size)).round().clip(0, 255).astype(np.uint8)


def region(matrix: np.ndarray, size: int, shape: tuple[int, int], margin: int = 4) -> tuple[slice, slice]:
    """Rows and columns of a picture of `shape` (H, W) that a crop of `size` pixels needs, so that no more is read."""
    corners = moved(np.array([[0, 0], [size, 0], [0, size], [size, size]], float), inverse(matrix))
    low, high = np.floor(corners.min(0)) - margin, np.ceil(corners.max(0)) + margin
    (x0, y0), (x1, y1) = low.clip(0), np.minimum(high, (shape[1], shape[0]))
    return slice(int(y0), max(int(y0), int(y1))), slice(int(x0), max(int(x0), int(x1)))


def shifted(matrix: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """The matrix for the part of the picture that `region` names."""
    there = matrix.copy()
    there[:, 2] += matrix[:, :2] @ [columns.start, rows.start]
    return there


def shifted_back(back: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    """The matrix from a crop to the part of the picture that `region` names, of the one to the whole picture."""
    there = back.copy()
    there[:, 2] -= [columns.start, rows.start]
    return there
