"""How long a trial may take and be silent: what is finished is never lost, what hangs is ended."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Self

import pytest
from trouble_plans import QUICK, plan, until

from harness import registry
from harness.execute import run_plan
from harness.execute.executor import Ended, Job
from harness.execute.heartbeat import Heartbeat
from harness.execute.patience import LOOK_S, Patience, sign_of_life
from harness.ledger.records import Ledger, Record
from harness.suite.suite import load
from harness.trials.trial import Trial, trials

TARDY = Path(__file__).with_name("tardy.py")
SUITE = """\
suite: {name}
question: Is a slow trial left alone?
data: {{pair: near, frames: 20, eval_frames: 6, size: 16, render_supersample: 1}}
base:
  model: {{variant: grid, width: 4, channels: 4, grid: 3}}
  loss: {{l1: 1.0, kl: 0.01, tardy: 1.0}}
  optim: {{steps: {steps}, batch: 6, precision: fp32, lr: 0.01}}
  score: {{previews: 2}}
metrics: {metrics}
scales: {{quick: {{}}}}
"""


class Clock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watched(patience: Patience, clock: Clock, seconds: float, sign: object) -> str | None:
    """The verdict after looks each second."""
    found = None
    for _ in range(round(seconds)):
        clock.now += 1
        found = patience.exhausted(sign)
    return found


def test_silence_is_counted_from_the_last_sign_of_life_only() -> None:
    clock = Clock()
    patience = Patience(limit_s=10_000, silence_s=60, clock=clock)
    for sign in range(50):
        assert watched(patience, clock, 59, sign) is None
    assert watched(patience, clock, 59, None) is None  # its status is gone: it is about to end, and that is a sign
    assert watched(patience, clock, 3, None) == "gave no sign of life for 61 s"


def test_time_is_limited_whatever_the_signs() -> None:
    clock = Clock()
    patience = Patience(limit_s=100, silence_s=60, clock=clock)
    assert all(watched(patience, clock, 1, sign) is None for sign in range(100))
    assert watched(patience, clock, 1, "still there") == "took longer than its limit of 100 s"


def test_time_in_which_the_runner_did_not_look_is_not_silence() -> None:
    clock = Clock()
    patience = Patience(limit_s=900, silence_s=60, clock=clock)
    patience.exhausted("a beat")
    clock.now += 100_000  # the machine slept, or the runner was stopped
    assert patience.exhausted("a beat") is None
    assert patience.silent == LOOK_S


def test_a_status_that_is_touched_written_or_removed_is_a_sign(tmp_path: Path) -> None:
    clock = Clock()
    beat = Heartbeat(tmp_path, clock)
    seen = [sign_of_life(tmp_path)]
    for act in (lambda: beat("open"), beat.alive, lambda: beat("train"), (tmp_path / "status.json").unlink):
        clock.now += 2
        time.sleep(0.02)
        act()
        seen.append(sign_of_life(tmp_path))
    assert all(one != other for one, other in pairwise(seen))


def test_a_beat_tells_a_new_phase_at_once_and_more_of_it_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    beat = Heartbeat(tmp_path, clock)

    def told() -> dict[str, object]:
        status = json.loads((tmp_path / "status.json").read_bytes())
        return {key: status[key] for key in ("phase", "step", "part", "eta_s") if key in status}

    beat("train", step=20, steps=100)
    assert told() == {"phase": "train", "step": 20, "eta_s": None}
    clock.now += 0.5
    beat("train", step=40, steps=100)
    assert told()["step"] == 20
    clock.now += 0.5
    beat.alive()  # says what was kept back
    assert told() == {"phase": "train", "step": 40, "eta_s": 1.5}
    beat("score", part="identity")
    assert told() == {"phase": "score", "part": "identity"}
    beat("train", loss=float("nan"))
    assert json.loads((tmp_path / "status.json").read_bytes())["loss"] is None


def test_every_call_of_a_network_is_a_sign_of_life(tmp_path: Path) -> None:
    import torch

    clock = Clock()
    beat = Heartbeat(tmp_path, clock)
    beat("score", part="one")
    beat("score", part="another")
    network = torch.nn.Linear(1, 1)
    clock.now += 2
    network(torch.zeros(1))
    assert json.loads((tmp_path / "status.json").read_bytes())["part"] == "one"
    with beat.through_networks():
        network(torch.zeros(1))
    assert json.loads((tmp_path / "status.json").read_bytes())["part"] == "another"


@pytest.fixture
def tardy(root: Path, trouble: None) -> None:
    registry.load_plugin(TARDY)


def tardy_trial(root: Path, name: str, steps: int = 8, metrics: tuple[str, ...] = QUICK) -> Trial:
    file = root / f"{name}.yaml"
    file.write_text(SUITE.format(name=name, steps=steps, metrics=list(metrics)))
    return trials(load(file), "quick")[0]


@pytest.mark.long
def test_a_trial_that_ends_slowly_stays_done(root: Path, tardy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is finished when its record stands: a runner that loses patience afterwards takes nothing back."""
    monkeypatch.setenv("TARDY", "end")
    trial = tardy_trial(root, "slow-end")
    (record,) = run_plan([trial], root=root, silence_s=6)
    assert (record.folder / "checkpoint").exists()  # its end was not waited for
    assert (record.status, record.reason) == ("done", None)
    assert record.scores


