"""Running a plan: what a trial leaves behind, whatever becomes of it; which trials run again, and on what."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from trouble_plans import FULLER, plan

from harness.compute import bf16_pays, choose_device
from harness.errors import EnvironmentProblem, UsageError
from harness.execute import course, devices, run_plan
from harness.execute.devices import choose_jobs
from harness.execute.executor import Job
from harness.execute.local import LocalExecutor
from harness.execute.prepare import prepare
from harness.execute.run import next_of, pictures_of
from harness.ledger.records import Ledger, Record

pytestmark = pytest.mark.usefixtures("one_core", "trouble")


@pytest.fixture(scope="module")
def ended(root: Path) -> dict[str, Record]:
    """The records by kind of a plan in which one trial is sound, one raises and one aborts its process."""
    todo = plan(root, "mixed", "raise", "abort", "none", metrics=(*FULLER, "hungry"))
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
    # The peak is that of training: 256 MiB that a metric takes are none of it.
    assert record.cost["scored_memory_mb"] - record.cost["peak_memory_mb"] > 200
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
    todo = plan(root, "mixed", "raise", "abort", "none", metrics=(*FULLER, "hungry"))
    stamps = {r.name: (r.folder / "record.json").stat().st_mtime_ns for r in ended.values()}
    records = run_plan(todo, root=root, jobs=2)
    assert {r.name: (r.folder / "record.json").stat().st_mtime_ns for r in records} == stamps


def test_a_set_that_cannot_be_made_ends_the_making_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does Ctrl-C: both leave `prepare` as an exception, and the other sets stop at their next chunk."""
    first, second = plan(tmp_path, "two", "none", "slow")
    second = replace(second, seed=1)
    chunks: list[int] = []

    def making(data, seed, root, progress, device):
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
    monkeypatch.setattr(devices, "cores", lambda: 4)
    assert choose_jobs(1, "cpu") == 1
    assert choose_jobs(3, "cpu") == 3
    assert 1 <= choose_jobs("auto", "cpu") <= 4
    monkeypatch.setattr(devices, "gpus", lambda: ("0", "3", "5"))
    assert choose_jobs("auto", "cuda") == 3
    assert choose_jobs("auto", "cuda", per_gpu=2) == 6
    assert choose_jobs(2, "cuda", per_gpu=2) == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(EnvironmentProblem, match="no usable CUDA device"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="expected auto, cpu or cuda"):
        choose_device("tpu")


PROCESSORS = {
    "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx512f avx512_bf16\n": True,
    "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2\n": False,
    "vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512f avx512_bf16\n": False,
    "vendor_id\t: GenuineIntel\nflags\t\t: fpu avx512_bf16 amx_bf16 amx_tile\n": True,
    "CPU implementer\t: 0x41\nFeatures\t: fp asimd bf16\n": True,
    "CPU implementer\t: 0x41\nFeatures\t: fp asimd\n": False,
    "": False,
}


@pytest.mark.parametrize(("cpuinfo", "pays"), PROCESSORS.items())
def test_precision_is_bfloat16_where_the_processor_is_faster_in_it(tmp_path: Path, cpuinfo: str, pays: bool) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert bf16_pays(tmp_path / "cpuinfo") is pays
    assert not bf16_pays(tmp_path / "absent")


class Running:
    """A process that runs until it is told otherwise."""

    code: int | None = None

    def poll(self) -> int | None:
        return self.code


def test_on_several_gpus_each_trial_has_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretended devices: what a trial may see is the least loaded one, and a packed GPU is called shared."""
    seen: list[tuple[str, bool]] = []
    processes: list[Running] = []

    def begun(self: LocalExecutor, job: dict[str, Any], log: Path, threads: int, env: dict[str, str]) -> Running:
        seen.append((env["CUDA_VISIBLE_DEVICES"], job["shared"]))
        processes.append(Running())
        return processes[-1]

    monkeypatch.setattr(LocalExecutor, "_process", begun)
    (trial,) = plan(tmp_path, "gpus", "none")
    job = Job(trial, tmp_path, 1, None, ())
    place = LocalExecutor(tmp_path, 3, "cuda", ("0", "2", "GPU-7f"))
    for _ in range(3):
        place.start(job)
    assert seen == [("0", False), ("2", False), ("GPU-7f", False)]
    processes[1].code = 0
    place.start(job)
    assert seen[-1] == ("2", False)
    packed = LocalExecutor(tmp_path, 4, "cuda", ("0", "1"))
    for _ in range(4):
        packed.start(job)
    assert seen[-4:] == [("0", True), ("1", True), ("0", True), ("1", True)]
    LocalExecutor(tmp_path, 1, "cpu").start(job)
    assert seen[-1] == ("", False)  # what runs on the CPU sees no GPU


def test_the_gpus_of_this_process_are_those_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpus() == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert devices.gpus() == ("3", "5")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.gpus() == ()


def test_the_longest_trial_of_a_replicate_comes_first(tmp_path: Path) -> None:
    short, long_, unknown = plan(tmp_path, "order", "none", "slow", "raise")
    took = {short.label: 10.0, long_.label: 90.0}
    later = [replace(trial, seed=1) for trial in (short, long_, unknown)]
    waiting, order = [short, long_, unknown, *later], []
    while first := next_of(waiting, took):
        waiting.remove(first)
        order.append((first.seed, first.label))
    assert order == [(seed, label) for seed in (0, 1) for label in ("raise", "slow", "none")]
    assert next_of([short, long_], {}) is short


def test_two_trials_do_not_begin_together_on_people_that_nobody_has_read_yet(root: Path) -> None:
    """The second would wait at its end for what the first scores for both; where no other people are left it begins."""
    short, long_ = plan(root, "together", "raise", "slow")
    later = replace(short, seed=1)
    under_way = {pictures_of(short)}
    assert pictures_of(short) == pictures_of(long_) != pictures_of(later)
    assert next_of([long_, later], {}, under_way) is later
    assert next_of([long_], {}, under_way) is long_
    assert next_of([long_, later], {}) is long_


def test_the_time_a_trial_waits_for_its_core_is_known() -> None:
    """The time in the queue comes from the system's own account, which grows while two loops share one core."""
    if not Path("/proc/self/schedstat").exists():
        assert course.waited_for_a_core() == 0.0
        return
    cores = os.sched_getaffinity(0)
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        for process in (0, rival.pid):
            os.sched_setaffinity(process, [min(cores)])
        before, began = course.waited_for_a_core(), time.monotonic()
        while time.monotonic() - began < 1:
            pass
        assert course.waited_for_a_core() - before > 0.2
    finally:
        os.sched_setaffinity(0, cores)
        rival.kill()
        rival.wait()
