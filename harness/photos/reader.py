"""Decoding in a child process, one picture ahead of the one that is worked on.

`read` starts `python -m harness.photos.reader`, which answers each request with a line of JSON and raw pixels for every
picture or frame. A file that kills its decoder is named like any other bad file, and the next child goes on behind it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.files import HOME
from harness.photos import video
from harness.photos.picture import BadPicture, Picture, read_picture
from harness.photos.video import Selection

AHEAD = 2  # pictures decoded and waiting: bounds the memory


@dataclass(frozen=True)
class Request:
    """One file to read: a picture, or the frames of a video that `selection` names."""

    path: str
    selection: Selection | None = None


@dataclass(frozen=True)
class Read:
    """What came of `requests[index]`: a picture (a `frame` with its `time` in seconds when of a video), or its end.

    `picture` is None at the end of each request: then `reason` says what was wrong, None when nothing was.
    """

    index: int
    picture: Picture | None = None
    frame: int | None = None
    time: float | None = None
    reason: str | None = None


def read(requests: Iterable[Request]) -> Generator[Read]:
    """Everything that can be read of `requests`, in order; every request has its end. Closing it ends the child.

    Requests are taken from the iterable one ahead at most, so that it may still be deciding.
    """
    found: queue.Queue[Read | BaseException | None] = queue.Queue(AHEAD)
    stop = threading.Event()

    def put(item: Read | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                found.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            with closing(_children(requests)) as items:
                all(put(item) for item in items)
        except BaseException as error:
            put(error)
        put(None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := found.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()


def _children(requests: Iterable[Request]) -> Generator[Read]:
    child: _Child | None = None
    try:
        for index, request in enumerate(requests):
            child = child or _Child()
            try:
                yield from child.answers(index, request)
            except _Died as died:
                child = None
                yield Read(index, reason=f"damaged: its decoder crashed ({died})")
    finally:
        if child is not None:
            child.close()


class _Died(Exception):
    """The child ended in the middle of a request."""


class _Child:
    """One reading process."""

    def __init__(self) -> None:
        path = os.pathsep.join(part for part in (os.fspath(HOME), os.environ.get("PYTHONPATH", "")) if part)
        self.said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.photos.reader"],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its child
        )  # fmt: skip

    def answers(self, index: int, request: Request) -> Iterator[Read]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(asdict(request)).encode() + b"\n")
            stdin.flush()
        except OSError:
            raise _Died(self.close()) from None
        while True:
            line = stdout.readline()
            if not line.endswith(b"\n"):
                raise _Died(self.close())
            head = json.loads(line)
            if "reason" in head:
                yield Read(index, reason=head["reason"])
                return
            arrays = [_array(stdout, head["dtype"], shape) for shape in head["shapes"]]
            if None in [None if array is None else 0 for array in arrays]:
                raise _Died(self.close())
            alpha = arrays[1] if len(arrays) > 1 else None
            picture = Picture(arrays[0], alpha, tuple(head["notes"]))  # type: ignore[arg-type]
            yield Read(index, picture, head["frame"], head["time"])

    def close(self) -> str:
        """End the child; how it ended."""
        self.process.kill() if self.process.poll() is None else None
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not written yet has no reader any more
                    stream.close()
        code = self.process.wait()
        self.said.seek(0)
        lines = self.said.read()[-2000:].decode(errors="replace").strip().splitlines()
        self.said.close()
        return f"signal {-code}" if code < 0 else lines[-1] if lines else f"code {code}"


def _array(stream: IO[bytes], dtype: str, shape: list[int]) -> np.ndarray | None:
    array = np.empty(shape, dtype)
    view = array.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        got = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            return None
        done += got
    return array


def main() -> None:
    """The child: for each line of JSON on stdin, lines of JSON with raw pixels behind them, and a last one."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not reach the answers
    for line in sys.stdin.buffer:
        request = json.loads(line)
        reason = None
        try:
            if request["selection"] is None:
                _send(answers, read_picture(request["path"]))
            else:
                for number, time, pixels in video.frames(Path(request["path"]), Selection(**request["selection"])):
                    _send(answers, Picture(pixels), number, time)
        except BadPicture as bad:
            reason = str(bad)
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
        answers.write(json.dumps({"reason": reason}).encode() + b"\n")
        answers.flush()


def _send(answers: IO[bytes], picture: Picture, frame: int | None = None, time: float | None = None) -> None:
    arrays = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    head: dict[str, Any] = {"frame": frame, "time": time, "notes": picture.notes, "dtype": picture.pixels.dtype.str}
    answers.write(json.dumps({**head, "shapes": [array.shape for array in arrays]}).encode() + b"\n")
    for array in arrays:
        answers.write(np.ascontiguousarray(array).data)
    answers.flush()


if __name__ == "__main__":
    main()
