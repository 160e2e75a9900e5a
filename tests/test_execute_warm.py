"""The warm parent: it forks processes that are as good as fresh ones, and its end is theirs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from trouble_plans import plan, until

from harness.errors import EnvironmentProblem
from harness.execute import forks, local, run_plan
from harness.execute.forks import WarmParent, warm_parent
from harness.ledger.records import Ledger, Record

pytestmark = [
    pytest.mark.usefixtures("one_core", "trouble"),
    pytest.mark.skipif(sys.platform != "linux", reason="forks are made on Linux only"),
]


def run_one(root: Path, name: str, kind: str, **options: int) -> Record:
    (record,) = run_plan(plan(root, name, kind, **options), root=root)
    return record


def threads_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.long)])
def test_no_thread_runs_when_a_child_is_forked(threads: int) -> None:
    parent = warm_parent(threads)
    parent.ready()
    assert threads_of(parent.process.pid) == 1


@pytest.mark.long
def test_a_forked_trial_ends_bit_for_bit_as_one_started_afresh(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forked = run_one(root, "kin", "none", steps=40)
    monkeypatch.setattr(local, "WARM", False)
    (fresh,) = run_plan(plan(tmp_path, "kin", "none", steps=40), root=tmp_path)
    assert fresh.status == forked.status == "done"
    assert fresh.cost["weights_sha256"] == forked.cost["weights_sha256"]
    assert fresh.scores == forked.scores
    for name in ("values.json.gz", "pictures/spectrum.png", "previews/step-000040.png"):
        assert (fresh.folder / name).read_bytes() == (forked.folder / name).read_bytes()


def test_what_a_trial_does_to_its_process_stays_there(root: Path) -> None:
    """A trial that aborts, one that leaves its process by an exit, and one after them."""
    aborted = run_one(root, "aborts", "abort")
    assert (aborted.status, aborted.reason) == ("failed", "the trial's process was killed by SIGABRT")
    assert "about to abort" in aborted.log_tail
    assert run_one(root, "sound", "none").status == "done"


@pytest.mark.long
def test_a_killed_parent_costs_the_trial_under_way_and_no_other(root: Path) -> None:
    trials = plan(root, "parents", "slow", "none", steps=400)
    parent = warm_parent(1)
    ledger = Ledger(root / "parents")

    def kill() -> None:
        until(lambda: list(ledger.trial_folder(trials[0].name).glob("checkpoint/step-*.json")))
        os.kill(parent.process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    first, second = run_plan(trials, root=root)
    killer.join()
    assert (first.status, first.reason) == ("failed", "the process that starts the trials was killed")
    assert second.status == "done"
    (again,) = run_plan(trials[:1], root=root, retry_failed=True)
    assert again.status == "done" and again.resumed_from


def test_a_parent_that_cannot_import_says_why(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('this is no torch')")
    parent = WarmParent({**os.environ, "PYTHONPATH": str(tmp_path)})
    with pytest.raises(EnvironmentProblem, match="the trials ended: ImportError: this is no torch"):
        parent.ready()
    parent.close()


def test_a_child_given_up_before_it_began_never_runs(tmp_path: Path) -> None:
    parent = WarmParent(dict(os.environ))
    fork = parent.fork({}, tmp_path / "log.txt", {})  # asked for while it still imports
    fork.terminate()
    assert fork.poll() == -signal.SIGKILL and fork.lost
    began = time.monotonic()
    parent.close()
    assert time.monotonic() - began < 2  # its imports were not waited for
    assert not (tmp_path / "log.txt").exists()


def test_a_process_group_is_ended_and_waited_for() -> None:
    if (child := os.fork()) == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    until(lambda: os.getpgid(child) == child)
    waiter = threading.Thread(target=os.waitpid, args=(child, 0))
    waiter.start()
    forks.end_group(child)
    waiter.join(5)
    assert not waiter.is_alive()


@pytest.mark.long
def test_a_parent_that_is_killed_while_it_imports_gets_a_successor(root: Path) -> None:
    forks.close_parents()
    first = warm_parent(1)
    killer = threading.Timer(0.3, first.process.kill)
    killer.start()
    second = forks.ready_parent(1)
    killer.join()
    assert second is not first and second.alive
    assert run_one(root, "after", "none").status == "done"
