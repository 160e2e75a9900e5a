"""Results in Python: what the frames hold is what the ledger, the report and table.csv hold."""

from __future__ import annotations

import json
from pathlib import Path

import fake_ledger
import numpy as np
import pandas as pd
import pytest
from command import called

import harness
from harness.errors import EnvironmentProblem, UsageError
from harness.report import build, csv_file
from harness.use.results import Results, to_parquet


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Results:
    statuses = {(4, 1): "diverged"}
    folder = fake_ledger.write_ledger(
        tmp_path_factory.mktemp("results") / "bottleneck", statuses=statuses, missing=frozenset({(7, 2)}),
        claims=fake_ledger.CLAIMS,
    )  # fmt: skip
    return harness.results(folder)


def test_the_frame_has_a_row_for_each_trial_and_metric(found: Results) -> None:
    frame = found.frame()
    assert not frame.duplicated(["trial", "metric"]).any()
    assert len(frame) == len(found.ledger.trials) * frame["metric"].nunique()
    for trial in found.ledger.done[:3]:
        record = json.loads((trial.folder / "record.json").read_text())
        rows = frame[frame["trial"] == trial.name].set_index("metric")
        for metric, score in record["scores"].items():
            if score["mean"] is not None and metric not in record["invalid"]:
                assert rows.loc[metric, "value"] == score["mean"]
        assert (rows["seed"] == record["seed"]).all() and (rows["pair"] == record["pair"]).all()


def test_settings_in_which_the_variants_differ_are_columns(found: Results) -> None:
    frame = found.frame()
    (axis,) = {key for trial in found.ledger.trials for key in trial.settings}
    assert frame.groupby("variant")[axis].nunique().eq(1).all() and frame[axis].nunique() == len(found.ledger.variants)


def test_failed_trials_and_undefined_metrics_are_rows_with_their_reason(found: Results) -> None:
    frame = found.frame()
    lost = frame[frame["status"] != "done"]
    assert set(lost["trial"]) == {t.name for t in found.ledger.trials if not t.done} and lost["value"].isna().all()
    assert (lost["undefined"] == lost["status"]).all() and len(lost) > 0
    done = frame[frame["status"] == "done"]
    assert ((done["undefined"] == "") == done["value"].notna()).all()


def test_a_value_is_the_mean_of_its_pictures(found: Results) -> None:
    images, frame = found.images(), found.frame()
    means = images.groupby(["trial", "metric"])["value"].mean()
    values = frame[frame["images"] > 0].set_index(["trial", "metric"])["value"]
    assert len(values) > 20 and np.allclose(means.loc[values.index], values, rtol=1e-3)
    assert (images.groupby(["trial", "metric"])["image"].max() + 1 == images.groupby(["trial", "metric"]).size()).all()


def test_wide_trials_hold_the_same_numbers(found: Results) -> None:
    wide, frame = found.trials(), found.frame()
    assert len(wide) == len(found.ledger.trials)
    row = frame[frame["value"].notna()].iloc[5]
    assert wide.set_index("trial").loc[row["trial"], row["metric"]] == row["value"]


def test_claims_have_the_verdicts_of_the_report(found: Results) -> None:
    claims = found.claims()
    report = json.loads(Path(build([found.folder], found.folder / "out", {"json"})[0]).read_text())
    assert dict(zip(claims["claim"], claims["verdict"], strict=True)) == {
        c["id"]: c["verdict"] for c in report["claims"]
    }
    assert {"effect", "low", "high", "n", "p_holm"} <= set(claims.columns)


def test_table_csv_is_the_table_frame(found: Results) -> None:
    (path,) = build([found.folder], found.folder / "out", {"csv"})
    written, frame = pd.read_csv(path), found.table()
    assert list(written.columns) == list(csv_file.HEAD) == list(frame.columns)
    for name in csv_file.FIGURES:
        assert np.allclose(written[name].astype(float), frame[name].astype(float), rtol=1e-5, equal_nan=True), name
    assert (frame["kind"].iloc[0], frame["n"].dtype.name, frame["mean"].dtype.name) == ("variant", "Int64", "float64")


def test_a_table_of_few_metrics_is_a_part_of_the_whole(found: Results) -> None:
    whole, part = found.table(), found.table(["swap_error"])
    kept = whole[(whole["metric"] == "swap_error") | whole["kind"].isin(["claim", "claim part"])]
    assert 0 < len(part) < len(whole)
    pd.testing.assert_frame_equal(part, kept.reset_index(drop=True))


def test_parquet_holds_the_same_frames(found: Results, tmp_path: Path) -> None:
    paths = to_parquet(found, tmp_path)
    assert [path.stem for path in paths] == ["trials", "images", "claims", "table"]
    for path, frame in zip(paths, (found.frame(), found.images(), found.claims(), found.table()), strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(path), frame, check_dtype=False)


def test_the_command_writes_parquet(
    found: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = called(["export", str(found.folder), "--parquet", str(tmp_path)], monkeypatch, capsys)
    assert code == 0 and str(tmp_path / "trials.parquet") in out and len(list(tmp_path.iterdir())) == 4


def test_without_pyarrow_one_line_says_what_to_install(found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", lacking)
    with pytest.raises(EnvironmentProblem, match=r"faceswap-bench\[parquet\]"):
        csv_file.parquet_bytes(found.table())


def test_in_a_notebook_the_decision_table_is_shown(found: Results) -> None:
    shown = found._repr_html_()
    assert "<table" in shown and "grid3 (baseline)" in shown and "<script>" not in shown
    assert "trials done" in repr(found)


def test_results_are_found_by_the_name_of_their_suite(found: Results) -> None:
    assert harness.results("bottleneck", root=found.folder.parent).folder == found.folder
    with pytest.raises(UsageError, match="there are no results of 'botleneck'"):
        harness.results("botleneck", root=found.folder.parent)


def test_the_package_gives_its_names_and_no_others() -> None:
    assert {"load_model", "run", "results"} <= set(harness.__all__)
    assert all(getattr(harness, name) is not None for name in harness.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        _ = harness.trane