@pytest.mark.long
def test_a_trial_that_outlasts_the_limit_of_silence_in_every_phase_is_left_alone(
    root: Path, tardy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TARDY", "phases")
    trial = tardy_trial(root, "slow-phases", steps=25, metrics=("identity", "reconstruction", "factors"))
    lasted = phases_of(trial, root)
    (record,) = run_plan([trial], root=root, silence_s=6)
    assert record.status == "done", (record.reason, lasted)
    assert min(lasted[phase] for phase in ("decoding images", "train", "measure", "score")) > 6, lasted


def phases_of(trial: Trial, root: Path) -> dict[str, float]:
    """How long each phase is seen in the trial's status, filled in while the trial runs."""
    status, lasted = Ledger(root / trial.suite).trial_folder(trial.name) / "status.json", dict[str, float]()

    def look() -> None:
        until(status.exists, 60)
        looked = time.monotonic()
        while status.exists():
            try:
                phase = json.loads(status.read_bytes())["phase"]
            except OSError:
                return
            now = time.monotonic()
            lasted[phase] = lasted.get(phase, 0.0) + now - looked
            looked = now
            time.sleep(0.1)

    threading.Thread(target=look, daemon=True).start()
    return lasted


@pytest.mark.long
@pytest.mark.usefixtures("one_core", "trouble")
def test_a_hanging_trial_ends_at_its_time_limit_or_when_it_is_silent_too_long(root: Path) -> None:
    (trial,) = plan(root, "hanging", "hang")
    (record,) = run_plan([trial], root=root, timeout_s=6)
    assert (record.status, record.reason) == ("timeout", "took longer than its limit of 6 s")
    (record,) = run_plan([trial], root=root, silence_s=5, retry_failed=True)
    assert record.status == "timeout" and record.reason is not None
    assert record.reason.startswith("gave no sign of life for ")
    assert not list(record.folder.glob("status.json"))


def test_what_a_late_child_left_is_judged_by_its_record(root: Path, trouble: None) -> None:
    """A done record of this trial stays; the record of an older attempt or of another trial does not count."""
    from harness.execute.done import left_by

    (trial,) = plan(root, "judged", "none")
    done = Record.of(trial, status="done")
    assert left_by(1, trial, done) and left_by(2, trial, done)
    failed = Record.of(trial, status="failed", attempts=1)
    assert left_by(1, trial, failed) and not left_by(2, trial, failed)
    assert not left_by(1, trial, replace(done, score_digest="of other metrics"))
    assert not left_by(1, trial, None)


class Queue:
    """A place where a trial waits for its turn and then is lost."""

    slots = 1

    def prepare(self, trials: Sequence[Trial]) -> None:
        pass

    def start(self, job: Job) -> Queued:
        return Queued(job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Queued:
    began = False

    def __init__(self, job: Job) -> None:
        self.job, self.since = job, time.monotonic()

    def ended(self) -> Ended | None:
        return Ended("lost") if time.monotonic() - self.since > 1.5 else None

    def stop(self) -> None:
        pass

    def kill(self) -> None:
        pass


def test_a_trial_that_waits_for_its_turn_is_neither_late_nor_silent(root: Path, trouble: None) -> None:
    todo = plan(root, "queued", "none")
    (record,) = run_plan(todo, root=root, executor=Queue(), timeout_s=0.5, silence_s=0.5)
    assert (record.status, record.reason) == ("failed", "lost")
