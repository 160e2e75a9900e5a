"""The results of a suite in Python: pandas frames of trials, pictures and claims, and a table in notebooks."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from harness import report
from harness.files import write_atomic
from harness.ledger.frames import images_frame, trials_frame
from harness.ledger.records import results_of
from harness.ledger.table import Table, load
from harness.report import csv_file, verdicts
from harness.report.numbers import Numbers
from harness.use.model import TrainedSwapper, load_model

CLAIM = ["claim", "says", "verdict", "reason", "source", "pairs"]
PART = ["metric", "unit", "effect", "low", "high", "n", "p", "p_holm", "part_verdict"]
FRAMES = ("trials", "images", "claims", "table")


class Results:
    """What a suite's trials came to, as it lies in `folder`. Read anew from the disk by `harness.results`."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.ledger: Table = load(self.folder)
        self._numbers = Numbers(self.ledger)

    def __repr__(self) -> str:
        done, planned = len(self.ledger.done), len(self.ledger.trials)
        return f"<Results of {self.ledger.suite}: {done} of {planned} trials done, {self.folder}>"

    def _repr_html_(self) -> str:
        """The decision table, for notebooks."""
        return f"<p>{repr(self)[1:-1]}</p>{self.summary().to_html(index=False)}"

    def summary(self) -> pd.DataFrame:
        """The decision table of the report as text: headline metrics of each variant with intervals."""
        return pd.DataFrame(report.summary(self.folder))

    def frame(self) -> pd.DataFrame:
        """One row for each trial and metric: suite, scale, trial, variant, seed, pair, status, a column for each
        setting in which the variants differ, metric, title, unit, direction, value, images, undefined (why)."""
        return trials_frame(self.ledger)

    def images(self) -> pd.DataFrame:
        """One row for each trial, metric and evaluation picture: ..., metric, image, value."""
        return images_frame(self.ledger)

    def table(self, metrics: Collection[str] | None = None) -> pd.DataFrame:
        """One row for each variant (or reference) and metric, with intervals and paired differences: table.csv.

        `metrics`: only these; a table of few is made in a fraction of the time.
        """
        return csv_file.frame(self._numbers, metrics)

    def claims(self) -> pd.DataFrame:
        """One row for each part of each claim of the suite: the verdict, its reason, the effect with its interval."""
        rows: list[tuple[object, ...]] = []
        for verdict in verdicts.judged(self._numbers):
            whole = (verdict.id, verdict.says, verdict.verdict, verdict.reason, verdict.source, verdict.look)
            for part in verdict.parts:
                values = (part.effect, part.low, part.high, part.n, part.p, part.p_holm, part.verdict)
                rows.append((*whole, part.metric, part.unit, *values))
            if not verdict.parts:
                rows.append((*whole, None, None, *[math.nan] * 3, 0, math.nan, math.nan, None))
        return pd.DataFrame(rows, columns=[*CLAIM, *PART])

    def trials(self) -> pd.DataFrame:
        """As `frame`, one row for each trial and one column for each metric; for plots and pivots."""
        found = self.frame()
        keys = [name for name in found.columns if name not in ("metric", *found.columns[-6:])]
        wide = found.pivot(index=keys, columns="metric", values="value")
        return wide[list(dict.fromkeys(found["metric"]))].reset_index().rename_axis(columns=None)

    def model(self, variant: str, seed: int | None = None, device: str = "auto") -> TrainedSwapper:
        """The trained model of a variant; of its first finished replicate when no seed is given. UsageError if none."""
        for trial in self.ledger.done:
            if trial.label == variant and seed in (None, trial.seed):
                return load_model(trial.folder, device=device)
        return load_model(variant if seed is None else f"{variant}-s{seed}", root=self.folder.parent, device=device)


def results(folder: str | Path, *, root: str | Path = "results") -> Results:
    """The results in a folder, or of a suite (its name or its file) under `root`. UsageError when there are none."""
    return Results(results_of(str(folder), Path(root)))


def to_parquet(found: Results, out: Path) -> list[Path]:
    """Write trials, images, claims and table as Parquet into `out`; the files. EnvironmentProblem without pyarrow."""
    frames = (found.frame(), found.images(), found.claims(), found.table())
    written = []
    for name, frame in zip(FRAMES, frames, strict=True):
        write_atomic(out / f"{name}.parquet", csv_file.parquet_bytes(frame))
        written.append(out / f"{name}.parquet")
    return written
