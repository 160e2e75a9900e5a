"""Decoding many EXR files in child processes: parallel, and safe from what a damaged file does to its decoder.

`decode_files` starts `python -m harness.data.decode` children, which decode, check and resize, write half-float rows
into one file and report a JSON line for each. The library's complaints stay in the child, and a file that kills its
decoder is named like any other bad file.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from harness.data.exr import MAX_PIXELS, Alpha, read_image
from harness.data.image_file import BadImage, Job, check_file
from harness.errors import EnvironmentProblem
from harness.files import file_sha256

FILE_SECONDS = 120.0  # the decoding of one file may take; the largest allowed take about ten
FILES_A_CHILD = 64  # fewer are not worth another process
LATE = -999
HALF_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Outcome:
    """What became of a file: `reason` is None when its row is good; `side` is its height and width before cropping."""

    reason: str | None
    notes: tuple[str, ...] = ()
    side: tuple[int, int] | None = None


def decode_files(
    jobs: Sequence[Job],
    out: Path,
    size: int,
    alpha: Alpha = "premultiplied",
    max_pixels: int = MAX_PIXELS,
    progress: Callable[[int, int], None] | None = None,
) -> list[Outcome]:
    """Decode `jobs` into the raw file `out`: row i is (4, size, size) float16 linear premultiplied RGBA of jobs[i].

    Images that are not square are cropped about their centre, larger ones are shrunk by area, smaller ones are refused.
    Rows of bad files are undefined. `progress(done, total)` is called now and then. Raises OSError (disk full) and
    EnvironmentProblem (a child that cannot start).
    """
    total, done = len(jobs), 0
    outcomes: list[Outcome | None] = [None] * total
    with open(out, "wb") as file:
        file.truncate(total * 8 * size * size)
    report = threading.Lock()

    def finished(index: int, outcome: Outcome) -> None:
        nonlocal done
        with report:
            outcomes[index] = outcome
            done += 1
            if progress is not None and (done % 16 == 0 or done == total):
                progress(done, total)

    def work(indices: list[int]) -> None:
        # A child that dies took the first file without a report with it; the rest goes to another child.
        while indices:
            code, said = _child(indices, jobs, out, size, alpha, max_pixels, finished)
            indices = [i for i in indices if outcomes[i] is None]
            if not indices:
                return
            if code >= 0:
                raise EnvironmentProblem(f"the image decoder ended with code {code}: {said}")
            late = code == LATE
            why = f"took longer than {FILE_SECONDS:g} s" if late else f"its decoder crashed (signal {-code})"
            finished(indices.pop(0), Outcome(f"damaged: {why}"))

    children = max(1, min(_cores(), total // FILES_A_CHILD))
    with ThreadPoolExecutor(children) as pool:
        for future in [pool.submit(work, list(range(k, total, children))) for k in range(children)]:
            future.result()
    return [outcome for outcome in outcomes if outcome is not None]


def _child(
    indices: list[int],
    jobs: Sequence[Job],
    out: Path,
    size: int,
    alpha: str,
    max_pixels: int,
    finished: Callable[[int, Outcome], None],
) -> tuple[int, str]:
    """Run one child over `indices`; its exit code (negative: signal, LATE: killed by us) and the end of its stderr."""
    request = {"out": os.fspath(out), "size": size, "alpha": alpha, "max_pixels": max_pixels}
    request["jobs"] = [[i, jobs[i].path, jobs[i].sha256] for i in indices]
    home = os.fspath(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join((home, *_python_path()))}
    command = [sys.executable, "-m", "harness.data.decode"]
    with tempfile.TemporaryFile() as said:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as child:  # type: ignore[call-overload]
            with contextlib.suppress(BrokenPipeError):  # a child that could not start says why on stderr
                child.stdin.write(json.dumps(request))
                child.stdin.close()
            patience = _Patience(child)
            for line in child.stdout:
                patience.renew()
                answer = json.loads(line)
                if "failed" in answer:  # an OSError of the child's own: the disk, not a file
                    raise OSError(*answer["failed"])
                index = answer.pop("index")
                side = tuple(answer["side"]) if answer["side"] else None
                finished(index, Outcome(answer["reason"], tuple(answer["notes"]), side))
            patience.end()
        said.seek(max(0, said.tell() - 400))
        return (LATE if patience.lost else child.returncode), said.read().decode(errors="replace").strip()


class _Patience:
    """Kills a child that has not answered for FILE_SECONDS; `lost` tells that it did."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child, self.lost = child, False
        self.timer = threading.Timer(0, self._lose)
        self.renew()

    def renew(self) -> None:
        self.timer.cancel()
        self.timer = threading.Timer(FILE_SECONDS, self._lose)
        self.timer.daemon = True
        self.timer.start()

    def end(self) -> None:
        self.timer.cancel()

    def _lose(self) -> None:
        self.lost = True
        self.child.kill()


def _python_path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode_one(job: Job, size: int, alpha: Alpha, max_pixels: int) -> tuple[np.ndarray | None, Outcome]:
    """One file as (4, size, size) float16 and its outcome; None for a bad file."""
    try:
        check_file(job.path)
        if job.sha256 is not None and file_sha256(job.path) != job.sha256:
            raise BadImage(job.path, "damaged: its content differs from the manifest's SHA-256")
        image = read_image(job.path, max_pixels, alpha)
        height, width = image.pixels.shape[1:]
        notes = list(image.notes)
        pixels = image.pixels
        if height != width:
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            pixels = pixels[:, top : top + side, left : left + side]
            notes.append(f"{width} x {height} pixels: cropped about the centre")
        if pixels.shape[1] < size:
            raise BadImage(job.path, f"{width} x {height} pixels, smaller than data.size {size}")
        brightest = float(np.abs(pixels).max())
        if brightest > HALF_MAX:
            notes.append(f"values up to {brightest:.3g} are clipped to {HALF_MAX:.0f}")
    except BadImage as bad:
        return None, Outcome(bad.reason)
    except OSError as error:
        return None, Outcome(f"cannot be read: {error.strerror or error}")
    if pixels.shape[1] > size:
        pixels = _shrink(pixels, size)
    # Half floats end at 65504; light that bright is white on any display.
    half = np.ascontiguousarray(np.clip(pixels, -HALF_MAX, HALF_MAX), np.float16)
    return half, Outcome(None, tuple(notes), (height, width))


def _shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """Area average of (4, S, S) to (4, size, size); right for premultiplied linear light."""
    import cv2  # only here: most children never need it

    return cv2.resize(pixels.transpose(1, 2, 0), (size, size), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)


def main() -> None:
    """The child: a JSON request on stdin, half-float rows into its file, one JSON line a file on stdout."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not reach the answers
    request = json.load(sys.stdin)
    size = request["size"]
    try:
        with open(request["out"], "r+b") as out:
            for index, path, sha256 in request["jobs"]:
                row, outcome = decode_one(Job(path, sha256), size, request["alpha"], request["max_pixels"])
                if row is not None:
                    out.seek(index * row.nbytes)
                    out.write(row.tobytes())
                    out.flush()  # written, not mapped: a full disk is an error here and not a SIGBUS
                answers.write(json.dumps({"index": index, **asdict(outcome)}) + "\n")
    except OSError as error:
        answers.write(json.dumps({"failed": [error.errno, error.strerror, request["out"]]}) + "\n")


if __name__ == "__main__":
    main()
