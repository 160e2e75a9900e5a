"""The face matte of an aligned crop: from alpha or a mask where there is one, else a hull of the landmarks."""

from __future__ import annotations

import numpy as np

HULL = "hull"  # of the landmarks: approximate
# The outline of a face in (eye distances across, eye-to-mouth distances down) from the middle of the eyes, right half.
OUTLINE = np.array(
    [[0.0, -0.85], [0.5, -0.78], [0.9, -0.4], [1.02, 0.1], [1.0, 0.55], [0.85, 1.05], [0.5, 1.45], [0, 1.6]]
)
FINER = 4  # times as fine as drawn, for a soft edge
MOST_TURNED = 0.45  # of the nose, in eye distances: beyond it the landmarks tell no more


def outline(points: np.ndarray) -> np.ndarray:
    """(N, 2) of the outline of a face with these five landmarks: their hull, grown to forehead, jaw and chin.

    Of a face that is turned, the near side is wider. Approximate: hair, beards and hands are not known.
    """
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = mouth - eyes
    across = np.array([down[1], -down[0]]) / max(np.linalg.norm(down), 1e-6)
    if across @ (points[1] - points[0]) < 0:
        across = -across
    width = max(float(across @ (points[1] - points[0])), 0.6 * float(np.linalg.norm(down)))
    turned = float(across @ (points[2] - (eyes + mouth) / 2)) / width
    turned = float(np.clip(turned, -MOST_TURNED, MOST_TURNED))
    right = [eyes + across * width * x * (1 - turned) + down * y for x, y in OUTLINE]
    left = [eyes - across * width * x * (1 + turned) + down * y for x, y in OUTLINE[::-1]]
    return np.array([*right, *left])


def hull(points: np.ndarray, size: int) -> np.ndarray:
    """(size, size) float32 in [0, 1]: the hull of `outline` and the landmarks, (5, 2) in pixels of the crop."""
    import cv2

    shape = cv2.convexHull(np.concatenate([outline(points), points]).astype(np.float32) * FINER)
    drawn = np.zeros((size * FINER, size * FINER), np.uint8)
    cv2.fillPoly(drawn, [np.round(shape).astype(np.int32)], 255)
    return cv2.resize(drawn, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
