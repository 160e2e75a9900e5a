"""Trials as processes: what a run leaves, and what crashes, hangs, kills and signals do to it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load as load_tensors

from harness import registry, train
from harness.errors import EnvironmentProblem, UsageError
from harness.execute import Interruption, local, run_plan
from harness.execute.local import choose_device, choose_jobs, is_done
from harness.records import Ledger, Record
from harness.suite import load
from harness.trial import Trial, trials

PLUGIN = Path(__file__).with_name("trouble.py")
TEXT = """\
suite: {name}
question: What does trouble do to a run?
data: {{pair: near, frames: 20, eval_frames: 6, size: 16, render_supersample: 1}}
base:
  model: {{variant: grid, width: 4, channels: 4}}
  loss: {{l1: 1.0, kl: 0.01, trouble: {{weight: 1.0}}}}
  optim: {{steps: {steps}, batch: 6, precision: fp32, lr: 0.01}}
  score: {{previews: 2}}
matrix:
  grid:
    loss.trouble.kind: {kinds}
metrics: {metrics}
scales: {{quick: {{}}}}
"""
QUICK = ("identity",)
FULLER = ("identity", "swap_quality", "reconstruction", "checkerboard")


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    """Single-threaded trials: several threads are slower on pictures this small, and much slower on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "cores", lambda: 1)
        yield


