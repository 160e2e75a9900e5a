"""One picture through a trained swapper: find and align the face, swap it, paste it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.data.imported import import_settings
from harness.files import hash_of
from harness.ledger.records import Record
from harness.photos import align, light
from harness.photos.judge import Embed, Judge, LeftOut
from harness.photos.picture import Picture
from harness.photos.settings import Settings
from harness.use.model import TrainedSwapper
from harness.use.paste import Pasting, paste
from models.photographs import FaceFinder


@dataclass(frozen=True)
class Manner:
    """How pictures reach the network; it should be as in training. crop: factor of the template; black: whether what is
    behind the face is black. aligned: the pictures are crops already, and are given back as crops."""

    crop: float
    black: bool
    aligned: bool = False
    confidence: float = 0.9
    like: Path | None = None


@dataclass(frozen=True)
class Look:
    """What the network is shown of a picture: `seen` (S, S, 3) sRGB in [0, 1], its `matte` (S, S), `matrix` (2, 3).

    `reason`: why there is nothing to show.
    """

    seen: np.ndarray | None = None
    matte: np.ndarray | None = None
    matrix: np.ndarray | None = None
    reason: str | None = None


def trained_on(record: Record) -> dict[str, Any]:
    """The settings by which the pictures of a trial's own folder were imported; empty when that is not known."""
    folder = str(record.data.get("source") or "builtin")
    if folder == "builtin":
        return {"crop": Settings().crop, "background": "black", "align": "mtcnn"}
    return import_settings(Path(folder))


class Swapping:
    """Turns pictures into pictures that show the person `to`."""

    def __init__(
        self,
        model: TrainedSwapper,
        to: str,
        manner: Manner,
        pasting: Pasting,
        *,
        finder: FaceFinder | None = None,
        embed: Embed | None = None,
    ) -> None:
        self.model, self.to, self.manner, self.pasting = model, to, manner, pasting
        settings = Settings(
            size=model.size, crop=manner.crop, smallest=0, sharpness=None, duplicates=None,
            confidence=manner.confidence, like=manner.like,
        )  # fmt: skip
        self.judge = None if manner.aligned else Judge(settings, finder or FaceFinder(str(model.device)), embed)

    def recipe(self, sha256: str) -> str:
        """What decides a swap, in a line: trial, person, source and settings."""
        manner = asdict(self.manner) | {"like": str(self.manner.like), **asdict(self.pasting)}
        trial = self.model.record
        return f"trial {trial.digest[:16]}, to {self.to}, source {sha256[:16]}, settings {hash_of(manner)[:8]}"

    def look(self, picture: Picture) -> Look:
        """The aligned face of a picture, or the reason why there is none."""
        if self.judge is None:
            drawn, matrix = self._whole(picture), None
        else:
            try:
                crop = self.judge(picture)
            except LeftOut as left:
                return Look(reason=str(left).partition(":")[0])
            drawn, matrix = crop.pixels, np.array(crop.facts["matrix"])
        rgb = drawn[..., :3] * drawn[..., 3:] if self.manner.black else drawn[..., :3]
        return Look(light.to_shown(rgb), drawn[..., 3], matrix)

    def _whole(self, picture: Picture) -> np.ndarray:
        """The middle square of a picture that is a crop already, at the network's size."""
        height, width = picture.pixels.shape[:2]
        side, size = min(height, width), self.model.size
        rows = slice((height - side) // 2, (height + side) // 2)
        columns = slice((width - side) // 2, (width + side) // 2)
        scale = np.array([[size / side, 0.0, 0.0], [0.0, size / side, 0.0]])
        return align.warp(light.linear(picture, rows, columns), scale, (size, size))

    def answers(self, looks: Sequence[Look]) -> list[np.ndarray | None]:
        """The network's pictures (S, S, 3), in [0, 1], with a learned mask as a fourth channel; None without a face."""
        seen = [look.seen for look in looks if look.seen is not None]
        if not seen:
            return [None] * len(looks)
        x = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2)
        with torch.no_grad():
            pictures, masks = self.model.swap_with_mask(x, self.to)
        made = pictures if masks is None else torch.cat([pictures, masks], dim=1)
        answers = iter(made.permute(0, 2, 3, 1).cpu().numpy())
        return [None if look.seen is None else next(answers) for look in looks]

    def pasted(self, picture: Picture, look: Look, answer: np.ndarray) -> np.ndarray:
        """The whole picture (H, W, 3) with the swap in its place: uint8 sRGB, or float32 linear as it came."""
        whole = picture.pixels if picture.pixels.dtype != np.uint16 else light.as_bytes(picture.pixels)
        if look.matrix is None or look.seen is None or look.matte is None:
            return light.display_bytes(light.from_display(answer[..., :3]))
        matte = look.matte * answer[..., 3] if answer.shape[2] > 3 else look.matte
        return paste(whole, answer[..., :3], matte, look.matrix, self.pasting, look.seen)

    def finished(self, picture: Picture, look: Look, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """What is written for a picture: pixels and alpha; of an aligned one the crop, with its matte if it had one."""
        if look.matrix is not None:
            return self.pasted(picture, look, answer), picture.alpha
        alpha = answer[..., 3] if answer.shape[2] > 3 else look.matte if picture.alpha is not None else None
        return self.pasted(picture, look, answer), None if alpha is None else light.as_bytes(alpha)
