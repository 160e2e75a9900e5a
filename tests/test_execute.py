"""Running a plan: what a trial leaves behind, whatever becomes of it; which trials run again, and on what."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from trouble_plans import FULLER, plan, weights

from harness.compute import choose_device
from harness.errors import EnvironmentProblem, UsageError
from harness.execute import course, local, run_plan
from harness.execute.local import choose_jobs, is_done, prepare
from harness.ledger.records import Ledger, Record

pytestmark = pytest.mark.usefixtures("one_core", "trouble")


@pytest.fixture(scope="module")
def ended(root: Path) -> dict[str, Record]:
    """The records by kind of a plan in which one trial is sound, one raises and one aborts its process."""
    todo = plan(root, "mixed", "raise", "abort", "none", metrics=FULLER)
    records = run_plan(todo, root=root, jobs=2)
    assert [r.name for r in records] == [t.name for t in todo]
    return {r.spec["loss"]["trouble"]["kind"]: r for r in records}


def test_a_sound_trial_ends_with_scores_values_and_pictures(ended: dict[str, Record], root: Path) -> None:
    record = ended["none"]
    assert (record.status, record.reason, record.attempts, record.resumed_from) == ("done", None, 1, None)
    assert 0 < record.scores["swap_error"]["mean"] < 1 and record.scores["swap_error"]["n"] == 12
    assert record.references["oracle"]["swap_error"] == 0 < record.references["copy"]["swap_error"]  # type: ignore[operator]
    values = Ledger(root / "mixed").values(record)
    assert len(values["swap_error"]) == 12
    assert sum(values["swap_error"]) / 12 == pytest.approx(record.scores["swap_error"]["mean"], rel=1e-4)
    assert record.cost["parameters"] > 1000 and record.cost["flops"] > 1000
    assert record.cost["latent"]["shape"] == [4, 3, 3]
    assert record.cost["swap_images_per_s"]["median"] > 0 and record.cost["steps"] == 8
    pictures = {path.name for path in (record.folder / "pictures").iterdir()}
    named = {"median.png", "worst.png", "spectrum.png", "sweep.webp"}
    assert pictures == {*(f"fixed-{k}.png" for k in range(4)), *named}
    from PIL import Image

    with Image.open(record.folder / "pictures" / "fixed-0.png") as picture:
        assert picture.size == (6 * 16, 16)
    assert [row["step"] for row in Ledger(root / "mixed").history(record)][-1] == 8
    left = {path.name for path in record.folder.iterdir()}
    assert not left & {"checkpoint", "job.json", "status.json", "owner.json"}


def test_a_trial_that_raises_or_aborts_is_a_row_with_its_reason_and_the_others_go_on(ended: dict[str, Record]) -> None:
    raised, aborted = ended["raise"], ended["abort"]
    assert (raised.status, raised.reason) == ("failed", "RuntimeError: trouble was asked for")
    assert "Traceback" in raised.log_tail and "trouble.py" in raised.log_tail
    assert (aborted.status, aborted.reason) == ("failed", "the trial's process was killed by SIGABRT")
    assert "about to abort" in aborted.log_tail
    assert not raised.scores and not aborted.scores


def test_finished_and_failed_trials_are_left_alone(ended: dict[str, Record], root: Path) -> None:
    todo = plan(root, "mixed", "raise", "abort", "none", metrics=FULLER)
    stamps = {r.name: (r.folder / "record.json").stat().st_mtime_ns for r in ended.values()}
    records = run_plan(todo, root=root, jobs=2)
    assert {r.name: (r.folder / "record.json").stat().st_mtime_ns for r in records} == stamps


def test_other_metrics_are_scored_without_training_again(ended: dict[str, Record], root: Path) -> None:
    before = ended["none"]
    (trial,) = plan(root, "mixed", "none")
    assert trial.digest == before.digest and trial.score_digest != before.score_digest
    history = (before.folder / "history.jsonl").stat().st_mtime_ns
    (after,) = run_plan([trial], root=root)
    assert (after.status, after.score_digest) == ("done", trial.score_digest)
    assert after.scores["swap_error"] == before.scores["swap_error"]
    assert set(after.scores) < set(before.scores)
    assert (before.folder / "history.jsonl").stat().st_mtime_ns == history
    assert after.cost["wall_s"]["train"] == before.cost["wall_s"]["train"]
    assert is_done(after, trial, False) and not is_done(before, trial, False)


@pytest.mark.long
def test_damaged_weights_are_told_by_name_and_a_retry_trains_anew(root: Path) -> None:
    (trial,) = plan(root, "damaged", "none")
    (before,) = run_plan([trial], root=root)
    kept = weights(before)
    file = before.folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    other = plan(root, "damaged", "none", metrics=("identity", "sharpness"))
    (after,) = run_plan(other, root=root)
    assert after.status == "failed" and after.reason is not None
    assert "weights.safetensors: damaged" in after.reason and "run again" in after.reason
    (again,) = run_plan(other, root=root, retry_failed=True)
    assert again.status == "done"
    assert all(torch.equal(value, kept[name]) for name, value in weights(again).items())


def test_a_set_that_cannot_be_made_ends_the_making_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does Ctrl-C: both leave `prepare` as an exception, and the other sets stop at their next chunk."""
    first, second = plan(tmp_path, "two", "none", "slow")
    second = replace(second, seed=1)
    chunks: list[int] = []

    def making(data, seed, root, progress):
        if seed == first.seed:
            raise UsageError("no such folder")
        for chunk in range(1000):
            chunks.append(chunk)
            progress("rendering faces", chunk, 1000)
            time.sleep(0.01)

    monkeypatch.setattr("harness.data.store.open_store", making)
    with pytest.raises(UsageError, match="no such folder"):
        prepare([first, second], tmp_path)
    assert len(chunks) < 1000


def test_jobs_and_devices_are_chosen_by_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 4)
    assert choose_jobs(1, "cpu", 9) == 1
    assert choose_jobs(3, "cpu", 9) == 3
    assert choose_jobs("auto", "cuda", 9) == 1
    assert 1 <= choose_jobs("auto", "cpu", 9) <= 4
    assert choose_jobs(8, "cpu", 2) == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(EnvironmentProblem, match="no usable CUDA device"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="expected auto, cpu or cuda"):
        choose_device("tpu")


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


def test_the_time_a_trial_waits_for_its_core_is_known() -> None:
    """The time in the queue comes from the system's own account, which grows while two loops share one core."""
    if not Path("/proc/self/schedstat").exists():
        assert course.waited_for_a_core() == 0.0
        return
    core = sorted(os.sched_getaffinity(0))[:1]
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        os.sched_setaffinity(rival.pid, core)
        code = "from harness.execute.course import waited_for_a_core as w\nimport os, time\n"
        code += "os.sched_setaffinity(0, {%d})\n"
        code += "a, t = w(), time.monotonic()\nwhile time.monotonic() - t < 1: pass\nprint(w() - a)"
        told = subprocess.run([sys.executable, "-c", code % core[0]], capture_output=True, text=True, check=True)
        assert float(told.stdout) > 0.2
    finally:
        rival.kill()
        rival.wait()