@pytest.fixture(scope="module", autouse=True)
def plugin() -> Iterator[None]:
    added, loaded, seconds = dict(registry._added), list(registry._plugins), train.CHECKPOINT_S
    registry.load_plugin(PLUGIN)
    yield
    train.CHECKPOINT_S = seconds
    registry._added.clear()
    registry._added.update(added)
    registry._plugins[:] = loaded


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One results root, so that the face set is rendered once."""
    return tmp_path_factory.mktemp("results")


def suite_file(root: Path, name: str, kinds: tuple[str, ...], steps: int = 8, metrics: tuple[str, ...] = QUICK) -> Path:
    file = root / f"{name}.yaml"
    file.write_text(TEXT.format(name=name, kinds=list(kinds), steps=steps, metrics=list(metrics)))
    return file


def plan(root: Path, name: str, *kinds: str, **options: Any) -> list[Trial]:
    return trials(load(suite_file(root, name, kinds, **options)), "quick")


def weights(record: Record) -> dict[str, torch.Tensor]:
    return load_tensors((record.folder / "weights.safetensors").read_bytes())


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


# --- one plan, looked at from several sides


@pytest.fixture(scope="module")
def ended(root: Path) -> dict[str, Record]:
    """The records by kind of a plan in which one trial is sound, one raises and one aborts its process."""
    todo = plan(root, "mixed", "raise", "abort", "none", metrics=FULLER)
    records = run_plan(todo, root=root, jobs=2, device="cpu")
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
    assert pictures == {*(f"fixed-{k}.png" for k in range(4)), "median.png", "worst.png", "spectrum.png"}
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
    began = time.monotonic()
    records = run_plan(todo, root=root, jobs=2, device="cpu")
    assert time.monotonic() - began < 2
    assert {r.name: (r.folder / "record.json").stat().st_mtime_ns for r in records} == stamps


def test_other_metrics_are_scored_without_training_again(ended: dict[str, Record], root: Path) -> None:
    before = ended["none"]
    (trial,) = plan(root, "mixed", "none")
    assert trial.digest == before.digest and trial.score_digest != before.score_digest
    history = (before.folder / "history.jsonl").stat().st_mtime_ns
    (after,) = run_plan([trial], root=root, device="cpu")
    assert (after.status, after.score_digest) == ("done", trial.score_digest)
    assert after.scores["swap_error"] == before.scores["swap_error"]
    assert set(after.scores) < set(before.scores)
    assert (before.folder / "history.jsonl").stat().st_mtime_ns == history
    assert after.cost["wall_s"]["train"] == before.cost["wall_s"]["train"]
    assert is_done(after, trial, False) and not is_done(before, trial, False)


@pytest.mark.long
def test_damaged_weights_are_told_by_name_and_a_retry_trains_anew(root: Path) -> None:
    (trial,) = plan(root, "damaged", "none")
    (before,) = run_plan([trial], root=root, device="cpu")
    kept = weights(before)
    file = before.folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    other = plan(root, "damaged", "none", metrics=("identity", "sharpness"))
    (after,) = run_plan(other, root=root, device="cpu")
    assert after.status == "failed" and after.reason is not None
    assert "weights.safetensors: damaged" in after.reason and "run again" in after.reason
    (again,) = run_plan(other, root=root, device="cpu", retry_failed=True)
    assert again.status == "done"
    assert all(torch.equal(value, kept[name]) for name, value in weights(again).items())


@pytest.mark.long
def test_a_hanging_trial_ends_at_its_time_limit(root: Path) -> None:
    (record,) = run_plan(plan(root, "hanging", "hang"), root=root, device="cpu", timeout_s=12)
    assert (record.status, record.reason) == ("timeout", "took longer than its limit of 12 s")
    assert not list(record.folder.glob("status.json"))


# --- kills and signals


def command(root: Path, file: Path, *more: str) -> subprocess.Popen[str]:
    """`harness run` in a process of its own, with one thread a trial."""
    code = "from harness.execute import local; local.cores = lambda: 1; from harness.cli import main; main()"
    arguments = ["run", str(file), "--out", str(root), "--plugin", str(PLUGIN), "--device", "cpu", *more]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=root,
    )  # fmt: skip


def checkpoints(root: Path, trial: Trial) -> list[Path]:
    return sorted((root / trial.suite / "trials" / trial.name / "checkpoint").glob("step-*.json"))


def pid_of(root: Path, trial: Trial) -> int | None:
    try:
        return int(json.loads((root / trial.suite / "trials" / trial.name / "owner.json").read_bytes())["pid"])
    except (OSError, ValueError):
        return None


@pytest.fixture(scope="module")
def whole(root: Path) -> dict[str, torch.Tensor]:
    """Final weights of the trial `slow` of 60 steps when nothing happens to it."""
    (record,) = run_plan(plan(root, "whole", "slow", steps=60), root=root, device="cpu")
    assert record.status == "done", record.log_tail
    return weights(record)


def same(record: Record, expected: dict[str, torch.Tensor]) -> bool:
    return record.status == "done" and all(torch.equal(v, expected[k]) for k, v in weights(record).items())


def test_a_run_told_to_stop_leaves_a_checkpoint_at_once(root: Path) -> None:
    (trial,) = plan(root, "told", "slow", steps=4000)
    sent: list[float] = []

    def tell() -> None:
        until(lambda: checkpoints(root, trial))
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    teller = threading.Thread(target=tell)
    teller.start()
    with pytest.raises(Interruption, match="the same command continues") as stop:
        run_plan([trial], root=root, device="cpu")
    assert time.monotonic() - sent[0] < 5
    teller.join()
    assert stop.value.signum == signal.SIGTERM
    assert checkpoints(root, trial) and pid_of(root, trial) is None
    assert Ledger(root / "told").read(trial.name) is None


@pytest.mark.long
def test_a_terminated_command_ends_with_143_and_the_same_command_ends_as_if_nothing_had_been(
    root: Path, whole: dict[str, torch.Tensor]
) -> None:
    (trial,) = plan(root, "ended", "slow", steps=60)
    process = command(root, root / "ended.yaml")
    until(lambda: checkpoints(root, trial) or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=20)[0]
    assert time.monotonic() - began < 5
    assert process.returncode == 143, told
    assert "the same command continues" in told and "Traceback" not in told
    assert checkpoints(root, trial)
    assert Ledger(root / "ended").read(trial.name) is None
    (record,) = run_plan([trial], root=root, device="cpu")
    assert record.resumed_from and record.resumed_from < 60
    assert record.cost["train_images_per_s"]["void"] == "resumed"
    assert same(record, whole)


@pytest.mark.long
def test_a_killed_trial_tried_again_ends_as_if_nothing_had_been(root: Path, whole: dict[str, torch.Tensor]) -> None:
    (trial,) = plan(root, "killed", "slow", steps=60)
    process = command(root, root / "killed.yaml")
    until(lambda: checkpoints(root, trial))
    os.kill(until(lambda: pid_of(root, trial)), signal.SIGKILL)
    told = process.communicate(timeout=60)[0]
    assert process.returncode == 3, told
    failed = Ledger(root / "killed").read(trial.name)
    assert failed and failed.attempts == 1 and failed.reason == "the trial's process was killed by SIGKILL"
    (record,) = run_plan([trial], root=root, device="cpu", retry_failed=True)
    assert record.attempts == 2 and record.resumed_from in (1, 20, 30, 40)
    assert same(record, whole)


@pytest.mark.long
def test_runs_killed_at_random_end_as_if_nothing_had_been(root: Path, whole: dict[str, torch.Tensor]) -> None:
    rng = random.Random(time.time_ns())
    (trial,) = plan(root, "random", "slow", steps=60)
    for _ in range(5):
        process = command(root, root / "random.yaml", "--retry-failed")
        wait = rng.uniform(1.0, 12.0)
        with_child = rng.random() < 0.5
        time.sleep(wait)
        child = pid_of(root, trial)
        process.kill()
        process.communicate()
        if with_child and child:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
    (record,) = run_plan([trial], root=root, device="cpu", retry_failed=True)
    assert same(record, whole), record.log_tail


@pytest.mark.long
def test_an_orphaned_trial_leaves_with_a_checkpoint(root: Path) -> None:
    (trial,) = plan(root, "orphan", "slow", steps=4000)
    process = command(root, root / "orphan.yaml")
    until(lambda: checkpoints(root, trial))
    child = until(lambda: pid_of(root, trial))
    process.kill()
    process.communicate()
    until(lambda: pid_of(root, trial) is None, 10)
    with pytest.raises(ProcessLookupError):
        until(lambda: os.kill(child, 0), 5)
    assert checkpoints(root, trial)


@pytest.mark.long
def test_two_runners_of_one_suite_run_each_trial_once(root: Path) -> None:
    todo = plan(root, "shared", "none", "slow", steps=30)
    runners = [command(root, root / "shared.yaml", "--jobs", "1") for _ in range(2)]
    told = [runner.communicate(timeout=240)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], told
    for trial in todo:
        record = Ledger(root / "shared").read(trial.name)
        assert record is not None and (record.status, record.attempts, record.resumed_from) == ("done", 1, None)
        assert record.cost["train_images_per_s"]["void"] is None
    assert len((root / "shared" / "ledger.jsonl").read_text().splitlines()) == 2


# --- plugins


def test_the_source_of_a_plugin_is_part_of_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (before,) = plan(tmp_path, "digest", "none")
    file = tmp_path / "trouble.py"
    file.write_text(PLUGIN.read_text() + "\n# changed\n")
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    registry.load_plugin(file)
    registry.load_plugin(file)
    assert registry.plugins() == (file.resolve(),)
    assert registry.get("loss", "trouble").file == file
    (after,) = plan(tmp_path, "digest", "none")
    assert after.digest != before.digest and after.score_digest == before.score_digest


def test_a_wrong_plugin_is_told_in_words_and_leaves_nothing_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    cases = {
        "empty.py": ("x = 1\n", "registers nothing"),
        "broken.py": (
            "from harness import loss\n@loss('half')\nclass Half: ...\nraise ImportError('no such part')\n",
            "fails to load.*no such part",
        ),
        "syntax.py": ("def (:\n", "fails to load.*SyntaxError"),
        "notes.txt": ("", "no such Python file"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UsageError, match=message):
            registry.load_plugin(tmp_path / name)
    with pytest.raises(UsageError, match=r"absent\.py: there is no such Python file"):
        registry.load_plugin(tmp_path / "absent.py")
    assert registry._added == {} and registry.plugins() == ()


def test_tables_of_a_plugin_are_registered_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    file = tmp_path / "mine.py"
    file.write_text("from models.variants import grid\n\ndef small(size: int):\n    return grid(size, width=4)\n\n"
                    "VARIANTS = {'small': small}\n")  # fmt: skip
    registry.load_plugin(file)
    assert registry.get("variant", "small").file == file


# --- choices


def test_jobs_and_devices_are_chosen_by_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 4)
    assert choose_jobs(1, "cpu", 9) == (1, 4)
    assert choose_jobs(3, "cpu", 9) == (3, 1)
    assert choose_jobs("auto", "cuda", 9) == (1, 4)
    count, threads = choose_jobs("auto", "cpu", 9)
    assert 1 <= count <= 4 and threads == 4 // count
    assert choose_jobs(8, "cpu", 2) == (2, 2)
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
