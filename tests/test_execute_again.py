"""Running again: the same weights whatever else runs, nothing done twice, and retries that tell the truth."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trouble_plans import FULLER, QUICK, checkpoints, plan

from harness.data.store import open_store
from harness.execute import run, run_plan
from harness.execute.done import is_done
from harness.execute.sweep import SETTLED_S, sweep
from harness.ledger.records import Ledger, Record
from harness.lock import claim_trial
from harness.train.loop import train

pytestmark = pytest.mark.usefixtures("one_core", "trouble")


def weights_of(records: list[Record]) -> list[str]:
    assert [record.status for record in records] == ["done"] * len(records), records[0].log_tail
    return [record.cost["weights_sha256"] for record in records]


# The same weights, whatever else runs.


@pytest.mark.long
def test_a_trial_run_alone_has_the_weights_it_had_among_others(root: Path) -> None:
    """Threads come from the plan: neither --jobs nor how many trials are left decides what a trial computes."""
    trials = plan(root, "alone", "none", "slow", steps=24)
    before = weights_of(run_plan(trials, root=root, jobs=2))
    for trial in trials:
        shutil.rmtree(Ledger(root / "alone").trial_folder(trial.name))
        assert weights_of(run_plan(trials, root=root, jobs=1)) == before
    assert [record.cost["threads"] for record in Ledger(root / "alone").records()] == [1, 1]


def test_a_trial_killed_between_its_last_checkpoint_and_its_history_ends_with_its_history(root: Path) -> None:
    (trial,) = plan(root, "history", "none")
    folder = Ledger(root / "history").trial_folder(trial.name)
    store = open_store(trial.spec.data, trial.seed, root)
    train(trial.spec, trial.seed, store, torch.device("cpu"), folder, compute=trial.compute)
    history = (folder / "history.jsonl").read_text()
    (folder / "history.jsonl").unlink()
    (record,) = run_plan([trial], root=root)
    assert (record.status, record.resumed_from) == ("done", trial.spec.optim.steps)
    assert (folder / "history.jsonl").read_text() == history and "history.jsonl" in record.files


# Done is done, and only what is sound is done.


def test_other_metrics_are_scored_without_training_again(root: Path) -> None:
    (before,) = run_plan(plan(root, "metrics", "none", metrics=FULLER), root=root)
    (trial,) = plan(root, "metrics", "none")
    assert trial.digest == before.digest and trial.score_digest != before.score_digest
    history = (before.folder / "history.jsonl").stat().st_mtime_ns
    (after,) = run_plan([trial], root=root)
    assert (after.status, after.score_digest, after.attempts) == ("done", trial.score_digest, 1)
    assert after.scores["swap_error"] == before.scores["swap_error"]
    assert set(after.scores) < set(before.scores)
    assert (before.folder / "history.jsonl").stat().st_mtime_ns == history
    assert after.cost["wall_s"]["train"] == before.cost["wall_s"]["train"]
    assert is_done(after, trial, False) and not is_done(before, trial, False)


def test_damaged_weights_are_told_and_the_trial_is_trained_anew(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trial,) = plan(root, "damaged", "none")
    (before,) = run_plan([trial], root=root)
    file = before.folder / "weights.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not is_done(before, trial, retry_failed=False)
    (after,) = run_plan([trial], root=root)
    assert f"weights.safetensors of {trial.name} is damaged: it is trained anew" in capsys.readouterr().err
    assert (after.status, after.attempts) == ("done", 2)
    assert file.read_bytes() == content
    file.unlink()  # deleted to save room: the scores stand
    (last,) = run_plan([trial], root=root)
    assert last.sha256 == after.sha256


def test_what_counts_as_done(tmp_path: Path) -> None:
    (trial,) = plan(tmp_path, "counts", "none")
    record = Record(
        name=trial.name, label="x", seed=0, status="done", digest=trial.digest, score_digest=trial.score_digest
    )
    assert is_done(record, trial, False) and is_done(record, trial, True)
    assert not is_done(None, trial, False)
    assert not is_done(replace(record, digest="other"), trial, False)
    assert not is_done(replace(record, score_digest="other"), trial, False)
    failed = replace(record, status="failed")
    assert is_done(failed, trial, False) and not is_done(failed, trial, True)


def test_damaged_values_are_scored_anew_from_the_kept_weights(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trial,) = plan(root, "values", "none")
    (before,) = run_plan([trial], root=root)
    file = before.folder / "values.json.gz"
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    preview = sorted((before.folder / "previews").iterdir())[0]
    preview.write_bytes(preview.read_bytes() + b"x")
    (after,) = run_plan([trial], root=root)
    assert f"values.json.gz of {trial.name} is damaged: it is scored anew" in capsys.readouterr().err
    assert (after.status, after.attempts, after.cost["wall_s"]["train"]) == ("done", 1, before.cost["wall_s"]["train"])
    assert file.read_bytes() == content
    assert not preview.exists() and f"previews/{preview.name}" not in after.files  # a new hash would call it whole


# Retries tell the truth.


@pytest.mark.long
def test_a_plugin_that_leaves_its_process_is_a_failure_with_its_own_reason_each_time(root: Path) -> None:
    trials = plan(root, "leaves", "exit", "interrupt", "leave", "pretend")
    for attempt in (1, 2):
        records = run_plan(trials, root=root, jobs=2, retry_failed=True)
        assert [(record.status, record.attempts) for record in records] == [("failed", attempt)] * 4
        assert [record.reason for record in records] == [
            "SystemExit: 0",
            "KeyboardInterrupt",
            "the trial's process was over with exit status 0 and no record",
            "the trial's process was over with exit status 75 and no record",
        ]


def test_a_retry_that_ends_without_a_record_does_not_keep_the_old_reason(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (trial,) = plan(root, "silent", "leave")
    old = Record.of(trial, status="failed", reason="an older story", attempts=7)
    Ledger(root / "silent").write(old)
    (record,) = run_plan([trial], root=root, retry_failed=True)
    assert (record.attempts, record.reason) == (8, "the trial's process was over with exit status 0 and no record")


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("raising", "RuntimeError: this metric raises"),
        ("leaving", "the trial's process was over with exit status 0 and no record"),
    ],
)
def test_a_new_scoring_that_fails_is_not_done_and_keeps_the_training(root: Path, metric: str, reason: str) -> None:
    name = f"rescored-{metric}"
    (before,) = run_plan(plan(root, name, "none"), root=root)
    history = (before.folder / "history.jsonl").stat().st_mtime_ns
    (failed,) = run_plan(plan(root, name, "none", metrics=(*QUICK, metric)), root=root)
    assert (failed.status, failed.reason, failed.scores) == ("failed", reason, {})
    (again,) = run_plan(plan(root, name, "none", metrics=FULLER), root=root, retry_failed=True)
    assert again.status == "done"
    assert again.cost["weights_sha256"] == before.cost["weights_sha256"]
    assert (again.folder / "history.jsonl").stat().st_mtime_ns == history  # it was not trained again


def test_a_scoring_that_fails_continues_from_the_end_of_the_training(root: Path) -> None:
    (failed,) = run_plan(plan(root, "unscored", "none", metrics=("raising",)), root=root)
    assert (failed.status, failed.reason) == ("failed", "RuntimeError: this metric raises")
    (trial,) = plan(root, "unscored", "none")
    assert checkpoints(root, trial)
    (again,) = run_plan([trial], root=root, retry_failed=True)
    assert (again.status, again.resumed_from) == ("done", 8)


# Leftovers.


def test_what_a_killed_run_left_is_swept_by_the_next(root: Path) -> None:
    (trial,) = plan(root, "swept", "none")
    (record,) = run_plan([trial], root=root)
    dead = {"pid": 2**22 + 1, "started": "1", "host": os.uname().nodename, "since": 0}
    left = [record.folder / name for name in (f".record.json.{2**22 + 1}.tmp", "status.json", "job.json", "owner.json")]
    left += [record.folder / "pictures" / ".median.png.part", root / "swept" / f".plan.json.{2**22 + 1}.tmp"]
    references = root / "data" / "references"
    left += [references / f".ladder.json.{2**22 + 1}.tmp"]
    (record.folder / "checkpoint").mkdir()
    left += [record.folder / "checkpoint" / "step-000000009.json"]
    for file in left:
        file.write_text(json.dumps(dead))
        os.utime(file, (time.time() - 2 * SETTLED_S,) * 2)
    mine = root / "swept" / f".plan.json.{os.getpid()}.tmp"
    beside = record.folder / f".status.json.{os.getpid()}.tmp"  # of another runner that begins the trial
    shared = references / f".ladder.json.{os.getpid()}.tmp"
    for file in (mine, beside, shared):
        file.write_text("a living process writes this")
    (after,) = run_plan([trial], root=root)
    assert [file.name for file in left if file.exists()] == []
    assert not (record.folder / "checkpoint").exists()
    assert mine.exists() and beside.exists() and shared.exists() and after.sha256 == record.sha256


def test_the_files_of_a_trial_that_somebody_runs_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "trials" / "running"
    with claim_trial(folder):
        (folder / "status.json").write_text("{}")
        sweep(tmp_path, ["running"])
        assert (folder / "status.json").exists() and (folder / "owner.json").exists()
    sweep(tmp_path, ["running"])
    assert not (folder / "status.json").exists()


def test_a_trial_that_another_runner_holds_is_waited_for_not_failed(root: Path) -> None:
    """`busy` from a process is believed while somebody holds the trial."""
    from harness.execute.executor import Ended, Job

    (trial,) = plan(root, "held", "none")
    ledger = Ledger(root / "held")
    waiting = run._Run(ledger, None, [], False, None, 1.0)  # type: ignore[arg-type]
    job = Job(trial, ledger.trial_folder(trial.name), 1, None, ())
    with claim_trial(job.folder):
        for _ in range(2 * run.MOST_BUSY):
            waiting._ended(job, Ended("over with exit status 75", busy=True), None)
    assert len(waiting.waiting) == 2 * run.MOST_BUSY and ledger.read(trial.name) is None
    waiting._ended(job, Ended("over with exit status 75", busy=True), None)
    record = ledger.read(trial.name)
    assert record is not None and (record.status, record.reason) == ("failed", "over with exit status 75")
