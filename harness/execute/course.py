"""The course of one trial within its process: open the images, train or take the weights that are kept, score.

A beat tells each phase as it begins and goes on within it, so that silence means that the trial hangs.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.data.store import FaceStore, open_store
from harness.execute.child import Stopped
from harness.execute.heartbeat import Heartbeat
from harness.execute.memory import keep_freed_memory
from harness.ledger import environment
from harness.ledger.facts import to_record
from harness.ledger.records import Ledger, Record
from harness.options import build_model
from harness.score import score
from harness.score.pictures import Preview
from harness.train import checkpoint, loop
from harness.train.checkpoint import read_weights, write_weights
from harness.train.loop import Interrupted, Trained, train, write_history
from harness.trials.trial import Trial

WAITED = "others were computing, and the trial had to wait for its core"
MOST_WAITING = 0.1  # a trial that stood in the queue for a core more than this share of the time has no throughput


class Look:
    """The preview of a trial, whose networks show signs of life."""

    def __init__(self, preview: Preview, beat: Heartbeat) -> None:
        self.moments, self.preview, self.beat = preview.moments, preview, beat

    def take(self, model: Any, step: int) -> dict[str, float | None]:
        """As `Preview.take`."""
        with self.beat.through_networks():
            return self.preview.take(model, step)


class Clock:
    """Instead of the preview of a rehearsal: the first and the last step enter the history, with their time."""

    def moments(self, steps: int) -> set[int]:
        """The first step and the last."""
        return {1, steps}

    def take(self, model: Any, step: int) -> dict[str, float | None]:
        """Nothing is looked at."""
        return {}


@dataclass(frozen=True)
class Place:
    """Where a trial works: its folder, the root of the results, its device; how many trials run, and whether on it.

    `began`: when its process did, by the monotonic clock.
    """

    folder: Path
    root: Path
    device: torch.device
    jobs: int
    shared: bool
    began: float


def run_course(trial: Trial, record: Record, place: Place, kept: dict[str, Any], beat: Heartbeat) -> Record:
    """The record of the trial when it is done. `kept` is the cost of weights that need a new scoring only, or empty.

    Raises Stopped after a checkpoint, and whatever goes wrong.
    """
    torch.set_num_threads(trial.compute.threads)
    keep_freed_memory()
    beat("open")
    store = open_store(
        trial.spec.data, trial.seed, place.root, progress=partial(_opening, beat), device=place.device.type
    )
    if kept:
        model, cost, resumed = _read_weights(trial, place, kept), kept, record.resumed_from
    else:
        trained, share = _train(trial, store, place, beat)
        model, resumed = trained.model, trained.resumed_from
        beat("measure")
        with beat.through_networks():
            cost = _cost(trial, trained, place, share)
    beat("score")
    clock, waited = time.monotonic(), waited_for_a_core()
    with beat.through_networks():
        found = score.score(
            model, trial.spec, store, place.device, place.folder, place.root / "data" / "references",
            list(trial.metrics), trial.score_digest, report=partial(beat, "score"),
        )  # fmt: skip
    ended = time.monotonic()
    # A new scoring of kept weights leaves the total of the run that trained them.
    times = {"total": round(ended - place.began, 2), **cost["wall_s"], "score": round(ended - clock, 2)}
    if trial.rehearsal:
        waited = (waited_for_a_core() - waited) / (ended - clock)
        cost = {**cost, "waited_while_scoring": round(waited, 3), "evaluators": len(trial.metrics)}
    whole = _peak_memory(place.device)
    beat("write")
    Ledger(place.root / trial.suite).write_values(trial.name, found.values)
    return replace(
        record, status="done", scores=found.scores, references=found.references, invalid=found.invalid,
        cost={"peak_memory_mb": whole, **cost, "wall_s": times, "scored_memory_mb": whole},
        facts=to_record(found.facts), resumed_from=resumed, environment=environment.capture(), data=_data(trial, store),
    )  # fmt: skip


def _opening(beat: Heartbeat, stage: str, done: int, total: int) -> None:
    beat(stage, step=done, steps=total)


def _read_weights(trial: Trial, place: Place, kept: dict[str, Any]) -> Any:
    model = build_model(trial.spec).to(place.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.load_state_dict(read_weights(place.folder / "weights.safetensors", kept["weights_sha256"]))
    return model


def _train(trial: Trial, store: FaceStore, place: Place, beat: Heartbeat) -> tuple[Trained, float]:
    """The trained model, and the share of the time that it waited for a core. Raises Stopped."""
    beat("train")
    clock, waited = time.monotonic(), waited_for_a_core()
    look = Clock() if trial.rehearsal else Look(Preview(store, trial.spec, place.folder, place.device), beat)
    with _asked_to_stop() as asked, _rehearsing(beat, place.device) if trial.rehearsal else contextlib.nullcontext():

        def stop() -> bool:  # the loop asks once a step
            beat.alive()
            return asked()

        try:
            trained = train(
                trial.spec, trial.seed, store, place.device, place.folder,
                compute=trial.compute, look=look, report=beat, stop=stop,
            )  # fmt: skip
        except Interrupted as stopped:
            print(stopped)
            raise Stopped from stopped
    if trained.resumed_from == trained.steps:  # killed between its last checkpoint and the history beside it
        kept = checkpoint.load(place.folder / "checkpoint")
        write_history(place.folder, kept.meta["history"] if kept else [])
    for note in trained.notes:
        print(note)
    return trained, (waited_for_a_core() - waited) / (time.monotonic() - clock)


@contextlib.contextmanager
def _rehearsing(beat: Heartbeat, device: torch.device) -> Iterator[None]:
    """Within the block no checkpoint but the last; on a CPU, where a step can take minutes, each layer beats."""
    before, loop.CHECKPOINT_S = loop.CHECKPOINT_S, math.inf
    try:
        # Not on a GPU: a compiled graph takes no hooks.
        with beat.through_networks() if device.type == "cpu" else contextlib.nullcontext():
            yield
    finally:
        loop.CHECKPOINT_S = before


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Within the block SIGTERM, or the death of the runner, is a question to the loop instead of an end."""
    asked: list[int] = []
    parent = os.getppid()
    before = signal.signal(signal.SIGTERM, lambda signum, _: asked.append(signum))
    yield lambda: bool(asked) or os.getppid() != parent
    signal.signal(signal.SIGTERM, before)


