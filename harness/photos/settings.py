"""What an import is asked to do. What decides the pictures stands in the manifest and must not change half-way."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.photos.align import CROP
from harness.photos.video import Selection

Align = Literal["mtcnn", "none"]
Background = Literal["keep", "black"]
SIZE = 256
WHOLE = Selection()  # every frame of a video
SHARPNESS, DUPLICATES, CONFIDENCE, ALIKE = 0.05, 0.03, 0.9, 0.5


@dataclass(frozen=True)
class Settings:
    """align: "mtcnn" finds and aligns faces, "none" takes pictures that are aligned already.

    size: pixels of the crop's side; None is SIZE, and with "none" each picture's own side. crop: crop factor of the
    template. background: "keep" what is behind the face, or "black". smallest: pixels of the picture that a crop's side
    must span (None: half its size). sharpness, duplicates, confidence, alike: limits, None leaves them out. like: a
    picture of whom to take. masks: a folder of mattes. selection: which frames of videos.
    """

    align: Align = "mtcnn"
    size: int | None = None
    crop: float = CROP
    background: Background = "keep"
    smallest: float | None = None
    sharpness: float | None = SHARPNESS
    duplicates: float | None = DUPLICATES
    confidence: float = CONFIDENCE
    like: Path | None = None
    alike: float = ALIKE
    masks: Path | None = None
    selection: Selection = WHOLE

    @property
    def side(self) -> int:
        return self.size or SIZE

    def deciding(self) -> dict[str, Any]:
        """What all pictures of a person must share: as JSON, for the manifest."""
        shared = ("align", "size", "crop", "background")
        return {name: value for name, value in asdict(self).items() if name in shared}
