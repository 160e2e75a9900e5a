"""One trial in a process of its own: open the store, train, score, write the record.

Started by `harness.execute.local` as `python -m harness.execute JOB.json`. Exit status: 0 when a record was written,
143 when it was told to stop (a checkpoint remains), 75 when another process holds the trial.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.ledger.records import Record
    from harness.trials.trial import Trial

BUSY, STOPPED = 75, 143
WAITED = "others were computing, and the trial had to wait for its core"
MOST_WAITING = 0.1  # a trial that stood in the queue for a core more than this share of the time has no throughput


class Heartbeat:
    """status.json of a running trial, written at most once a second; the live table and the hang detector read it."""

    def __init__(self, folder: Path):
        self.path, self.last, self.began = folder / "status.json", 0.0, time.monotonic()
        self.first_step: int | None = None

    def __call__(self, phase: str = "train", **values: Any) -> None:
        from harness.files import write_json

        now = time.monotonic()
        if phase == "train" and now - self.last < 1.0:
            return
        self.last = now
        step, steps = values.get("step"), values.get("steps")
        if step and steps:
            self.first_step = step if self.first_step is None else self.first_step
            rate = (step - self.first_step) / max(now - self.began, 1e-9)
            values["eta_s"] = round((steps - step) / rate, 1) if rate > 0 else None
            if self.first_step == step:
                self.began = now
        loss = values.get("loss")
        values["loss"] = loss if loss is not None and loss == loss else None
        write_json(self.path, {"phase": phase, "updated": time.time(), **values})


def run_trial(job: dict[str, Any]) -> int:
    """Run the trial of a job description to its record; returns the exit status."""
    began, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    from harness import registry
    from harness.ledger.records import Ledger, Record
    from harness.lock import Busy, claim_trial
    from harness.trials.trial import Trial

    trial, root = Trial.from_dict(job["trial"]), Path(job["root"])
    ledger = Ledger(root / trial.suite)
    folder = ledger.trial_folder(trial.name)
    beat = Heartbeat(folder)
    # Until training has begun nothing is worth saving: leave at once. Then the loop writes a checkpoint and leaves.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(STOPPED))
    record = Record(
        name=trial.name, label=trial.label, seed=trial.seed, status="failed", suite=trial.suite, scale=trial.scale,
        cell=dict(trial.cell), pair=trial.pair, digest=trial.digest, score_digest=trial.score_digest,
        spec=trial.spec.model_dump(mode="json"), started=started, attempts=job["attempts"],
    )  # fmt: skip
    try:
        with claim_trial(folder):
            beat("start")
            done = ledger.read(trial.name)
            if done and done.status == "done" and done.score_digest == trial.score_digest:
                return 0
            try:
                for file in job["plugins"]:
                    registry.load_plugin(Path(file))
                record = _train_and_score(trial, record, root, folder, job, beat, began)
            except Stopped:
                return STOPPED
            except Exception as error:
                traceback.print_exc()
                record = replace(record, status=_status_of(error), reason=f"{type(error).__name__}: {error}")
            finished = datetime.now(UTC).isoformat(timespec="seconds")
            ledger.write(
                replace(record, finished=finished, log_tail="" if record.status == "done" else log_tail(folder))
            )
            (folder / "status.json").unlink(missing_ok=True)
            if record.status == "done":  # not before the record stands: until then it is all there is of the training
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
            return 0
    except Busy:
        return BUSY


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM, or the death of the runner, is a question to the loop instead of an end."""
    asked: list[int] = []
    parent = os.getppid()
    before = signal.signal(signal.SIGTERM, lambda signum, _: asked.append(signum))
    yield lambda: bool(asked) or os.getppid() != parent
    signal.signal(signal.SIGTERM, before)


class Stopped(Exception):
    """Training was interrupted after a checkpoint."""


def _status_of(error: Exception) -> str:
    from harness.train.loop import OutOfMemory
    from harness.train.optimise import Diverged

    return "diverged" if isinstance(error, Diverged) else "oom" if isinstance(error, OutOfMemory) else "failed"


