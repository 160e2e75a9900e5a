"""The tables of the report as plain values: every cell is text, ready for HTML or Markdown."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.report.answer import flatten
from harness.report.load import Table, Variant
from harness.report.numbers import REFERENCES, Difference, Numbers
from harness.report.wording import Label, count, label, number
from harness.stats import Interval
from harness.transition import TransitionFit

SEEN = "‡ marks a grid that is there: above 3 dB, and above twice the data's own floor where that is known."
MARK = {"better": "▲", "worse": "▼", "higher": "▲", "lower": "▼", "no clear difference": "≈"}


@dataclass(frozen=True)
class Grid:
    """A plain table."""

    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Check:
    """One item of the validity strip. ``state``: good | note | bad, shown by a sign and a word, not by colour alone."""

    name: str
    value: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class Cell:
    """One metric of one variant: mean, interval and (unless it is the baseline) the paired difference."""

    metric: Label
    mean: Interval
    difference: Difference | None

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
    pareto: bool
    values: list[Cell]


def cell(numbers: Numbers, variant: Variant, metric: str) -> Cell:
    base = numbers.table.baseline
    compared = base is not None and base.label != variant.label
    difference = numbers.difference(variant, base, metric) if compared and base is not None else None
    return Cell(label(metric), numbers.mean(variant, metric), difference)


def decision(numbers: Numbers) -> list[Row]:
    """One row a variant, in plan order, over the headline metrics."""
    table, metrics = numbers.table, numbers.headlines()
    front: set[str] = set()
    if {"identity_transfer", "expression_error"} <= set(metrics):
        front = numbers.pareto("identity_transfer", "expression_error")
        front = front if len(front) < len(table.variants) else set()  # a mark on every row tells nothing
    return [
        Row(
            label=variant.label,
            cells=number(variant.cells, 0) if variant.cells else "–",
            done=len(variant.done),
            planned=len(variant.trials),
            baseline=table.baseline is not None and variant.label == table.baseline.label,
            pareto=variant.label in front,
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
            rows.append([title, *(label(m).write(v) for m, v in zip(metrics, values, strict=True))])
    return Grid(["reference", *(label(m).title for m in metrics)], rows)


def validity(numbers: Numbers) -> list[Check]:
    """What a reader must know before believing a number."""
    table = numbers.table
    statuses = Counter(trial.status for trial in table.trials)
    planned, done = len(table.trials), statuses["done"]
    checks = [Check("Trials done", f"{done} of {planned}", "good" if done == planned else "bad")]
    lost = [f"{n} {status}" for status, n in sorted(statuses.items()) if status != "done"]
    bad = any(status not in ("done", "missing") for status in statuses)
    checks.append(Check("Failed or missing", ", ".join(lost) or "none", "bad" if bad else "note" if lost else "good"))
    checks.append(_equal("Training steps", [t.part("cost").get("steps") for t in table.done], "steps"))
    checks.append(_data(table))
    sizes = [float(t.part("cost").get("parameters") or 0) for t in table.done]
    if sizes and min(sizes) > 0:
        ratio = max(sizes) / min(sizes)
        text = "equal" if ratio < 1.001 else f"largest {ratio:.2f} × smallest"
        checks.append(Check("Parameters", text, "good" if ratio < 1.05 else "note"))
    checks.append(_invalid(table))
    void = [t.part("cost").get("train_images_per_s", {}).get("void") for t in table.done]
    why = "; ".join(sorted({str(v) for v in void if v}))
    hit = sum(bool(v) for v in void)
    checks.append(Check("Void throughput", f"{hit} of {done}" if hit else "none", "note" if hit else "good", why))
    checks.append(_noise(numbers))
    if any(not t.part("data").get("truth", True) for t in table.done):
        checks.append(
            Check("Ground truth", "none", "note", "own photographs: measures against truth are not available")
        )
    dropped = max((len(t.part("data").get("quarantined") or []) for t in table.done), default=0)
    if dropped:
        checks.append(Check("Quarantined images", str(dropped), "note", "unreadable files, left out of training"))
    stale = sum(trial.outdated for trial in table.done)
    if stale:
        checks.append(Check("Outdated scores", f"{stale} of {done}", "bad", "scored by older metrics than planned"))
    if table.damaged:
        reasons = "; ".join(why for _, why in table.damaged)
        checks.append(Check("Damaged files", str(len(table.damaged)), "bad", reasons))
    if table.unplanned:
        text = "of older code, data or options; not counted here"
        checks.append(Check("Other records in the folder", str(table.unplanned), "note", text))
    return checks


def _invalid(table: Table) -> Check:
    """Metrics that are no numbers here, gathered by their reason."""
    invalid = {name: str(why) for trial in table.done for name, why in trial.part("invalid").items()}
    if not invalid:
        return Check("Invalid metrics", "none", "good")
    grouped: dict[str, list[str]] = {}
    for name, why in sorted(invalid.items()):
        grouped.setdefault(why, []).append(label(name).title)
    parts = [
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {why}"
        for why, names in grouped.items()
    ]
    return Check("Invalid metrics", str(len(invalid)), "note", "; ".join(parts))


def _equal(name: str, values: list[Any], unit: str) -> Check:
    known = sorted({v for v in values if v is not None})
    if not known:
        return Check(name, "unknown", "note")
    if len(known) == 1:
        return Check(name, f"equal ({number(float(known[0]), 0)})", "good")
    return Check(name, f"{known[0]}–{known[-1]} {unit}", "bad", "trials are not equally trained")


def _data(table: Table) -> Check:
    by_key: dict[object, set[str]] = {}
    for trial in table.done:
        by_key.setdefault(trial.key, set()).add(str(trial.part("data").get("fingerprint")))
    mixed = [key for key, prints in by_key.items() if len(prints) > 1]
    if mixed:
        detail = "within a replicate the variants saw different data"
        return Check("Data", f"differ in {count(len(mixed), 'replicate')}", "bad", detail)
    return Check("Data", "equal in each replicate" if by_key else "unknown", "good" if by_key else "note")


def _noise(numbers: Numbers) -> Check:
    """Spread of the baseline's replicates on the answer's metric: differences below it are noise."""
    base, metric = numbers.table.baseline, numbers.primary
    values = list(numbers.replicates(base, metric).values()) if base and metric else []
    if metric is None or len(values) < 2:
        return Check("Noise floor", "unknown", "note", "needs two replicates of the baseline")
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    detail = f"standard deviation of {label(metric).title.lower()} over the baseline's {len(values)} replicates"
    return Check("Noise floor", f"± {label(metric).write(spread)}", "good", detail)


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


def lattice(numbers: Numbers) -> Grid:
    """Checkerboard energy of each variant by level: decibels, amplitude and the data's own floor; ‡ where it is seen.

    Seen: the scorer's own flag in most replicates; without a flag, above 3 dB.
    """
    have = set(numbers.table.metrics())
    kind = "cbe_" if "cbe_db_1" in have else "cbe_image_"
    names = [n for j in (1, 2, 3) for n in (f"{kind}db_{j}", f"{kind}rms_{j}", f"{kind}floor_db_{j}") if n in have]
    rows = []
    for variant in numbers.table.variants:
        texts = []
        for name in names:
            mean, level = numbers.mean(variant, name), name[-1]
            flag = numbers.mean(variant, f"cbe_flag_{level}").mean if f"cbe_flag_{level}" in have else math.nan
            seen = flag > 0.5 if math.isfinite(flag) else mean.mean > 3
            bounds = "" if "floor" in name else label(name).interval(mean.low, mean.high)
            mark = " ‡" if seen and f"{kind}db_" in name else ""
            texts.append(f"{label(name).write(mean.mean)} {bounds}".strip() + mark)
        rows.append([variant.label, *texts])
    heads = [f"{label(n).title}, {label(n).unit}" for n in names]
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
        info = label(name)
        means = [numbers.mean(variant, name) for variant in numbers.table.variants]
        texts = [f"{info.write(m.mean)} {info.interval(m.low, m.high)}".strip() for m in means]
        rows.append([" ".join(t for t in (info.title, info.arrow) if t), info.unit, *texts])
    return Grid(["metric", "unit", *(variant.label for variant in numbers.table.variants)], rows)


def configuration(table: Table) -> Grid:
    """Settings in which a variant differs from the baseline; the replicate's own seed and pair are left out."""
    specs = {}
    for variant in table.variants:
        trial = next(iter(variant.done.values()), None) or variant.trials[0]
        specs[variant.label] = flatten(trial.part("spec") or trial.cell)
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
        seconds = trial.values("train_seconds")
        time = f"{number(float(seconds[0]), 0)} s" if seconds.size else "–"
        steps = trial.part("cost").get("steps")
        rows.append(
            [trial.name, trial.label, str(trial.seed), trial.pair or "–", trial.status, str(steps or "–"), time]
        )
    return Grid(["trial", "variant", "seed", "pair", "status", "steps", "training"], rows)
