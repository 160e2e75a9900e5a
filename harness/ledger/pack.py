"""Packing a suite's results: one file for the records, histories and per-image values of all its trials."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CheckFailed, EnvironmentProblem
from harness.files import write_atomic
from harness.ledger.packed import MEMBERS, PACK, read_trial_file, to_pack
from harness.ledger.records import Ledger
from harness.ledger.verify import verify_suite
from harness.lock import Busy, claim_trial, guarded, held


@dataclass(frozen=True)
class Packing:
    """What packing came to: trials in the pack, bytes of their files before, bytes of the pack."""

    trials: int
    before: int
    after: int


def pack(folder: Path) -> Packing:
    """Pack the suite in `folder`, and remove the files that are in the pack then.

    CheckFailed when a file is damaged (a pack of it would vouch for it), Busy while a trial is being run,
    EnvironmentProblem when the pack cannot be written or read back. Without a record nothing is written.
    """
    damaged = verify_suite(folder).findings
    if damaged:
        raise CheckFailed(f"{damaged[0]}. Nothing was packed")
    with guarded(folder):
        ledger = Ledger(folder)
        records = ledger.records()
        running = next((record.name for record in records if held(record.folder)), None)
        if running:
            raise Busy(f"{folder.name}: {running} is being run. Nothing was packed; pack when the run has ended")
        files: dict[str, dict[str, bytes]] = {}
        for record in records:
            for name in MEMBERS:
                with contextlib.suppress(FileNotFoundError):
                    files.setdefault(record.name, {})[name] = read_trial_file(record.folder, name)[0]
        if not files:
            return Packing(0, 0, 0)
        content = to_pack(files)
        write_atomic(folder / PACK, content)
        if (folder / PACK).read_bytes() != content:
            raise EnvironmentProblem(f"{folder / PACK}: reads otherwise than written. Nothing was removed")
        for record in records:
            _remove(record.folder, files[record.name])
    size = sum(len(file) for trial in files.values() for file in trial.values())
    return Packing(len(files), size, len(content))


def _remove(folder: Path, packed: Mapping[str, bytes]) -> None:
    """Remove the files that lie as they are in the pack. A runner that began meanwhile keeps what it works on."""
    if not folder.is_dir():
        return
    with contextlib.suppress(Busy), claim_trial(folder):
        for name, content in packed.items():
            with contextlib.suppress(FileNotFoundError):
                if (folder / name).read_bytes() == content:
                    (folder / name).unlink()
