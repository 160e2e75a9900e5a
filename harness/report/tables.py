"""The tables of the report as plain values: every cell is text, ready for HTML or Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.claims.stats import Interval
from harness.claims.transition import TransitionFit
from harness.ledger.facts import Facts
from harness.ledger.number_format import number
from harness.ledger.table import Table, Variant
from harness.report.answer import flatten
from harness.report.numbers import REFERENCES, Difference, Numbers

SEEN = "‡ marks a checkerboard that is seen: 3 dB above its surroundings, and above what the data themselves show."
MARK = {"better": "▲", "worse": "▼", "higher": "▲", "lower": "▼", "no clear difference": "≈"}


@dataclass(frozen=True)
class Grid:
    """A plain table."""

    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Cell:
    """One metric of one variant: mean, interval and (unless it is the baseline) the paired difference."""

    metric: Facts
    mean: Interval
    difference: Difference | None
    failure: str = ""  # the known failures (copy, mean face) that are better than this figure

    @property
    def value(self) -> str:
        return self.metric.write(self.mean.mean)

    @property
    def bounds(self) -> str:
        return self.metric.interval(self.mean.low, self.mean.high)

    @property
    def delta(self) -> str:
        if self.difference is None or self.difference.interval.n == 0:
            return ""
        mean = self.difference.interval.mean
        return ("+" if mean > 0 else "") + self.metric.write(mean)

    @property
    def delta_bounds(self) -> str:
        change = self.difference.interval if self.difference else None
        return self.metric.interval(change.low, change.high) if change else ""

    @property
    def verdict(self) -> str:
        return self.difference.verdict if self.difference else ""

    @property
    def mark(self) -> str:
        return MARK.get(self.verdict, "")

    @property
    def sort(self) -> str:
        return repr(self.mean.mean) if math.isfinite(self.mean.mean) else ""


@dataclass(frozen=True)
class Row:
    """One variant of the decision table."""

    label: str
    cells: str
    done: int
    planned: int
    baseline: bool
    dominated: str  # the label of a variant that is at least as good on every main metric, and better on one
    values: list[Cell]


def cell(numbers: Numbers, variant: Variant, metric: str) -> Cell:
    base = numbers.table.baseline
    compared = base is not None and base.label != variant.label
    difference = numbers.difference(variant, base, metric) if compared and base is not None else None
    mean = numbers.mean(variant, metric)
    return Cell(numbers.table.facts(metric), mean, difference, numbers.failure(mean.mean, metric))


def decision(numbers: Numbers) -> list[Row]:
    """One row a variant, in plan order, over the headline metrics."""
    table, metrics = numbers.table, numbers.headlines()
    dominated = numbers.dominated()
    return [
        Row(
            label=variant.label,
            cells=number(variant.latent_cells, 0) if variant.latent_cells else "–",
            done=len(variant.done),
            planned=len(variant.trials),
            baseline=table.baseline is not None and variant.label == table.baseline.label,
            dominated=dominated.get(variant.label, ""),
            values=[cell(numbers, variant, metric) for metric in metrics],
        )
        for variant in table.variants
    ]


def references(numbers: Numbers) -> Grid:
    """Oracle, copy and mean face on the headline metrics; rows without any number are left out."""
    metrics = numbers.headlines()
    rows = []
    for name, title in REFERENCES.items():
        values = [numbers.reference(name, metric) for metric in metrics]
        if any(map(math.isfinite, values)):
            rows.append([title, *(numbers.table.facts(m).write(v) for m, v in zip(metrics, values, strict=True))])
    return Grid(["reference", *(numbers.table.facts(m).title for m in metrics)], rows)


def failures(table: Table) -> list[dict[str, str]]:
    """Every trial that is not done, with its reason and the end of its log."""
    lost = dict(table.damaged)
    return [
        {
            "name": trial.name,
            "status": trial.status,
            "reason": (trial.record.reason or "") if trial.record else lost.get(trial.name, "not run yet"),
            "log": trial.record.log_tail if trial.record else "",
        }
        for trial in table.trials
        if not trial.done
    ]


def checkerboard(numbers: Numbers) -> Grid:
    """Checkerboard energy of each variant by level: decibels, amplitude and the data's own floor; ‡ where it is seen.

    Seen: the scorer's own flag in most replicates; without a flag, above 3 dB.
    """
    have = set(numbers.table.metrics())
    kind = "checkerboard_" if "checkerboard_db_1" in have else "checkerboard_image_"
    names = [n for j in (1, 2, 3) for n in (f"{kind}db_{j}", f"{kind}rms_{j}", f"{kind}floor_db_{j}") if n in have]
    rows = []
    for variant in numbers.table.variants:
        texts = []
        for name in names:
            mean, level = numbers.mean(variant, name), name[-1]
            verdict = f"checkerboard_flag_{level}"
            flag = numbers.mean(variant, verdict).mean if verdict in have else math.nan
            seen = flag > 0.5 if math.isfinite(flag) else mean.mean > 3
            bounds = "" if "floor" in name else numbers.table.facts(name).interval(mean.low, mean.high)
            mark = " ‡" if seen and f"{kind}db_" in name else ""
            texts.append(f"{numbers.table.facts(name).write(mean.mean)} {bounds}".strip() + mark)
        rows.append([variant.label, *texts])
    heads = [f"{numbers.table.facts(n).title}, {numbers.table.facts(n).unit}" for n in names]
    return Grid(["variant", *heads], rows if names else [])


def transition(fit: TransitionFit) -> Grid:
    """The four curves and their BIC, best first."""
    curves = sorted(fit.curves, key=lambda curve: curve.bic)
    best = curves[0].bic if curves else 0.0
    return Grid(
        ["curve", "parameters", "BIC", "behind the best"],
        [[c.name, str(c.parameters), number(c.bic, 1), number(c.bic - best, 1)] for c in curves],
    )


def all_metrics(numbers: Numbers) -> Grid:
    """Every metric by every variant: mean and interval."""
    rows = []
    for name in numbers.table.metrics():
        info = numbers.table.facts(name)
        means = [numbers.mean(variant, name) for variant in numbers.table.variants]
        texts = [f"{info.write(m.mean)} {info.interval(m.low, m.high)}".strip() for m in means]
        rows.append([" ".join(t for t in (info.title, info.arrow) if t), info.unit, *texts])
    return Grid(["metric", "unit", *(variant.label for variant in numbers.table.variants)], rows)


def undefined(table: Table) -> Grid:
    """Every metric that is no number here, and why."""
    rows = [[table.facts(name).title, why] for name, why in table.undefined.items()]
    return Grid(["metric", "why it is undefined here"], sorted(rows, key=lambda row: (row[1], row[0])))


def configuration(table: Table) -> Grid:
    """Settings in which a variant differs from the baseline; the replicate's own seed and pair are left out."""
    specs = {}
    for variant in table.variants:
        trial = next(iter(variant.done.values()), None) or variant.trials[0]
        specs[variant.label] = flatten(trial.part("spec") or trial.settings)
    base = specs.get(table.baseline.label, {}) if table.baseline else {}
    keys = sorted({k for spec in specs.values() for k in spec if spec.get(k) != base.get(k)} - {"data.pair"})
    rows = [[key, *(_plain(spec.get(key)) for spec in specs.values())] for key in keys]
    return Grid(["setting", *specs], rows)


def environment(table: Table) -> Grid:
    """What the numbers were made with; several values where trials differ."""
    found: dict[str, dict[str, None]] = {}
    for trial in table.done:
        for key, value in flatten(trial.part("environment")).items():
            found.setdefault(key, {})[_plain(value)] = None
    return Grid(["what", "value"], [[key, " | ".join(values)] for key, values in sorted(found.items())])


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) or (isinstance(value, Iterable) and not isinstance(value, bytes)):
        return json.dumps(value, sort_keys=True, default=str)
    return str(value)


def trials(table: Table) -> Grid:
    """Every planned trial with its status and time."""
    rows = []
    for trial in table.trials:
        seconds = trial.mean("train_seconds")
        time = f"{number(seconds, 0)} s" if math.isfinite(seconds) else "–"
        steps = trial.part("cost").get("steps")
        rows.append(
            [trial.name, trial.label, str(trial.seed), trial.pair or "–", trial.status, str(steps or "–"), time]
        )
    return Grid(["trial", "variant", "seed", "pair", "status", "steps", "training"], rows)
