"""`harness metrics`: the table of the ladder, the costs, and a failing metric that is shown as invalid."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from metric_faces import matched_case
from tiny_training import spec_of, store_in
from typer.testing import CliRunner

from harness import registry
from harness.cli.metrics import metrics_app
from harness.data.faceset import make_faceset
from harness.errors import CheckFailed
from harness.files import write_hashed_json
from harness.registry import Entry
from harness.score import case as evaluation
from harness.score import score
from metrics.case import Evaluator, MetricInfo
from metrics.factors import EVALUATORS as FACTORS
from metrics.identity import EVALUATORS as IDENTITY
from metrics.reconstruction import EVALUATORS as RECONSTRUCTION

RUNNER = CliRunner()


def backwards(case):
    """A metric that prefers the copy: it grows with the distance to the driver and calls that bad."""
    yield "backwards", case.both(lambda way: (case.swap[way] - case.images[way[:3]]).abs().flatten(1).mean(1))


BACKWARDS = Evaluator(
    backwards, (MetricInfo("backwards", "lower", "range", 0.0, "wrong", ladder="blend"),), frozenset({"truth"})
)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three groups instead of all: two right and one wrong."""
    groups = {
        "identity": IDENTITY["identity"],
        "backwards": BACKWARDS,
        "reconstruction": RECONSTRUCTION["reconstruction"],
    }
    made = {name: Entry("metric", name, group, Path(__file__), 1) for name, group in groups.items()}
    every = registry.entries
    monkeypatch.setattr(registry, "entries", lambda kind: made if kind == "metric" else every(kind))


def test_check_prints_known_end_points_and_names_the_metric_that_fails(few: None, tmp_path: Path) -> None:
    arguments = ["check", "--size", "32", "--pairs", "6", "--results", str(tmp_path), "--to", str(tmp_path / "out")]
    arguments += ["--pictures", str(tmp_path / "pictures"), "--json"]
    done = RUNNER.invoke(metrics_app, arguments)
    assert done.exit_code == 0, done.output
    rows = {row["metric"]: row for row in json.loads(done.stdout)["metrics"]}
    transfer = rows["identity_transfer"]
    assert (transfer["oracle"], transfer["copy"]) == (pytest.approx(1, abs=1e-5), pytest.approx(0, abs=1e-5))
    assert transfer["valid"] == "yes" and transfer["monotone"]
    assert rows["off_axis"]["mean_face"] > 0.1 > rows["off_axis"]["oracle"]
    assert rows["backwards"]["valid"] == "invalid here" and "no better" in rows["backwards"]["reason"]
    assert json.loads((tmp_path / "out/ladder.json").read_text())["metrics"]
    text = (tmp_path / "out/ladder.md").read_text()
    assert "| identity_transfer | 1 | 0 |" in text and "- backwards: " in text
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert {"metrics-oracle.png", "metrics-copy.png", "metrics-checkerboard.png", "metrics-half_face.png"} <= names
    assert rows["leak_gap"]["controls"]["ghost"] == pytest.approx(0.5, abs=0.05)
    assert "| leak_gap | " in text and " undefined | " in text

    strict = RUNNER.invoke(metrics_app, [*arguments[:7], "--strict"])
    assert isinstance(strict.exception, CheckFailed) and "backwards" in str(strict.exception)
    assert "invalid here: backwards" in strict.output


def test_cost_measures_every_group(few: None, tmp_path: Path) -> None:
    arguments = ["cost", "--size", "32", "--pairs", "4", "--repeats", "2", "--results", str(tmp_path), "--json"]
    done = RUNNER.invoke(metrics_app, arguments)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["groups"]
    assert [row["group"] for row in rows] == ["identity", "backwards", "reconstruction"]
    assert all(0 < row["least"] <= row["s per 1,000"] <= row["most"] for row in rows)


def test_a_trial_reports_a_failing_metric_as_invalid_and_the_verdict_is_kept(tmp_path: Path) -> None:
    case = matched_case(8, size=32)
    groups = {"identity": IDENTITY["identity"], "backwards": BACKWARDS}
    verdict = score.failing(case, groups, tmp_path / "verdict.json")
    assert set(verdict) == {"backwards"} and "fails its ladder" in verdict["backwards"]
    write_hashed_json(tmp_path / "verdict.json", {"kept": "yes"})
    assert score.failing(case, groups, tmp_path / "verdict.json") == {"kept": "yes"}
    (tmp_path / "verdict.json").write_text((tmp_path / "verdict.json").read_text().replace("yes", "yet"))
    assert score.failing(case, groups, tmp_path / "verdict.json") == verdict


def test_a_case_from_a_store_alone_holds_the_exact_truth_and_no_model(tmp_path: Path) -> None:
    case = evaluation.reference_case(spec_of(), store_in(tmp_path), torch.device("cpu"))
    assert case.matched and not case.has("model") and not case.has("latent")
    assert torch.equal(case.truth("src->dst"), case.images["dst"])
    assert torch.equal(case.swap["src->dst"], case.images["src"])


def test_factors_that_the_latent_holds_are_named_and_others_are_not() -> None:
    images, factors = torch.zeros(150, 3, 8, 8), torch.rand(150, 4, generator=torch.Generator().manual_seed(1))
    case = matched_case(4, size=16, crowd=lambda: (images, factors), decode=lambda z, person: z)
    case.encode = lambda _: torch.cat(
        [factors[:, :2], torch.rand(150, 3, generator=torch.Generator().manual_seed(2))], 1
    )
    ((name, values),) = FACTORS["factors"].run(case)
    assert name == "identity_factor_r2"
    assert (values[:2] > 0.95).all() and (np.abs(values[2:]) < 0.15).all()


def test_without_a_crowd_the_factor_metric_says_what_it_needs() -> None:
    case = matched_case(4, size=16, decode=lambda z, person: z, encode=lambda x: x)
    ((name, values),) = FACTORS["factors"].run(case)
    assert np.isnan(values).all() and "built-in faces" in case.notes[name]


def test_a_folder_of_ones_own_is_checked_if_it_holds_exact_swaps_and_refused_in_words_if_not(tmp_path: Path) -> None:
    faces = make_faceset(tmp_path / "own", pair="near", frames=16, eval_frames=4, size=16, seed=0, supersample=1)
    assert faces
    options = ["--size", "16", "--pairs", "4", "--results", str(tmp_path / "results"), "--json"]
    told = RUNNER.invoke(metrics_app, ["check", "--data", str(tmp_path / "own"), *options])
    assert told.exit_code == 0, told.output
    table = json.loads(told.stdout)
    assert "own" in table["data"]
    proved = {row["metric"]: row["valid"] for row in table["metrics"]}
    assert proved["identity_transfer"] == "yes", table["metrics"][:2]
    shutil.rmtree(tmp_path / "own" / "eval")
    (tmp_path / "own" / "manifest.json").unlink()
    refused = RUNNER.invoke(metrics_app, ["check", "--data", str(tmp_path / "own"), *options])
    assert refused.exit_code != 0 and "has no exact swaps" in str(refused.exception or refused.output)
