"""The ledger for other viewers: TensorBoard's event files, MLflow's store. Nothing is trained or scored here."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem, UsageError
from harness.ledger.table import Outcome, Table

PARAMETER_CHARACTERS = 500  # MLflow stores keep no longer value
SKIPPED = ("step", "images", "seconds")


def curves(trial: Outcome) -> Iterator[tuple[str, int, float]]:
    """(name, step, value) of a trial's history: "loss/kl", "total", "swap_error", "grad_norm/encoder", "lr"."""
    for row in trial.history:
        for key, value in row.items():
            if key in SKIPPED:
                continue
            inner = {f"{key}/{name}": v for name, v in value.items()} if isinstance(value, Mapping) else {key: value}
            for name, number in inner.items():
                if isinstance(number, int | float) and math.isfinite(number):
                    yield name, int(row["step"]), float(number)


def scores(trial: Outcome) -> dict[str, float]:
    """Mean of every score that is a number here."""
    means = {name: (score or {}).get("mean") for name, score in trial.part("scores").items()}
    bad = trial.part("invalid")
    return {k: float(v) for k, v in means.items() if k not in bad and v is not None and math.isfinite(v)}


def parameters(trial: Outcome) -> dict[str, str | int | float | bool]:
    """The resolved specification, flat ("optim.lr"), with seed, pair and label."""
    flat: dict[str, str | int | float | bool] = {"label": trial.label, "seed": trial.seed, "pair": trial.pair}

    def walk(values: Mapping[str, Any], prefix: str) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping) and value:
                walk(value, f"{prefix}{key}.")
            elif value is not None:
                flat[f"{prefix}{key}"] = value if isinstance(value, str | int | float | bool) else json.dumps(value)

    walk(trial.part("spec"), "")
    return flat


def pictures(trial: Outcome) -> list[Path]:
    """The strips and the spectrum that scoring left."""
    return list(trial.pictures.values())


def exported(table: Table) -> list[Outcome]:
    """The trials that have a record, failed ones too. UsageError when there is none."""
    found = [trial for trial in table.trials if trial.record is not None]
    if not found:
        raise UsageError(f"{table.folder} holds no finished trial, so there is nothing to export")
    return found


def to_tensorboard(table: Table, out: Path) -> int:
    """One run a trial under `out`/<suite>; returns how many. EnvironmentProblem without the package tensorboard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise _missing("tensorboard", error) from None
    import numpy as np
    from PIL import Image

    trials = exported(table)
    places = {trial.name: out / _safe(table.suite) / trial.name for trial in trials}
    for place in places.values():
        if any(place.glob("events.out.tfevents.*")):
            raise UsageError(f"{place} holds an earlier export, and a second would double it. Name another folder")
    for trial in trials:
        began = _seconds(trial)
        spent = {int(row["step"]): float(row.get("seconds") or 0) for row in trial.history}
        with SummaryWriter(str(places[trial.name])) as writer:  # type: ignore[no-untyped-call]
            for name, step, value in curves(trial):
                writer.add_scalar(name, value, step, walltime=began + spent.get(step, 0.0))
            last = max(spent, default=0)
            means = {f"score/{name}": value for name, value in scores(trial).items()}
            for name, value in means.items():
                writer.add_scalar(name, value, last, walltime=began + spent.get(last, 0.0))
            writer.add_hparams(parameters(trial), means, run_name=".", global_step=last)
            writer.add_text("status", trial.status, last)
            for path in pictures(trial):
                with Image.open(path) as image:
                    writer.add_image(path.stem, np.asarray(image.convert("RGB")), last, dataformats="HWC")
    return len(trials)


def to_mlflow(table: Table, out: Path) -> int:
    """One run a trial in the experiment <suite> of the store in folder `out`; returns how many are new.

    A trial that the store has already, under the same record, is left alone. EnvironmentProblem without mlflow.
    """
    try:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise _missing("mlflow", error) from None
    trials = exported(table)
    out.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{out.resolve() / 'mlflow.db'}")
    known = client.get_experiment_by_name(table.suite)
    place = (out.resolve() / "artifacts" / _safe(table.suite)).as_uri()
    experiment = known.experiment_id if known else client.create_experiment(table.suite, artifact_location=place)
    have = {run.data.tags.get("record") for run in client.search_runs([experiment], max_results=10_000)}
    new = 0
    for trial in trials:
        assert trial.record is not None  # see `exported`
        if trial.record.sha256 in have:
            continue
        began = round(1000 * _seconds(trial))
        tags = {"record": trial.record.sha256, "status": trial.status, "scale": trial.record.scale}
        run = client.create_run(experiment, start_time=began, tags=tags, run_name=trial.name).info.run_id
        spent = {int(row["step"]): round(1000 * float(row.get("seconds") or 0)) for row in trial.history}
        last = max(spent, default=0)
        metrics = [Metric(_safe(name), value, began + spent[step], step) for name, step, value in curves(trial)]
        metrics += [Metric(_safe(f"score/{n}"), v, began + spent.get(last, 0), last) for n, v in scores(trial).items()]
        params = [Param(_safe(k), str(v)[:PARAMETER_CHARACTERS]) for k, v in parameters(trial).items()]
        for start in range(0, max(len(metrics), len(params)), 100):  # a batch may hold 1000 metrics, 100 parameters
            client.log_batch(run, metrics[start : start + 100], params[start : start + 100])
        for path in pictures(trial):
            client.log_artifact(run, str(path), "pictures")
        status = "FINISHED" if trial.done else "FAILED"
        client.set_terminated(run, status, end_time=began + spent.get(last, 0))
        new += 1
    return new


def _missing(package: str, error: ImportError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"this export needs the package {package}, which cannot be imported here ({error}). "
        f"Install it: uv pip install {package}"
    )


def _seconds(trial: Outcome) -> float:
    """When the trial began, in seconds of the epoch; now when its record does not say."""
    started = trial.record.started if trial.record else ""
    try:
        return datetime.fromisoformat(started).timestamp()
    except ValueError:
        return time.time()


def _safe(name: str) -> str:
    """A name with the characters that both viewers take."""
    return re.sub(r"[^\w./ -]", "_", name)