def _cost(trial: Trial, trained: Trained, place: Place, waited: float) -> dict[str, Any]:
    """What the trained model costs, and the SHA-256 of its weights, which are written here."""
    void = "resumed" if trained.resumed_from else "smaller micro-batch" if trained.micro_batch else None
    void = void or ("shares its GPU" if place.device.type == "cuda" and place.shared else None)
    if waited > MOST_WAITING:
        void = void or WAITED
    peak = _peak_memory(place.device)  # before anything but training has taken memory
    # Nobody asks a rehearsal for the speed of swaps.
    own = score.cost(trained.model, trial.spec, place.device, trial.compute.precision, timed=not trial.rehearsal)
    return {
        **own,
        "weights_sha256": write_weights(place.folder / "weights.safetensors", trained.model.state_dict()),
        "train_images_per_s": {**score.spread(trained.images_per_s), "void": void},
        "peak_memory_mb": peak,
        "precision": trial.compute.precision, "threads": trial.compute.threads, "device": str(place.device),
        "steps": trained.steps, "batch": trial.spec.optim.batch, "notes": trained.notes,
        "jobs": place.jobs, "waited_for_core": round(waited, 3),
        "wall_s": {"train": round(trained.seconds, 2)} | {k: round(v, 3) for k, v in trained.own_s.items()},
    }  # fmt: skip


def _data(trial: Trial, store: FaceStore) -> dict[str, Any]:
    return {
        "fingerprint": store.fingerprint, "source": trial.spec.data.source, "synthetic": store.synthetic,
        "truth": store.truth, "frames": {p: len(x) for p, x in store.people.items()},
        "quarantined": [list(map(str, item)) for item in store.quarantined],
    }  # fmt: skip


def _peak_memory(device: torch.device) -> float:
    """MB that the trial has held at most until now: of its GPU, or of the machine's memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def waited_for_a_core() -> float:
    """Seconds that this process has stood ready to run while others ran (Linux; 0 elsewhere)."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
