"""Exports hold what the ledger holds; what is not installed is told with the command that installs it."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest
from command import called
from fake_ledger import trial_name, write_ledger

from harness.errors import UsageError
from harness.ledger import export
from harness.ledger.table import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    return write_ledger(root / "bottleneck", grids=(3, 7), replicates=2, steps=50, tile=8, statuses={(7, 1): "failed"})


def test_event_files_read_back_hold_curves_scores_settings_and_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    arguments = ["export", "bottleneck", "--tensorboard", str(tmp_path), "--out", str(folder.parent)]
    code, out, _ = called(arguments, monkeypatch, capsys)
    assert code == 0
    assert out.startswith("4 trials in ")
    name = trial_name("grid3", 0)
    events = EventAccumulator(str(tmp_path / "bottleneck" / name), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    trial = next(t for t in load(folder).trials if t.name == name)
    steps = [(event.step, event.value) for event in events.Scalars("loss/kl")]
    assert [step for step, _ in steps] == [10, 20, 30, 40, 50]
    assert steps[0][1] == pytest.approx(trial.history[0]["loss"]["kl"])
    score = trial.part("scores")["identity_transfer"]["mean"]
    assert events.Scalars("score/identity_transfer")[-1].value == pytest.approx(score)
    assert set(events.Tags()["images"]) == {
        "fixed-0",
        "fixed-1",
        "fixed-2",
        "fixed-3",
        "median",
        "worst",
        "spectrum",
        "sweep",
    }
    assert "_hparams_/session_start_info" in events.summary_metadata
    failed = EventAccumulator(str(tmp_path / "bottleneck" / trial_name("grid7", 1)))
    failed.Reload()
    assert failed.Scalars("total")[-1].step == 20
    assert not [tag for tag in failed.Tags()["scalars"] if tag.startswith("score/")]


def test_a_second_export_into_the_same_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    assert export.to_tensorboard(load(folder), tmp_path) == 4
    with pytest.raises(UsageError, match="earlier export"):
        export.to_tensorboard(load(folder), tmp_path)


class _Store:
    """What `export` asks of mlflow, kept in memory. The real package is too large for the development tools."""

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri

    experiments: ClassVar[dict[str, str]] = {}
    runs: ClassVar[list[Any]] = []

    def get_experiment_by_name(self, name: str) -> Any:
        return types.SimpleNamespace(experiment_id=self.experiments[name]) if name in self.experiments else None

    def create_experiment(self, name: str, artifact_location: str) -> str:
        assert artifact_location.startswith("file:")
        self.experiments[name] = str(len(self.experiments))
        return self.experiments[name]

    def search_runs(self, ids: list[str], max_results: int) -> list[Any]:
        return [run for run in self.runs if run.experiment in ids][:max_results]

    def create_run(self, experiment: str, start_time: int, tags: dict[str, str], run_name: str) -> Any:
        run = types.SimpleNamespace(
            experiment=experiment, info=types.SimpleNamespace(run_id=run_name), metrics=[], params={}, artifacts=[],
            data=types.SimpleNamespace(tags=tags), status="RUNNING",
        )  # fmt: skip
        self.runs.append(run)
        return run

    def _run(self, name: str) -> Any:
        return next(run for run in self.runs if run.info.run_id == name)

    def log_batch(self, run: str, metrics: list[Any], params: list[Any]) -> None:
        assert len(metrics) <= 1000 and len(params) <= 100
        self._run(run).metrics += metrics
        for key, value in params:
            assert key not in self._run(run).params and isinstance(value, str) and len(value) <= 500
            self._run(run).params[key] = value

    def log_artifact(self, run: str, path: str, place: str) -> None:
        assert Path(path).is_file()
        self._run(run).artifacts.append(f"{place}/{Path(path).name}")

    def set_terminated(self, run: str, status: str, end_time: int) -> None:
        self._run(run).status = status


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> type[_Store]:
    entities, tracking = types.ModuleType("mlflow.entities"), types.ModuleType("mlflow.tracking")
    entities.Metric = lambda key, value, timestamp, step: (key, value, timestamp, step)  # type: ignore[attr-defined]
    entities.Param = lambda key, value: (key, value)  # type: ignore[attr-defined]
    tracking.MlflowClient = _Store  # type: ignore[attr-defined]
    for module in (types.ModuleType("mlflow"), entities, tracking):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(_Store, "experiments", {})
    monkeypatch.setattr(_Store, "runs", [])
    return _Store


def test_an_mlflow_store_gets_each_trial_once(folder: Path, tmp_path: Path, mlflow: type[_Store]) -> None:
    table = load(folder)
    assert export.to_mlflow(table, tmp_path) == 4
    assert export.to_mlflow(table, tmp_path) == 0
    runs = {run.info.run_id: run for run in mlflow.runs}
    run = runs[trial_name("grid7", 0)]
    assert (run.status, runs[trial_name("grid7", 1)].status) == ("FINISHED", "FAILED")
    assert run.params["optim.lr"] == "0.0002"
    assert run.params["label"] == "grid7"
    assert [(key, step) for key, _, _, step in run.metrics if key == "loss/l1"] == [
        ("loss/l1", s) for s in range(10, 51, 10)
    ]
    assert "score/identity_transfer" in {key for key, *_ in run.metrics}
    assert "pictures/median.png" in run.artifacts


@pytest.mark.parametrize(
    ("package", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow.entities")]
)
def test_a_missing_package_is_told_with_its_command(
    folder: Path, tmp_path: Path, package: str, module: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setitem(sys.modules, module, None)
    arguments = ["export", "bottleneck", f"--{package}", str(tmp_path / "o"), "--out", str(folder.parent)]
    code, _, told = called(arguments, monkeypatch, capsys)
    assert code == 4
    assert f"uv pip install {package}" in told
    assert len(told.strip().splitlines()) == 1


def test_an_export_to_nowhere_and_of_nothing_is_an_error(folder: Path, tmp_path: Path) -> None:
    empty = write_ledger(tmp_path / "e", grids=(3,), replicates=1, missing=frozenset({(3, 0)}))
    with pytest.raises(UsageError, match="no finished trial"):
        export.to_tensorboard(load(empty), tmp_path / "o")


def test_the_verb_without_a_place_says_what_it_expects(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, told = called(["export", "bottleneck", "--out", str(folder.parent)], monkeypatch, capsys)
    assert code == 2
    assert "--tensorboard DIR, --mlflow DIR or --parquet DIR; of a trial --onnx DIR" in told


def test_values_that_are_no_numbers_stay_out_of_the_curves() -> None:
    row = {"step": 3, "seconds": 1.0, "loss": {"x.own": 0.5, "bad": float("nan")}, "total": None, "lr": 2e-4}
    trial = types.SimpleNamespace(history=(row,))
    assert list(export.curves(trial)) == [("loss/x.own", 3, 0.5), ("lr", 3, 2e-4)]  # type: ignore[arg-type]
