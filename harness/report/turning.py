"""The turning head as one short animation: driver, baseline, best variant and exact truth, side by side."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.ledger.table import Key, Outcome
from harness.report.clearest import Pair
from harness.report.lead import ranking
from harness.report.numbers import Numbers

NAME = "sweep.webp"
FRAME_MS = 180
WIDEST = 192  # pixels of a face; larger ones are reduced
QUALITY = 80


@dataclass(frozen=True)
class Turning:
    """An animated WebP and its middle frame, for those who want nothing to move."""

    columns: tuple[str, ...]
    moving: str
    still: str
    width: int
    height: int
    replicate: Key


def turning(numbers: Numbers, chosen: Pair | None) -> Turning | None:
    """The best variant of the main metric beside the baseline (else the picture's two); None without such pictures."""
    if chosen is None:
        return None
    base = numbers.table.baseline or chosen.other
    best = ranking(numbers, str(numbers.primary))[0]
    one, other = (chosen.one, chosen.other) if best.label == base.label else (best, base)
    for key in sorted(set(one.done) & set(other.done)):
        ours, theirs = _rows(one.done[key]), _rows(other.done[key])
        if ours is not None and theirs is not None and ours.shape == theirs.shape:
            columns = ("driver", other.label, one.label, "exact truth")
            return _animated(columns, np.concatenate([ours[0], theirs[1], ours[1], ours[2]], axis=2), key)
    return None


def _rows(trial: Outcome) -> NDArray[np.uint8] | None:
    """(3, frames, H, H, 3): driver, swap and truth; None when the trial has no whole picture of them."""
    path: Path | None = trial.pictures.get(NAME)
    if path is None:
        return None
    with Image.open(path) as opened:
        whole = np.asarray(opened.convert("RGB"))
    side = whole.shape[0] // 3
    if side == 0 or whole.shape[0] % 3 or whole.shape[1] % side:
        return None
    return whole.reshape(3, side, whole.shape[1] // side, side, 3).swapaxes(1, 2)


def _animated(columns: tuple[str, ...], frames: NDArray[np.uint8], key: Key) -> Turning:
    """There and back again, for ever; ``frames`` are (F, H, 4 * H, 3)."""
    side = min(WIDEST, frames.shape[1])
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    images = [image.resize((side * len(columns), side), Image.Resampling.LANCZOS) for image in images]
    loop = [*images, *images[-2:0:-1]]
    buffer = io.BytesIO()
    loop[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=loop[1:],
        duration=FRAME_MS,
        loop=0,
        quality=QUALITY,
        method=4,
    )
    middle = io.BytesIO()
    images[len(images) // 2].save(middle, format="WEBP", quality=QUALITY, method=4)
    moving, still = (f"data:image/webp;base64,{base64.b64encode(b.getvalue()).decode()}" for b in (buffer, middle))
    return Turning(columns, moving, still, side * len(columns), side, key)
