"""Writing a video frame by frame, marked, with the sound of another one. Needs the extra `video` (PyAV)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

CODECS = {".mp4": "libx264", ".mov": "libx264", ".m4v": "libx264", ".mkv": "libx264", ".webm": "libvpx-vp9"}
OTHER = ".mp4"  # what videos of other kinds become
TICKS = Fraction(1, 90_000)  # seconds: finer than any frame rate
BT709 = 1  # of colour space, primaries and transfer in H.273


class Film:
    """A video being written to `path`, which appears when `finish` is called. Leave it by `abandon` otherwise.

    `source`: the video whose sound and frame rate are taken. `notes`: what could not be kept.
    """

    def __init__(self, path: Path, source: Path, text: str) -> None:
        import av

        self.path, self.notes = path, list[str]()
        self.part = path.with_name(f".{path.stem}.part{path.suffix}")
        self.frames, self.text = 0, text
        self.video: Any = None
        self.source = av.open(str(source))
        self.rate = self.source.streams.video[0].average_rate or Fraction(25)
        self.out = av.open(str(self.part), "w")
        self.out.metadata["comment"] = text
        self.sound = self._sound()

    def _sound(self) -> Iterator[tuple[float, Any]]:
        """(seconds, packet) of the sound, ready to be written; nothing when there is none or it does not fit."""
        if not self.source.streams.audio:
            return iter(())
        stream = self.source.streams.audio[0]
        try:
            copy = self.out.add_stream_from_template(stream)
        except (ValueError, RuntimeError) as error:
            self.notes.append(f"the sound is not kept: {stream.codec_context.name} does not fit here ({error})")
            return iter(())
        return self._packets(stream, copy)

    def _packets(self, stream: Any, copy: Any) -> Iterator[tuple[float, Any]]:
        import av

        try:
            for packet in self.source.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    yield float(packet.dts * packet.time_base), packet
        except av.FFmpegError as error:
            self.notes.append(f"the sound breaks off: {error.strerror}")

    def add(self, pixels: np.ndarray, time: float) -> None:
        """One frame (H, W, 3) uint8 sRGB, shown from `time` seconds on."""
        import av

        if self.video is None:
            self.video = self._stream(*pixels.shape[:2])
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format=self.video.pix_fmt, dst_colorspace="ITU709")
        frame.pts, frame.time_base = round(time / TICKS), TICKS
        self.out.mux(self.video.encode(frame))
        self.frames += 1
        self._catch_up(time)

    def _stream(self, height: int, width: int) -> Any:
        codec = CODECS[self.path.suffix.lower()]
        stream: Any = self.out.add_stream(codec, rate=self.rate, options={"crf": "18" if codec == "libx264" else "24"})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        context = stream.codec_context
        context.time_base = TICKS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        return stream

    def _catch_up(self, time: float) -> None:
        """Write the sound up to here: players want both side by side."""
        for seconds, packet in self.sound:
            self.out.mux(packet)
            if seconds > time:
                return

    def finish(self) -> None:
        """Write what is left, and let the file appear. A video without frames does not."""
        if self.video is not None:
            self.out.mux(self.video.encode())
            self._catch_up(float("inf"))
        self._close()
        if self.frames:
            self.part.replace(self.path)
        self.part.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(Exception):  # whatever made it fail has been told
            self._close()
        self.part.unlink(missing_ok=True)

    def _close(self) -> None:
        self.out.close()
        self.source.close()
