"""What makes a crop not worth keeping: too small, blurred, or nearly the same as one that is there.

Thresholds were measured on the built-in faces and on a photograph: a Gaussian blur of 3 in 256 pixels leaves a
sharpness of 0.04 to 0.09, the same face read twice (another size, JPEG) differs by 0.02 in the middle, two frames of a
talking head a fifth of a second apart by 0.06.
"""

from __future__ import annotations

import base64

import numpy as np

VIEW = 256  # pixels of the side at which sharpness is read
FINE = 2.0  # pixels of VIEW: what is finer counts as detail
LOOK = 16  # pixels of the side of what crops are compared by


def grey(crop: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 -> the middle of the crop as (VIEW * 3/4, VIEW * 3/4) float32 grey in [0, 1]."""
    import cv2

    values = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    kind = cv2.INTER_AREA if len(values) > VIEW else cv2.INTER_CUBIC
    edge = VIEW // 8
    return cv2.resize(values, (VIEW, VIEW), interpolation=kind)[edge:-edge, edge:-edge]


def sharpness(middle: np.ndarray) -> float:
    """The share of contrast that is finer than FINE pixels: 0.1 to 0.4 when sharp, 0.02 of a blurred face."""
    import cv2

    fine = middle - cv2.GaussianBlur(middle, (0, 0), FINE)
    return float(fine.std() / max(float(middle.std()), 1e-4))


def look(middle: np.ndarray) -> np.ndarray:
    """(LOOK * LOOK,) float32 without its mean: what two crops are compared by."""
    import cv2

    small = cv2.resize(middle, (LOOK, LOOK), interpolation=cv2.INTER_AREA).ravel()
    return small - small.mean()


def pack(values: np.ndarray) -> str:
    """What `look` gives as text of 344 characters, in 255ths."""
    return base64.b64encode(np.round(values * 127).clip(-127, 127).astype(np.int8).tobytes()).decode()


def unpack(text: str) -> np.ndarray:
    """The inverse of `pack`."""
    return np.frombuffer(base64.b64decode(text), np.int8).astype(np.float32) / 127


class Looks:
    """The crops that were kept, by name, and how near a new one is to them."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._rows = np.empty((0, LOOK * LOOK), np.float32)

    def nearest(self, look: np.ndarray) -> tuple[str, float]:
        """The name of the most similar crop and the root of the mean squared difference; ("", inf) without any."""
        if not self.names:
            return "", float("inf")
        distance = np.sqrt(np.square(self._rows[: len(self.names)] - look).mean(axis=1))
        best = int(distance.argmin())
        return self.names[best], float(distance[best])

    def add(self, name: str, look: np.ndarray) -> None:
        """Keep one more."""
        if len(self.names) == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty((max(64, len(self._rows)), LOOK * LOOK), np.float32)])
        self._rows[len(self.names)] = look
        self.names.append(name)
