"""A rehearsal trains a few steps of what a suite would train, under another name; it foretells what all costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trouble_plans import suite_file

from harness import options, registry
from harness.execute import run_plan
from harness.files import write_hashed_json
from harness.ledger.records import Ledger, Record
from harness.score import weights
from harness.spec import Spec
from harness.suite import suite as suites
from harness.suite.settings import from_options
from harness.train.loop import write_history
from harness.trials.plan import REHEARSAL, planned
from harness.trials.rehearsal import COSTLY, STEPS, forecasts, rehearsal_of, rehearsal_trials, rehearsed
from harness.trials.trial import trials
from models import pretrained

BASE = {
    "model": {"variant": "grid"},
    "loss": {"lpips": {"net": "vgg"}, "kl": 0.2},
    "optim": {"epochs": 7, "warmup": 50},
}


def test_a_rehearsed_spec_differs_in_length_and_number_only() -> None:
    spec = Spec.model_validate({**BASE, "data": {"size": 256, "frames": 1800, "eval_frames": 200}})
    small = rehearsed(spec)
    assert (small.optim.steps, small.optim.batch, small.optim.warmup) == (STEPS, 2, 0)
    assert small.data.frames < 20 and small.data.eval_frames < 20
    same = {"steps", "batch", "warmup"}
    assert small.optim.model_dump(exclude=same) == spec.optim.model_dump(exclude=same)
    assert small.model == spec.model and small.data.size == 256 and small.loss["kl"] == spec.loss["kl"]


def test_what_the_user_has_set_stays() -> None:
    spec = Spec.model_validate({**BASE, "optim": {"batch": 12}})
    assert rehearsed(spec, {"optim.batch"}).optim.batch == 12


@pytest.mark.parametrize("present", [True, False])
def test_lpips_is_random_only_where_its_weights_are_absent(monkeypatch: pytest.MonkeyPatch, present: bool) -> None:
    monkeypatch.setattr(pretrained, "present", lambda name: present)
    spec = Spec.model_validate({**BASE, "loss": {"lpips": {"weight": 0.5, "net": "alex", "random": False}}})
    term = rehearsed(spec).loss["lpips"]
    assert term.options == {"net": "alex", "random": not present} and term.weight == 0.5


def test_a_run_says_what_stands_in_for_absent_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "present", lambda name: False)
    auto = Spec.model_validate({**BASE, "loss": {"perceptual": {"kind": "auto", "net": "vgg"}}})
    (said,) = weights.absences([options.settled(auto)])
    assert "multi-scale gradient here, not LPIPS" in said
    assert "random weights" in weights.absences([rehearsed(Spec.model_validate(BASE))])[0]
    assert weights.absences([Spec.model_validate(BASE)]) == []
    monkeypatch.setattr(pretrained, "present", lambda name: True)
    assert weights.absences([options.settled(auto)]) == []


def test_forecasts_scale_what_was_measured(tmp_path: Path) -> None:
    suite = suites.load(suites.find("smoke")).at("quick")
    overrides = from_options(["optim.steps=3000", "optim.batch=8", "data.frames=60", "data.eval_frames=30"])
    whole = trials(suite, "quick", overrides, seeds=2)
    tried = rehearsal_trials(rehearsal_of(suite), "quick", whole, [])
    assert {trial.label for trial in tried} == {trial.label for trial in whole}
    assert {trial.seed for trial in tried} == {whole[0].seed} and {trial.suite for trial in tried} != {suite.name}
    assert not {trial.digest for trial in tried} & {trial.digest for trial in whole}
    frames = tried[0].spec.data.eval_frames
    groups = len(tried[0].metrics)
    cost = {
        "parameters": 2**20, "steps": STEPS, "peak_memory_mb": 916.0, "wall_s": {"train": 4.4, "score": 4.0},
        "waited_for_core": 0.5, "waited_while_scoring": 0.75, "evaluators": groups,
    }  # fmt: skip
    # The first step took 4 seconds, the second 0.4, and for half of them another had the core.
    done = Record.of(tried[0], "done", cost=cost, folder=tmp_path / "smoke-rehearsal" / "trials" / tried[0].name)
    done.folder.mkdir(parents=True)
    write_history(done.folder, [{"step": 1, "seconds": 4.0}, {"step": STEPS, "seconds": 4.0 + 0.4 * (STEPS - 1)}])
    failed = replace(Record.of(tried[-1], "oom"), label=whole[-1].label)
    (found,) = forecasts(whole, [done, failed])
    assert (found.label, found.trials, found.steps) == (tried[0].label, 2, 3000)
    assert found.train_s == pytest.approx(3000 * 0.2 * 8 / tried[0].spec.optim.batch)
    assert found.score_s == pytest.approx(1.0 * 30 / frames * len(whole[0].metrics) / groups)
    assert found.scored == f"{groups} of {len(whole[0].metrics)} metrics, {frames} of 30 faces"
    # 916 MB: 700 awake, 16 of weights and moments, 200 of pictures, which grow with the batch.
    assert found.memory_mb == pytest.approx(716 + 200 * 8 / tried[0].spec.optim.batch)
    assert found.seconds is not None and found.seconds > found.train_s + found.score_s


def test_a_rehearsal_leaves_metrics_out_that_paint_other_faces_unless_nothing_else_is_asked_for() -> None:
    suite = suites.load(suites.find("smoke")).at("quick")
    (names,) = {trial.metrics for trial in rehearsal_trials(rehearsal_of(suite), "quick", trials(suite, "quick"), [])}
    assert set(names) == set(registry.entries("metric")) - COSTLY and set(names) & {"swap_score", "identity"}
    asked = replace(suite, metrics=("mosaic",), metrics_at=(suite.top,))
    assert rehearsal_of(asked).metrics == ("mosaic",)


@pytest.mark.long
def test_a_rehearsed_trial_leaves_scores_and_a_forecast_but_no_previews_and_no_speed(
    tmp_path: Path, trouble: None
) -> None:
    suite = suites.load(suite_file(tmp_path, "tiny", ("none",), steps=40)).at("quick")
    whole = trials(suite, "quick")
    (trial,) = rehearsal_trials(rehearsal_of(suite), "quick", whole, [])
    (record,) = run_plan([trial], root=tmp_path)
    assert record.status == "done", record.reason
    assert record.scores and record.cost["flops"] > 0 and record.cost["swap_images_per_s"]["median"] is None
    assert [row["step"] for row in Ledger(tmp_path / trial.suite).history(record)] == [1, STEPS]
    assert not (record.folder / "previews").exists()
    (found,) = forecasts(whole, [record])
    assert found.train_s and 0 < found.measured_step_s < record.cost["wall_s"]["train"]


def test_a_dry_run_rests_on_a_rehearsal_of_the_same_scale_and_device(tmp_path: Path) -> None:
    trial = trials(suites.load(suites.find("smoke")), "quick")[0]
    place = {"scale": "quick", "device": "cpu"}
    file = tmp_path / "smoke-rehearsal" / REHEARSAL
    write_hashed_json(file, place | {"forecasts": [{"label": trial.label, "seconds": 77.0}]})
    (row,) = planned([trial], Ledger(tmp_path / "smoke"))
    assert (row.seconds, row.basis) == (77.0, "rehearsed on this cpu")
    write_hashed_json(file, place | {"device": "cuda", "forecasts": [{"label": trial.label, "seconds": 77.0}]})
    (row,) = planned([trial], Ledger(tmp_path / "smoke"))
    assert row.basis == "rough rate"