def _train_and_score(
    trial: Trial, record: Record, root: Path, folder: Path, job: dict[str, Any], beat: Heartbeat, began: float
) -> Record:
    import torch

    torch.set_num_threads(trial.compute.threads)
    from harness.data.store import open_store
    from harness.execute.memory import keep_freed_memory
    from harness.ledger import environment
    from harness.options import build_model
    from harness.score import score
    from harness.score.pictures import Preview
    from harness.train.checkpoint import read_weights, write_weights
    from harness.train.loop import Interrupted, train

    keep_freed_memory()
    device = torch.device(job["device"])
    store = open_store(trial.spec.data, trial.seed, root)
    weights = folder / "weights.safetensors"
    kept = job.get("rescore")
    if kept:
        model = build_model(trial.spec).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        model.load_state_dict(read_weights(weights, kept["weights_sha256"]))
        cost, resumed = kept, record.resumed_from
    else:
        clock, waited = time.monotonic(), _waited_for_a_core()
        try:
            with _asked_to_stop() as stop:
                look = Preview(store, trial.spec, folder, device)
                trained = train(
                    trial.spec, trial.seed, store, device, folder,
                    compute=trial.compute, look=look, report=beat, stop=stop,
                )  # fmt: skip
        except Interrupted as stopped:
            print(stopped)
            raise Stopped from stopped
        waited = (_waited_for_a_core() - waited) / (time.monotonic() - clock)
        for note in trained.notes:
            print(note)
        model, resumed = trained.model, trained.resumed_from
        void = "resumed" if resumed else "smaller micro-batch" if trained.micro_batch else None
        void = void or ("shares its GPU" if device.type == "cuda" and job["jobs"] > 1 else None)
        if waited > MOST_WAITING:
            void = void or WAITED
        cost = {
            **score.cost(model, trial.spec, device, trial.compute.precision),
            "weights_sha256": write_weights(weights, model.state_dict()),
            "train_images_per_s": {**score.spread(trained.images_per_s), "void": void},
            "precision": trial.compute.precision, "threads": trial.compute.threads, "device": str(device),
            "steps": trained.steps, "batch": trial.spec.optim.batch, "notes": trained.notes,
            "jobs": job["jobs"], "waited_for_core": round(waited, 3),
            "wall_s": {"train": round(trained.seconds, 2)} | {k: round(v, 3) for k, v in trained.own_s.items()},
        }  # fmt: skip
    beat("score")
    clock = time.monotonic()
    found = score.score(
        model, trial.spec, store, device, folder, root / "data" / "references", list(trial.metrics), trial.score_digest
    )
    ended = time.monotonic()
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    # A new scoring of kept weights leaves the total of the run that trained them.
    cost["wall_s"] = {"total": round(ended - began, 2), **cost["wall_s"], "score": round(ended - clock, 2)}
    cost["peak_memory_mb"] = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    from harness.ledger.records import Ledger

    Ledger(root / trial.suite).write_values(trial.name, found.values)
    done = replace(
        record, status="done", scores=found.scores, references=found.references, invalid=found.invalid,
        facts=found.facts, cost=cost, resumed_from=resumed, environment=environment.capture(),
        data={"fingerprint": store.fingerprint, "source": trial.spec.data.source, "synthetic": store.synthetic,
              "truth": store.truth, "frames": {p: len(x) for p, x in store.people.items()},
              "quarantined": [list(map(str, item)) for item in store.quarantined]},
    )  # fmt: skip
    return done


def _waited_for_a_core() -> float:
    """Seconds that this process has stood ready to run while others ran (Linux; 0 elsewhere)."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def log_tail(folder: Path, lines: int = 30, width: int = 300) -> str:
    """The end of a trial's log; long lines (a crash lists every loaded library in one) are cut."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        text = (folder / "log.txt").read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(line[:width] for line in text.splitlines()[-lines:])
