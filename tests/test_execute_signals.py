"""Stopped, killed, orphaned, run twice: a trial ends as if nothing had been."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from trouble_plans import checkpoints, command, pid_of, plan, until, weights

from harness.execute import Interruption, run_plan
from harness.execute.course import MOST_WAITING, WAITED
from harness.ledger.records import Ledger, Record

pytestmark = pytest.mark.usefixtures("one_core", "trouble")


@pytest.fixture(scope="module")
def whole(root: Path) -> dict[str, torch.Tensor]:
    """Final weights of the trial `slow` of 60 steps when nothing happens to it."""
    (record,) = run_plan(plan(root, "whole", "slow", steps=60), root=root)
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
        run_plan([trial], root=root)
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
    (record,) = run_plan([trial], root=root)
    assert record.resumed_from and record.resumed_from < 60
    assert record.cost["train_images_per_s"]["void"] == "resumed"
    assert same(record, whole)


@pytest.mark.long
def test_a_killed_trial_tried_again_ends_as_if_nothing_had_been(root: Path, whole: dict[str, torch.Tensor]) -> None:
    (trial,) = plan(root, "killed", "slow", steps=60)
    process = command(root, root / "killed.yaml")
    until(lambda: checkpoints(root, trial))
    os.kill(until(lambda: pid_of(root, trial)), signal.SIGKILL)
    told = process.communicate(timeout=200)[0]
    assert process.returncode == 3, told
    failed = Ledger(root / "killed").read(trial.name)
    assert failed and failed.attempts == 1 and failed.reason and "killed by SIGKILL" in failed.reason
    (record,) = run_plan([trial], root=root, retry_failed=True)
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
    (record,) = run_plan([trial], root=root, retry_failed=True)
    assert same(record, whole), record.log_tail


@pytest.mark.long
def test_training_killed_200_times_at_random_ends_bit_for_bit_as_if_nothing_had_been(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_training.py")
    command = [sys.executable, str(script), str(tmp_path), "200"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    kills, moved, runs = map(int, told.stdout.split())
    assert kills >= 200 and moved >= 20 and runs >= 5


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
    told = [runner.communicate(timeout=600)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], told
    for trial in todo:
        record = Ledger(root / "shared").read(trial.name)
        assert record is not None and (record.status, record.attempts, record.resumed_from) == ("done", 1, None)
        cost = record.cost
        assert cost["train_images_per_s"]["void"] == (WAITED if cost["waited_for_core"] > MOST_WAITING else None)
    assert len((root / "shared" / "ledger.jsonl").read_text().splitlines()) == 2
