"""One trial in a process of its own: hold it, run its course, write the record.

Forked by `harness.execute.warm` or started as `python -m harness.execute`. Exit status: 0 when a record was written,
143 when it was told to stop (a checkpoint remains), 75 when another process holds the trial, 78 when the code here is
not the code that the trial was planned with (the log's last line says so).
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.execute.heartbeat import Heartbeat
    from harness.ledger.records import Record
    from harness.trials.trial import Trial

BUSY, UNFIT, STOPPED = 75, 78, 143


class Stopped(Exception):
    """Training was interrupted after a checkpoint."""


class Unfit(Exception):
    """The code of this machine is not that of the plan."""


def run_trial(job: dict[str, Any]) -> int:
    """Run the trial of a job description to its record; returns the exit status."""
    began = time.monotonic()
    from harness.execute.done import is_done
    from harness.execute.heartbeat import Heartbeat
    from harness.ledger.records import Ledger
    from harness.lock import Busy, claim_trial
    from harness.trials.trial import Trial

    # Until training has begun nothing is worth saving: leave at once. Then the loop writes a checkpoint and leaves.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED))
    trial = Trial.from_dict(job["trial"])
    ledger = Ledger(Path(job["root"]) / trial.suite)
    folder = ledger.trial_folder(trial.name)
    try:
        with claim_trial(folder):
            beat = Heartbeat(folder)
            beat("start")
            if is_done(ledger.read(trial.name), trial, retry_failed=True):
                return 0
            record = _outcome(trial, folder, job, beat, began)
            beat("write")
            ledger.write(record)
            if record.status == "done":  # not before the record stands: until then it is all there is of the training
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
            (folder / "status.json").unlink(missing_ok=True)
            return 0
    except Stopped:
        return STOPPED
    except Busy:
        return BUSY
    except Unfit as other:
        print(other)
        return UNFIT


def _outcome(trial: Trial, folder: Path, job: dict[str, Any], beat: Heartbeat, began: float) -> Record:
    """The record of the trial, done or with the reason why not. Raises Stopped."""
    import torch

    from harness import registry
    from harness.execute.course import Place, run_course
    from harness.ledger.records import Record

    kept = job["kept"] or {}
    record = Record.of(trial, status="failed", started=_now(), attempts=job["attempt"], cost=kept)
    place = Place(folder, Path(job["root"]), torch.device(job["device"]), job["jobs"], job["shared"], began)
    try:
        for file in job["plugins"]:
            registry.load_plugin(Path(file))
        if job["verify"] and (other := trial.differs_here()):
            raise Unfit(other)
        return replace(run_course(trial, record, place, kept, beat), finished=_now())
    except (Stopped, Unfit):
        raise
    except BaseException as error:  # a plugin's SystemExit and KeyboardInterrupt, too, are only its own
        traceback.print_exc()
        reason = ": ".join(filter(None, (type(error).__name__, str(error))))
        return replace(record, status=_status_of(error), reason=reason, finished=_now(), log_tail=log_tail(folder))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _status_of(error: BaseException) -> str:
    from harness.train.loop import OutOfMemory
    from harness.train.optimise import Diverged

    # Out of a CPU's memory torch raises a RuntimeError that only its words tell from others.
    full = isinstance(error, OutOfMemory | MemoryError) or "can't allocate memory" in str(error)
    return "diverged" if isinstance(error, Diverged) else "oom" if full else "failed"


def log_tail(folder: Path, lines: int = 30, width: int = 300) -> str:
    """The end of a trial's log; long lines (a crash lists every loaded library in one) are cut."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        text = (folder / "log.txt").read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(line[:width] for line in text.splitlines()[-lines:])
