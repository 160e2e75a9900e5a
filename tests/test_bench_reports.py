"""The reports of `harness bench`: a GPU's, the shares of a trial's time, the packing of trials onto cores."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import called
from fake_ledger import write_ledger
from tiny_training import spec_of, store_in

from harness import registry
from harness.bench import gpu, packing, perceptual
from harness.bench.overhead import shares, usable
from harness.ledger.records import Ledger

TINY = [
    *("--set", "model.width=4", "--set", "model.channels=8"),
    *("--set", "data.frames=20", "--set", "data.render_supersample=1"),
]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the tracer looks at its inputs
def test_the_gpu_report_runs_every_arm_on_a_cpu_and_says_that_it_was_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # without the published weights
    threads = torch.get_num_threads()
    small = ["--size", "16", "--size", "32", "--batch", "2", "--blocks", "2", "--steps", "1", "--threads", "1"]
    asked = ["bench", "--gpu-report", "--device", "cpu", *small, *TINY, "--out", str(tmp_path)]
    code, out, said = called(asked, monkeypatch, capsys)
    torch.set_num_threads(threads)
    assert code == 0, said
    assert "NOTHING OF A GPU WAS MEASURED" in out and "random" in out
    (file,) = (tmp_path / "bench").glob("gpu-report-*.json")
    record = json.loads(file.read_text())
    assert not record["measured_a_gpu"] and list(record["sizes"]) == ["16", "32"] and not record["skipped"]
    for found in record["sizes"].values():
        arms = found["arms"]
        assert set(arms) == {gpu.PLAIN, gpu.EAGER, gpu.COMPILED, gpu.HOST}
        assert all(row["loop_images_per_s"]["n"] == 2 for row in arms.values())
        assert arms[gpu.COMPILED]["tflop_a_step"] == arms[gpu.EAGER]["tflop_a_step"] > arms[gpu.PLAIN]["tflop_a_step"]
        assert 0 <= arms[gpu.EAGER]["mfu_without_perceptual"] < arms[gpu.EAGER]["mfu"]
    assert perceptual.NAME not in [name for _, name in registry._added]


def test_without_a_gpu_the_report_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, out, said = called(["bench", "--gpu-report", "--out", str(tmp_path)], monkeypatch, capsys)
    assert code == 4 and "nothing of a GPU was measured" in said and len(said.strip().splitlines()) == 1 and not out


def test_a_report_that_is_out_of_time_says_what_it_left_out(tmp_path: Path) -> None:
    record = gpu.report(torch.device("cpu"), tmp_path, (16,), 2, 2, 1, minutes=0.0)
    assert "16 px" in record["skipped"][0] and not any(record["sizes"]["16"]["arms"].values())
    assert [row["kernels img/s"] for row in gpu.table(record) if "kernels img/s" in row] == []


def test_a_batch_that_does_not_fit_is_halved_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def kernels(specs, *_: object) -> None:
        tried.append(specs[gpu.PLAIN].optim.batch)
        if tried[-1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpu, "_kernels", kernels)
    monkeypatch.setattr(gpu, "_loops", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    found = gpu.report(torch.device("cpu"), tmp_path, (16,), 8, 2, 1)["sizes"]["16"]
    assert tried == [8, 4, 2] and found["batch"] == 2 and "batch 4 instead of 8" in found["notes"][0]


def test_data_left_on_the_host_is_so_within_the_block_only() -> None:
    before = gpu.batches.RESIDENT_SHARE
    with gpu.data_on_host():
        assert gpu.batches.RESIDENT_SHARE == 0
    assert before == gpu.batches.RESIDENT_SHARE > 0


def test_shares_of_a_trial_add_up_to_its_wall_time(tmp_path: Path) -> None:
    records = Ledger(write_ledger(tmp_path / "bottleneck")).records()
    found = shares(records[0])
    parts = ("train_s", "score_s", "previews_s", "checkpoints_s", "reports_s", "start_s")
    assert sum(found[part] for part in parts) == pytest.approx(found["total_s"])


def test_times_of_two_runs_or_of_none_are_left_out(tmp_path: Path) -> None:
    records = Ledger(write_ledger(tmp_path / "bottleneck", statuses={(7, 0): "diverged"})).records()
    whole = records[0]
    resumed = replace(whole, name="again", resumed_from=200)
    anew = replace(whole, name="scored-anew", cost={**whole.cost, "wall_s": {"total": 3.0, "train": 40.0, "score": 2}})
    kept, left = usable([*records, resumed, anew])
    assert len(kept) == 14 and {line.split(":")[0].split("-s")[0] for line in left} == {"grid7", "again", "scored-anew"}


def test_the_overhead_of_a_ledger_is_told_against_its_aims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_ledger(tmp_path / "bottleneck", grids=(3, 7), replicates=2)
    code, out, said = called(["bench", "--overhead", str(folder), "--out", str(tmp_path)], monkeypatch, capsys)
    assert code == 0, said
    assert "scoring of all trials: 14.0% of training" in out and "aim below 6%: NOT met" in out
    assert "4 trials in " in out
    assert "bookkeeping" in out or "checkpoints, history, heartbeat: 0.4% of training" in out
    code, _, said = called(["bench", "--overhead", str(tmp_path / "none")], monkeypatch, capsys)
    assert code == 4 and "no finished trial" in said


class Sleeper:
    """A child whose step takes 10 ms, on however many threads."""

    def __init__(self, _: Path, threads: int, __: Path):
        self.threads, self.steps = threads, 0

    def ask(self, steps: int) -> None:
        self.steps, self.began = steps, time.perf_counter()

    def wait(self) -> None:
        while self.steps and time.perf_counter() < self.began + 1e-2 * self.steps:
            time.sleep(1e-3)

    def close(self) -> None:
        pass


def test_packing_compares_equal_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "Child", Sleeper)
    store_in(tmp_path)
    found = packing.measure(spec_of(), tmp_path, cores=2, blocks=3, steps=5)
    # A step lasts as long on two threads as on one: two trials beside each other finish twice as much.
    assert 1.3 < found["jobs_are_better"]["ratio"] < 2.7 and found["jobs_are_better"]["pairs"] == 3


@pytest.mark.long
def test_packing_measures_real_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    small = ["--threads", "2", "--blocks", "2", "--steps", "1", *TINY, "--set", "data.size=16", "--out", str(tmp_path)]
    code, out, said = called(["bench", "--packing", *small], monkeypatch, capsys)
    torch.set_num_threads(threads)
    assert code == 0, said
    assert "1 job x 2 threads" in out and "times as much" in out


def test_one_report_at_a_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert called(["bench", "--gpu-report", "--packing"], monkeypatch, capsys)[0] == 2
    assert called(["bench", "--size", "16", "--size", "32"], monkeypatch, capsys)[0] == 2
