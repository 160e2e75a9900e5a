"""Which trials are finished, and what of a trial is kept when it is run again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.ledger.manifest import WEIGHTS, damaged_files, lacking, repair_of
from harness.ledger.packed import HISTORY
from harness.ledger.records import Record
from harness.trials.trial import Trial


def is_done(record: Record | None, trial: Trial, retry_failed: bool) -> bool:
    """Whether a trial needs no run: it is done under this digest, or it failed and is not to be tried again.

    A done trial of which a file is damaged that feeds a number is not done. Weights that were deleted to save room are
    no damage.
    """
    if record is None or record.digest != trial.digest:
        return False
    if record.status == "done":
        return record.score_digest == trial.score_digest and not lacking(record)
    return not retry_failed


def damage(record: Record | None, trial: Trial) -> str:
    """What is damaged of a done trial, and what follows; empty when nothing is."""
    needed = lacking(record) if record and record.digest == trial.digest else ""
    if not needed or record is None:
        return ""
    names = ", ".join(name for name, _ in damaged_files(record))
    return f"{names} of {trial.name} is damaged: it is {'trained' if needed == 'train' else 'scored'} anew"


def kept_training(record: Record | None, trial: Trial) -> Mapping[str, Any] | None:
    """The cost of a finished training whose weights need only be scored anew; None when it must be trained."""
    if record is None or record.digest != trial.digest or "weights_sha256" not in record.cost:
        return None
    damaged = {name for name, _ in damaged_files(record)} & {WEIGHTS, HISTORY}
    return record.cost if (record.folder / WEIGHTS).is_file() and not damaged else None


def drop_damaged(record: Record) -> None:
    """Remove what is damaged and only looked at: the manifest of the next record would take it for whole."""
    for name in [name for name, _ in damaged_files(record) if repair_of(name) == "delete"]:
        (record.folder / name).unlink(missing_ok=True)


def next_attempt(record: Record | None, trial: Trial) -> int:
    """The number of the next attempt; scoring anew what is done belongs to the attempt that trained it."""
    if record is None or record.digest != trial.digest:
        return 1
    return record.attempts + (record.status != "done" or kept_training(record, trial) is None)


def left_by(attempt: int, trial: Trial, record: Record | None) -> bool:
    """Whether this attempt at the trial has come to a record."""
    if record is None or (record.digest, record.score_digest) != (trial.digest, trial.score_digest):
        return False
    return not lacking(record) if record.status == "done" else record.attempts == attempt
