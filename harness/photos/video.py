"""The frames of a video, upright and in sRGB. Needs the extra `video` (PyAV); runs in a child process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.photos.picture import MAX_PIXELS, BadPicture

SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".wmv")
NEEDED = "videos need the package av: uv pip install 'faceswap-bench[video]'"


@dataclass(frozen=True)
class Selection:
    """Which frames: every n-th, or about `fps` a second, between the seconds `start` and `end`."""

    every: int = 1
    fps: float | None = None
    start: float = 0.0
    end: float | None = None


class Frame(NamedTuple):
    """`number`: of the frame in its video, from 0; `time`: seconds; `pixels`: (H, W, 3) uint8, sRGB, upright."""

    number: int
    time: float
    pixels: np.ndarray


def frames(path: Path | str, wanted: Selection) -> Iterator[Frame]:
    """The selected frames in order. Raises BadPicture, after the frames that could be read when the video breaks off.

    Decoders end a torn video without a word; here the header's own count tells.
    """
    import av

    number, time = -1, 0.0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadPicture("holds no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            size = stream.codec_context
            if size.width * size.height > MAX_PIXELS:
                raise BadPicture(f"its header claims frames of {size.width} x {size.height} pixels")
            rate, following = float(stream.average_rate or 25), wanted.start
            for number, frame in enumerate(container.decode(video=0)):
                time = float(frame.time) if frame.time is not None else number / rate
                if wanted.end is not None and time >= wanted.end:
                    return
                if time < wanted.start or number % wanted.every:
                    continue
                if wanted.fps is not None:
                    if time < following - 1e-6:
                        continue
                    following = max(following + 1.0 / wanted.fps, time)
                yield Frame(number, time, upright(frame))
            seconds = _claimed(container, rate)
    except (av.FFmpegError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadPicture(
            f"breaks off after frame {number}: {reason}" if number >= 0 else f"damaged: {reason}"
        ) from None
    if number < 0:
        raise BadPicture("damaged: no frame can be decoded")
    if time + 1.5 / rate < seconds:
        raise BadPicture(f"breaks off after frame {number}, at {time:.1f} of {seconds:.1f} s")


def _claimed(container: Any, rate: float) -> float:
    """Seconds that the header promises. Where only the whole is timed, sound may last longer: a second is forgiven."""
    stream = container.streams.video[0]
    if stream.frames:
        return stream.frames / rate
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))  # Matroska's own
    if tag:
        return 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    return (container.duration or 0) / 1e6 - 1.0


def upright(frame: Any) -> np.ndarray:
    """(H, W, 3) uint8 of a decoded frame, turned as its display matrix says (phones film lying down)."""
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns))
