"""Trials as child processes of this machine: as many as fill the cores, each with a log, a heartbeat, a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import registry
from harness.execute.child import BUSY, log_tail
from harness.execute.patience import SILENCE_S, TIME_LIMIT_S, Patience, sign_of_life
from harness.files import write_json
from harness.ledger.records import Ledger, Record
from harness.lock import Busy, claim_trial, held
from harness.trials.trial import Trial

GRACE_S = 8.0  # from the request to stop until a child is killed
MEMORY_A_TRIAL = 2 * 2**30


class Interruption(Exception):
    """The run was told to stop; the trials under way wrote checkpoints. `signum` is the signal."""

    def __init__(self, signum: int):
        super().__init__("stopped; the same command continues where it was")
        self.signum = signum


@dataclass
class _Running:
    trial: Trial
    process: subprocess.Popen[bytes]
    folder: Path
    attempts: int
    patience: Patience


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_jobs(jobs: int | str, device: str, pending: int) -> int:
    """Trials at once; how many threads each has was settled when they were planned.

    "auto" on a CPU: one single-threaded trial a core, while memory lasts: several small trials finish more than one on
    all cores (`harness bench --packing` measures it); on a GPU one at a time, so that its throughput figure stands.
    """
    if jobs != "auto":
        count = int(jobs)
    elif device.startswith("cuda"):
        count = 1
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**33
        count = max(1, min(cores(), int(memory // MEMORY_A_TRIAL)))
    return max(1, min(count, pending or 1))


def is_done(record: Record | None, trial: Trial, retry_failed: bool) -> bool:
    """Whether a trial needs no run: it is done under this digest, or it failed and is not to be tried again."""
    if record is None or record.digest != trial.digest:
        return False
    if record.status == "done":
        return record.score_digest == trial.score_digest
    return not retry_failed


def run_plan(
    trials: Sequence[Trial],
    *,
    root: Path,
    jobs: int | str = "auto",
    retry_failed: bool = False,
    timeout_s: float | None = None,
    silence_s: float = SILENCE_S,
) -> list[Record]:
    """Run all trials that are not done and return every trial's record, in the order given.

    A trial that fails, hangs or dies becomes a record and the others go on. The images are made or decoded first, so
    that a missing folder or too few readable files ends the run before it begins. Raises Interruption after SIGINT or
    SIGTERM, once the children have written their checkpoints. A trial has `timeout_s` in all (by its scale when none is
    given) and may be silent for `silence_s`.
    """
    ledger = Ledger(root / trials[0].suite)
    waiting = [t for t in trials if not is_done(ledger.read(t.name), t, retry_failed)]
    device = trials[0].compute.device
    count = choose_jobs(jobs, device, len(waiting))
    setting: dict[str, Any] = {"root": str(root), "device": device, "jobs": count}
    setting["plugins"] = [str(file) for file in registry.loaded_plugins()]
    prepare(waiting, root)
    running: list[_Running] = []
    with _signals() as caught:
        try:
            while (waiting or running) and not caught:
                started = False
                while waiting and len(running) < count:
                    free = next((t for t in waiting if not held(ledger.trial_folder(t.name))), None)
                    if free is None:
                        break  # every trial left is in another runner's hands: look again soon
                    waiting.remove(free)
                    if not is_done(ledger.read(free.name), free, retry_failed):
                        patience = Patience(timeout_s or TIME_LIMIT_S.get(free.scale, 6 * 3600.0), silence_s)
                        running.append(_start(free, ledger, setting, patience))
                        started = True
                for job in [j for j in running if j.process.poll() is not None]:
                    running.remove(job)
                    if job.process.returncode == BUSY:
                        waiting.append(job.trial)
                    else:
                        _settle(job, ledger, None)
                for job in running:
                    late = job.patience.exhausted(sign_of_life(job.folder))
                    if late:
                        _kill(job.process)
                        _settle(job, ledger, late)
                        running.remove(job)
                        break
                waiting = [t for t in waiting if not is_done(ledger.read(t.name), t, retry_failed)]
                time.sleep(0.05 if started else 0.25)
        finally:
            _stop(running, caught)
    if caught:
        raise Interruption(caught[0])
    records = {t.name: ledger.read(t.name) for t in trials}
    return [record for record in records.values() if record is not None]


def prepare(trials: Sequence[Trial], root: Path) -> None:
    """Render or decode every image set that the trials need, several at once; said on stderr. Raises UsageError."""
    wanted = {(t.spec.data.model_dump_json(), t.seed): t for t in trials}
    if not wanted:
        return
    import torch

    from harness.data.store import open_store

    stopping = threading.Event()

    def asked(*_: object) -> None:
        if stopping.is_set():
            raise _Abandoned

    def make(trial: Trial) -> None:
        torch.set_num_threads(1)  # of this worker thread: the sets are spread over the cores instead
        store = open_store(trial.spec.data, trial.seed, root, progress=asked)
        for file, reason in store.quarantined:
            print(f"warning: left out {file}: {reason}", file=sys.stderr)

    sets = "one image set" if len(wanted) == 1 else f"{len(wanted)} image sets"
    where = root / "data"
    print(f"preparing {sets} under {where} (rendered or decoded once, then reused)", file=sys.stderr, flush=True)
    with ThreadPoolExecutor(min(len(wanted), cores())) as pool:
        try:
            for _ in pool.map(make, wanted.values()):
                pass
        except BaseException:  # Ctrl-C, or one set that cannot be made: the other sets leave at their next chunk
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Abandoned(Exception):
    """The making of an image set was given up because the run ends."""


def _start(trial: Trial, ledger: Ledger, setting: dict[str, Any], patience: Patience) -> _Running:
    folder = ledger.trial_folder(trial.name)
    folder.mkdir(parents=True, exist_ok=True)
    before = ledger.read(trial.name)
    rescore = before.cost if before and before.status == "done" and (folder / "weights.safetensors").exists() else None
    attempts = before.attempts + 1 if before and not rescore else 1
    job = folder / "job.json"
    write_json(job, {"trial": trial.to_dict(), "attempts": attempts, "rescore": rescore, **setting})
    write_json(folder / "status.json", {"phase": "start"})
    threads = str(trial.compute.threads)
    env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with open(folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.execute", str(job)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True,
        )  # fmt: skip
    return _Running(trial, process, folder, attempts, patience)


def _settle(job: _Running, ledger: Ledger, late: str | None) -> None:
    """A child that ended without a record of its own gets one that says how it ended.

    What stands is left: a done record of this trial, however late the child was, and what another runner holds now.
    """
    trial, code = job.trial, job.process.returncode
    (job.folder / "job.json").unlink(missing_ok=True)
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"over with exit status {code} and no record"
    with contextlib.suppress(Busy), claim_trial(job.folder):
        if not _its_own(ledger.read(trial.name), trial, job.attempts):
            ledger.write(
                Record.of(
                    trial, status="timeout" if late else "failed", reason=late or f"the trial's process was {how}",
                    log_tail=log_tail(job.folder), attempts=job.attempts,
                )
            )  # fmt: skip
        (job.folder / "status.json").unlink(missing_ok=True)


def _its_own(record: Record | None, trial: Trial, attempt: int) -> bool:
    """Whether this attempt at the trial has written its record."""
    if record is None or (record.digest, record.score_digest) != (trial.digest, trial.score_digest):
        return False
    return record.status == "done" or record.attempts == attempt


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _stop(running: list[_Running], caught: list[int]) -> None:
    """Ask the children to checkpoint and leave; kill what is there after the grace, or at once on a second signal."""
    for job in running:
        with contextlib.suppress(ProcessLookupError):
            job.process.terminate()
    end = time.monotonic() + GRACE_S
    while any(j.process.poll() is None for j in running) and time.monotonic() < end and len(caught) < 2:
        time.sleep(0.02)
    for job in running:
        if job.process.poll() is None:
            _kill(job.process)
        (job.folder / "status.json").unlink(missing_ok=True)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list for the length of the block."""
    caught: list[int] = []
    try:
        old = {s: signal.signal(s, lambda signum, _: caught.append(signum)) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: the caller keeps its own handlers
        old = {}
    try:
        yield caught
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)
