"""What killed runs have left behind is swept away by the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from harness.lock import Busy, claim_trial, process_lives

OF_A_RUN = ("job.json", "status.json", ".*.tmp", ".*.part", "*.tmp")
SETTLED_S = 60.0  # a file being written is younger


def sweep(suite: Path, names: Iterable[str]) -> None:
    """Remove leftovers from the suite's folder and from these trials' folders, unless somebody works there."""
    for file in [*suite.glob(".*.tmp"), *(suite.parent / "data" / "references").glob(".*.tmp")]:
        with contextlib.suppress(OSError, ValueError):
            writer = int(file.name.split(".")[-2])  # see harness.files.write_atomic
            if not process_lives(writer) and time.time() - file.stat().st_mtime > SETTLED_S:
                file.unlink()
    for name in names:
        folder = suite / "trials" / name
        if _left(folder) or (folder / "owner.json").exists():
            with contextlib.suppress(Busy), claim_trial(folder):
                for file in _left(folder):
                    file.unlink(missing_ok=True)


def sweep_checkpoints(suite: Path, names: Iterable[str]) -> None:
    """Remove the checkpoints of these trials, which are done: whoever was killed with the record written left them."""
    for name in names:
        folder = suite / "trials" / name
        if (folder / "checkpoint").is_dir():
            with contextlib.suppress(Busy), claim_trial(folder):
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)


def _left(folder: Path) -> list[Path]:
    found = [file for pattern in OF_A_RUN for file in folder.glob(pattern) if not _being_written(file)]
    return found + [Path(file) for part in ("pictures", "previews", "checkpoint") for file in _torn(folder / part)]


def _being_written(file: Path) -> bool:
    """Whether the process lives whose number `harness.files.write_atomic` put into the name: a runner beside us."""
    writer = file.name.split(".")[-2]
    return file.suffix == ".tmp" and writer.isdecimal() and process_lives(int(writer))


def _torn(folder: Path) -> list[str]:
    try:
        return [entry.path for entry in os.scandir(folder) if entry.name.startswith(".")]
    except OSError:
        return []
