"""A suite's table as pandas frames: one row for each trial and metric, one for each picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harness.ledger.table import Outcome, Table

TRIAL = ["suite", "scale", "trial", "variant", "seed", "pair", "status"]
METRIC = ["metric", "title", "unit", "direction", "value", "images", "undefined"]


def trials_frame(table: Table) -> pd.DataFrame:
    """One row for each planned trial and each metric of any of them, undefined ones and failed trials too.

    Columns: TRIAL, a column for each setting in which the variants differ, METRIC. `value` is the trial's number (NaN
    where there is none, and then `undefined` says why), `images` how many pictures it is a mean over (0: of none).
    """
    axes = list(dict.fromkeys(key for trial in table.trials for key in trial.settings))
    rows = [
        {**_trial(table, trial), **{key: _plain(trial.settings.get(key)) for key in axes}, **row}
        for trial in table.trials
        for row in _metrics(table, trial)
    ]
    frame = pd.DataFrame(rows, columns=[*TRIAL, *axes, *METRIC])
    return frame.astype({"seed": "int64", "value": "float64", "images": "int64"})


def images_frame(table: Table) -> pd.DataFrame:
    """One row for each trial, metric and evaluation picture: TRIAL without status, `metric`, `image`, `value`.

    `image` counts from 0; where a metric has a value for each direction, src -> dst comes first, then dst -> src. The
    same `image` of two variants of a replicate is the same picture.
    """
    parts = []
    for trial in table.done:
        known = {key: value for key, value in _trial(table, trial).items() if key != "status"}
        for metric, values in trial.arrays.items():
            if len(values) > 1:
                part = pd.DataFrame({"metric": metric, "image": np.arange(len(values)), "value": values})
                parts.append(part.assign(**known))
    columns = [*TRIAL[:-1], "metric", "image", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _trial(table: Table, trial: Outcome) -> dict[str, Any]:
    scale = str(table.plan.get("scale") or "")
    names = (table.suite, scale, trial.name, trial.label, trial.seed, trial.pair, trial.status)
    return dict(zip(TRIAL, names, strict=True))


def _metrics(table: Table, trial: Outcome) -> Iterator[dict[str, Any]]:
    known = dict.fromkeys(table.metrics())
    for other in table.done:
        known |= dict.fromkeys(other.part("invalid"))
    for metric in known:
        facts, value = table.facts(metric), trial.mean(metric) if trial.done else np.nan
        undefined = "" if np.isfinite(value) else str(trial.part("invalid").get(metric) or trial.status)
        images = trial.images(metric).size if trial.done else 0
        row = (metric, facts.title, facts.unit, facts.direction, value, images, undefined)
        yield dict(zip(METRIC, row, strict=True))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
