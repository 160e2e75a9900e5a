"""Timing, counting and the record of `harness bench`."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch
from command import called
from tiny_training import spec_of, store_in
from torch import nn

from harness import registry
from harness.bench import energy
from harness.bench.counts import HostSync, count_step, graph_breaks
from harness.bench.loop import LoopArm
from harness.bench.peak import matmul_flops
from harness.bench.step import StepArm
from harness.bench.timing import Ratio, Summary, Watch, interleaved, paired, ratio_of
from harness.execute.memory import keep_freed_memory
from harness.train.loop import train


class Hands:
    """A clock that calls move: no machine can disturb it."""

    def __init__(self) -> None:
        self.now, self.order = 0.0, ""

    def arm(self, name: str, *seconds: float):
        turn = itertools.cycle(seconds)

        def call() -> None:
            self.order += name
            self.now += next(turn)

        return call


def test_pairs_alternate_so_that_a_drift_falls_on_both() -> None:
    hands = Hands()
    found = paired(hands.arm("a", 2.0), hands.arm("b", 1.0), 4, lambda: hands.now)
    assert hands.order == "abbaabba" and found == [(2.0, 1.0)] * 4


def test_the_interval_of_a_ratio_holds_the_truth_and_turns_over() -> None:
    noise = torch.Generator().manual_seed(0)
    pairs = [(1.3 * float(torch.exp(0.1 * torch.randn((), generator=noise))), 1.0) for _ in range(40)]
    ratio = ratio_of(pairs)
    assert ratio.low < 1.3 < ratio.high and ratio.high / ratio.low < 1.15
    assert Ratio(2.0, 1.0, 4.0, 5).inverse() == Ratio(0.5, 0.25, 1.0, 5)


def test_a_summary_holds_median_and_quartiles() -> None:
    assert Summary.of([4.0, 1.0, 2.0, 3.0, 5.0]) == Summary(3.0, 2.0, 4.0, 5)
    assert Summary.of([7.0]) == Summary(7.0, 7.0, 7.0, 1)


def test_arms_take_turns() -> None:
    hands = Hands()
    found = interleaved({"x": hands.arm("x", 1.0), "y": hands.arm("y", 1.0)}, 3)
    assert hands.order == "xy" + "xy" + "yx" + "xy" and {len(times) for times in found.values()} == {3}


def test_a_reading_is_void_when_others_computed_or_blocks_were_disturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.timing._load", lambda: 99.0)
    with Watch() as watch:
        pass
    assert "others were computing" in watch.void({})[0]
    monkeypatch.setattr("harness.bench.timing._load", lambda: 0.0)
    with Watch() as quiet:
        pass
    assert quiet.void({"a": [1.0] * 9}) == []
    assert "took more than" in quiet.void({"a": [1.0] * 6 + [3.0] * 3})[0]


def test_a_gpu_that_is_shared_or_changes_its_clock_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.bench.timing._load", lambda: 0.0)
    states = iter([{"sm_mhz": 1900, "others": 0}, {"sm_mhz": 1200, "others": 1}])
    monkeypatch.setattr(energy, "state", lambda: next(states))
    with Watch(cuda=True) as watch:
        pass
    assert [word in " ".join(watch.reasons) for word in ("another process", "1900 to 1200")] == [True, True]


def test_without_nvml_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "_device", lambda: None)
    assert energy.joules() is None and energy.state() == {}


def test_the_loop_is_the_real_one_and_stops_where_it_is_told(tmp_path: Path) -> None:
    spec, store, cpu = spec_of(), store_in(tmp_path), torch.device("cpu")
    whole = train(spec, 0, store, cpu, tmp_path / "whole")
    with LoopArm(spec, 0, store, cpu, tmp_path / "held", threads=torch.get_num_threads()) as loop:
        assert loop.seconds_to_first > 0 and loop.advance(3) > 0 and loop.advance(4) > 0
    assert loop.trained is not None
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, loop.trained.model.state_dict()[name]), name
    with LoopArm(spec, 0, store, cpu, tmp_path / "short") as loop, pytest.raises(ValueError, match=r"optim.steps is 8"):
        loop.advance(20)


def test_an_error_of_the_loop_reaches_whoever_waits(tmp_path: Path) -> None:
    spec = spec_of(loss={"l1": 1e39})
    with pytest.raises(Exception, match="not finite"), LoopArm(spec, 0, store_in(tmp_path), torch.device("cpu"), tmp_path / "x") as loop:  # fmt: skip  # noqa: E501
        loop.advance(7)


def test_counts_equal_those_of_a_real_step_and_compute_nothing() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    spec = spec_of()
    before = torch.random.get_rng_state()
    counts = count_step(spec, "fp32")
    assert torch.equal(before, torch.random.get_rng_state())
    arm, flops = StepArm(spec, torch.device("cpu"), "fp32"), FlopCounterMode(display=False)
    with flops:
        arm()
    assert counts.flops == flops.get_total_flops()
    assert counts.parameters == sum(p.numel() for p in arm.model.parameters())
    assert counts.operators > 100 and counts.bytes > 4 * counts.parameters


def test_a_step_of_muon_is_counted_without_asking_the_device_and_costs_more() -> None:
    wide = {"model": {"width": 8, "channels": 16}}
    adam, muon = (count_step(spec_of(**wide, optim={"algorithm": name}), "fp32") for name in ("adam", "muon"))
    assert muon.flops > 1.02 * adam.flops and muon.swap_flops == adam.swap_flops


def test_a_step_that_makes_the_host_wait_is_not_counted_but_told() -> None:
    class Asking(nn.Module):
        def __call__(self, step) -> torch.Tensor:
            faces = (step.alpha["src"] > 0.5).nonzero()
            return step.rec["src"].mean() + 0 * len(faces.shape)

    known = dict(registry._added)
    try:
        registry.register("loss", "asking", Asking)
        with pytest.raises(HostSync, match="nonzero"):
            count_step(spec_of(loss={"l1": 1.0, "asking": 1.0}), "fp32")
    finally:
        registry._added.clear()
        registry._added.update(known)


def test_the_networks_trace_as_one_graph() -> None:
    assert graph_breaks(spec_of()) == 0


def test_the_peak_is_positive_and_memory_is_kept() -> None:
    assert matmul_flops("fp32", torch.device("cpu"), side=64, seconds=0.01) > 1e6
    assert keep_freed_memory() in (True, False)


@pytest.mark.long
def test_bench_prints_a_table_and_keeps_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    small = ["--size", "16", "--batch", "2", "--blocks", "3", "--steps", "1", "--threads", "1", "--out", str(tmp_path)]
    asked = ["bench", "grid:width=4,channels=4", "grid:grid=5,width=4,channels=4", *small]
    code, out, said = called(asked, monkeypatch, capsys)
    torch.set_num_threads(threads)
    assert code == 0, said
    assert "times as fast" in out and "measured peak" in out
    (file,) = (tmp_path / "bench").glob("*.json")
    record = json.loads(file.read_text())
    row = record["variants"]["grid:width=4,channels=4"]
    assert record["schema_version"] == 1 and record["environment"]["libraries"]["torch"]
    assert row["loop_images_per_s"]["n"] == 3 and row["cold_start"]["first_step_s"] > 0 and row["mfu"] > 0


def test_bench_refuses_what_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for word, expected in (("gird", "Did you mean"), ("grid:width", "NAME:OPTION=VALUE"), ("grid:wide=3", "no option")):
        code, _, said = called(["bench", word, "--out", str(tmp_path)], monkeypatch, capsys)
        assert code == 2 and expected in said, said
