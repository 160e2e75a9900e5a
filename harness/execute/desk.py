"""The desk of a run on a cluster: trials on other machines bring their files here, and take theirs from here.

It works on the machine that asked, where the ledger is; a cluster runs it as an actor. Of several executions of one
trial, the last one that began is listened to: what a node says that was thought dead is refused.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from harness.files import write_json

PIECE = 32 * 2**20  # bytes that travel at once
SILENT_S = 120.0  # an execution that has not spoken for so long is probably lost
STAYS = {"record.json", "status.json", "owner.json", "job.json", ".guard"}  # each machine's own


class Overtaken(Exception):
    """Another execution of the trial has begun, or the run has ended."""


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """{path: (bytes, time of the last change)} of a trial's files that travel, a checkpoint's tensors before its JSON.

    A checkpoint counts from its JSON on, so that on the other side, too, there is never half of one.
    """
    found = {}
    for path in sorted(folder.rglob("*"), key=lambda path: (path.suffix == ".json", path.as_posix())):
        name = path.relative_to(folder).as_posix()
        if name in STAYS or any(part.startswith(".") or part.endswith(".tmp") for part in name.split("/")):
            continue
        try:
            stat = path.stat()
        except OSError:
            continue  # replaced or dropped while we looked
        if path.is_file() and not path.is_symlink():
            found[name] = (stat.st_size, stat.st_mtime_ns)
    return found


class Desk:
    """Takes and gives the files of a suite's trials, whose folders lie in `trials`."""

    def __init__(self, trials: str) -> None:
        self.trials = Path(trials)
        self.present: dict[str, str] = {}
        self.leaving: set[str] = set()
        self.heard: dict[str, float] = {}

    def expect(self, name: str) -> None:
        """A trial is going to be executed, once or, when a node dies, more often."""
        self.present[name] = ""
        self.leaving.discard(name)

    def begin(self, name: str, execution: str) -> dict[str, int]:
        """An execution begins; the files that it may take, with their sizes. Raises Overtaken."""
        if name not in self.present or name in self.leaving:
            raise Overtaken(name)
        self.present[name] = execution
        self.heard[name] = time.monotonic()
        write_json(self.trials / name / "status.json", {"phase": "start"})
        return {path: size for path, (size, _) in files_of(self.trials / name).items()}

    def give(self, name: str, path: str, offset: int) -> bytes:
        """A piece of a file, empty at its end."""
        with open(self._place(name, path), "rb") as file:
            file.seek(offset)
            return file.read(PIECE)

    def beat(self, name: str, execution: str, status: bytes | None) -> bool:
        """A sign of life, with the trial's status if it has changed; whether the trial may go on. Raises Overtaken."""
        self._present(name, execution)
        if status is not None:
            self._write(self.trials / name / "status.json", status)
        return name not in self.leaving

    def take(self, name: str, execution: str, path: str, offset: int, piece: bytes, last: bool) -> bool:
        """Take a piece of a file in, which stands under its name after the last; as `beat`."""
        self._present(name, execution)
        place = self._place(name, path)
        part = place.with_name(f".{place.name}.part")
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(piece)
            if last:
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        if last:
            part.replace(place)
        return name not in self.leaving

    def keep(self, name: str, execution: str, names: Iterable[str]) -> None:
        """Drop checkpoints that are not among these names of files. Raises Overtaken."""
        self._present(name, execution)
        kept = set(names)
        for path in (self.trials / name / "checkpoint").glob("step-*"):
            if path.relative_to(self.trials / name).as_posix() not in kept:
                path.unlink(missing_ok=True)

    def running(self) -> set[str]:
        """The trials that are being executed; one that is silent waits, for its node or for another."""
        now = time.monotonic()
        silent = {name for name in self.heard if now - self.heard[name] > SILENT_S}
        for name in silent & self.present.keys():
            (self.trials / name / "status.json").unlink(missing_ok=True)
        return {name for name, execution in self.present.items() if execution} - silent

    def stop(self, name: str) -> bool:
        """Tell a trial to leave with a checkpoint; whether it has begun."""
        self.leaving.add(name)
        return bool(self.present.get(name))

    def close(self, name: str) -> None:
        """A trial has ended: nothing of it is taken in any more."""
        self.present.pop(name, None)
        self.heard.pop(name, None)
        self.leaving.discard(name)
        (self.trials / name / "status.json").unlink(missing_ok=True)

    def _present(self, name: str, execution: str) -> None:
        if not execution or self.present.get(name) != execution:
            raise Overtaken(name)
        self.heard[name] = time.monotonic()

    def _place(self, name: str, path: str) -> Path:
        """A file within a trial's folder. ValueError for any other."""
        usable = re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,199}", name)
        if not usable or path in STAYS or any(part in ("", ".", "..") for part in path.split("/")):
            raise ValueError(f"{path} of {name} is no file of a trial")
        return self.trials / name / path

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        part = path.with_name(f".{path.name}.{threading.get_ident()}.part")  # an actor works in several threads
        part.write_bytes(content)
        part.replace(path)
