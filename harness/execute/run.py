"""A plan from its trials to their records: what is done is left alone, the rest runs where the executor runs it."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from harness import registry
from harness.execute.child import log_tail
from harness.execute.devices import choose_jobs, gpus
from harness.execute.done import damage, drop_damaged, is_done, kept_training, left_by, next_attempt
from harness.execute.executor import Attempt, Ended, Executor, Job
from harness.execute.local import LocalExecutor
from harness.execute.patience import SILENCE_S, TIME_LIMIT_S, Patience, sign_of_life
from harness.execute.sweep import sweep, sweep_checkpoints
from harness.files import hash_of
from harness.ledger.records import Ledger, Record
from harness.lock import Busy, claim_trial, held
from harness.trials.trial import Trial

GRACE_S = 4.0  # from the request to stop until a child is killed
LOOK_AT_OTHERS_S = 2.0  # how often the records of waiting trials are read: another runner may have finished one
MOST_BUSY = 5  # a trial that is busy this often, and that nobody holds, tells a lie


class Interruption(Exception):
    """The run was told to stop; the trials under way wrote checkpoints. `signum` is the signal."""

    def __init__(self, signum: int):
        super().__init__("stopped; the same command continues where it was")
        self.signum = signum


def run_plan(
    trials: Sequence[Trial],
    *,
    root: Path,
    jobs: int | str = "auto",
    per_gpu: int = 1,
    retry_failed: bool = False,
    timeout_s: float | None = None,
    silence_s: float = SILENCE_S,
    executor: Executor | None = None,
) -> list[Record]:
    """Run all trials that are not done and return every trial's record, in the order given.

    A trial that fails, hangs or dies becomes a record and the others go on. The images are made or decoded first, so
    that a missing folder or too few readable files ends the run before it begins. Raises Interruption after SIGINT or
    SIGTERM, once the trials have written their checkpoints. A trial has `timeout_s` in all (by its scale when none is
    given) and may be silent for `silence_s`. `executor`: this machine's child processes when none is given.
    """
    ledger = Ledger(root / trials[0].suite)
    sweep(ledger.folder, [trial.name for trial in trials])
    before = {trial.name: ledger.read(trial.name) for trial in trials}
    for trial in trials:
        if found := damage(before[trial.name], trial):
            print(f"warning: {found}", file=sys.stderr)
    waiting = [t for t in trials if not is_done(before[t.name], t, retry_failed)]
    whole = {trial.name for trial in trials} - {trial.name for trial in waiting}
    sweep_checkpoints(ledger.folder, [name for name in whole if (one := before[name]) and one.status == "done"])
    place = executor or _local(root, trials[0].compute.device, jobs, per_gpu)
    run = _Run(ledger, place, waiting, retry_failed, timeout_s, silence_s)
    run.scored |= {pictures_of(trial) for trial in trials if trial.name in whole}
    with place:
        place.prepare(waiting)
        with _signals() as caught:
            try:
                while (run.waiting or run.running) and not caught:
                    time.sleep(0.05 if run.turn() else 0.25)
            finally:
                run.stop(caught)
    if caught:
        raise Interruption(caught[0])
    records = {t.name: ledger.read(t.name) for t in trials}
    return [record for record in records.values() if record is not None]


def _local(root: Path, device: str, jobs: int | str, per_gpu: int) -> LocalExecutor:
    slots = choose_jobs(jobs, device, per_gpu)
    return LocalExecutor(root, slots, device, gpus() if device == "cuda" else ())


class _Run:
    """The trials that wait and the attempts under way."""

    def __init__(
        self, ledger: Ledger, place: Executor, waiting: list[Trial], retry: bool, limit: float | None, silence: float
    ) -> None:
        self.ledger, self.place, self.waiting, self.retry = ledger, place, waiting, retry
        self.limit_s, self.silence_s = limit, silence
        self.running: list[tuple[Attempt, Patience]] = []
        self.busy: dict[str, int] = {}
        self.looked = time.monotonic()
        self.took = {record.label: seconds_of(record) for record in ledger.records()}
        self.scored: set[str] = set()  # image sets that a finished trial has read for all that share them

    def turn(self) -> bool:
        """Start what there is room for and settle what has ended; whether anything began."""
        if time.monotonic() - self.looked > LOOK_AT_OTHERS_S:
            self.waiting = [t for t in self.waiting if not is_done(self.ledger.read(t.name), t, self.retry)]
            self.looked = time.monotonic()
        began = False
        while self.waiting and len(self.running) < self.place.slots:
            mine = [t for t in self.waiting if not held(self.ledger.trial_folder(t.name))]
            free = next_of(mine, self.took, self._first_read())
            if free is None:
                break  # every trial left is in another runner's hands: look again soon
            self.waiting.remove(free)
            began |= self._start(free)
        for attempt, patience in list(self.running):
            late = patience.exhausted(sign_of_life(attempt.job.folder)) if attempt.began else None
            ended = attempt.ended()
            if ended is None and late:
                attempt.kill()
            if ended or late:
                self.running.remove((attempt, patience))
                self._ended(attempt.job, ended, late)
        return began

    def _first_read(self) -> set[str]:
        """The image sets that a trial under way is the first to read."""
        return {pictures_of(attempt.job.trial) for attempt, _ in self.running} - self.scored

    def _start(self, trial: Trial) -> bool:
        before = self.ledger.read(trial.name)
        if is_done(before, trial, self.retry):
            return False
        folder = self.ledger.trial_folder(trial.name)
        folder.mkdir(parents=True, exist_ok=True)
        plugins = tuple(str(file) for file in registry.loaded_plugins())
        kept = kept_training(before, trial)
        if before and kept:
            drop_damaged(before)
        job = Job(trial, folder, next_attempt(before, trial), kept, plugins)
        limit = self.limit_s or TIME_LIMIT_S.get(trial.scale, TIME_LIMIT_S["standard"])
        self.running.append((self.place.start(job), Patience(limit, self.silence_s)))
        return True

    def _ended(self, job: Job, ended: Ended | None, late: str | None) -> None:
        if ended and ended.busy:
            self.busy[job.trial.name] = self.busy.get(job.trial.name, 0) + 1
            if held(job.folder) or self.busy[job.trial.name] < MOST_BUSY:
                self.waiting.append(job.trial)
                return
        self.scored.add(pictures_of(job.trial))
        settle(job, self.ledger, "failed" if ended else "timeout", ended.reason if ended else late or "")
        if record := self.ledger.read(job.trial.name):
            self.took[record.label] = seconds_of(record)

    def stop(self, caught: list[int]) -> None:
        """Ask the trials to checkpoint and leave; end what is there after the grace, or at once on a second signal."""
        attempts = [attempt for attempt, _ in self.running]
        for attempt in attempts:
            attempt.stop()
        end = time.monotonic() + GRACE_S
        while any(a.ended() is None for a in attempts) and time.monotonic() < end and len(caught) < 2:
            time.sleep(0.02)
        for attempt in attempts:
            if attempt.ended() is None:
                attempt.kill()
            for name in ("status.json", "job.json"):
                (attempt.job.folder / name).unlink(missing_ok=True)


def pictures_of(trial: Trial) -> str:
    """Names the image set of a trial: what the first trial scores of it alone is kept for the others."""
    return hash_of([trial.seed, trial.spec.data.model_dump(mode="json")])


def next_of(trials: Sequence[Trial], took: Mapping[str, float], first_read: Collection[str] = ()) -> Trial | None:
    """The next trial: replicate by replicate, within one the longest first, so that no core is idle at the end.

    `took`: seconds of a trial by its label; one that is not known yet comes before those that are. `first_read`: image
    sets that are being read for the first time. Trials of other sets go first: at the end one of these would wait.
    """
    ready = [trial for trial in trials if pictures_of(trial) not in first_read] or trials
    replicate = [trial for trial in ready if trial.seed == ready[0].seed]
    return max(replicate, key=lambda trial: took.get(trial.label, math.inf), default=None)


def seconds_of(record: Record) -> float:
    """What a trial took; without end when it is not known."""
    return (record.cost.get("wall_s") or {}).get("total", math.inf)


def settle(job: Job, ledger: Ledger, status: str, reason: str) -> None:
    """An attempt that ended without a record of its own gets one that says how it ended.

    What stands is left: a done record of this trial, however late its process was, and what another runner holds now.
    """
    with contextlib.suppress(Busy), claim_trial(job.folder):
        if not left_by(job.attempt, job.trial, ledger.read(job.trial.name)):
            ledger.write(
                Record.of(
                    job.trial, status=status, reason=reason, attempts=job.attempt, cost=dict(job.kept or {}),
                    log_tail=log_tail(job.folder),
                )
            )  # fmt: skip
        for name in ("status.json", "job.json"):
            (job.folder / name).unlink(missing_ok=True)


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
