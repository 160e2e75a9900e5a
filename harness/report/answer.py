"""The answer in plain English, made from the numbers alone, and the shape of the curve over latent cells."""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.claims.transition import TransitionFit, transition_fit
from harness.ledger.facts import Facts
from harness.ledger.number_format import number
from harness.ledger.table import Table, Variant
from harness.report.numbers import REFERENCES, Difference, Numbers
from harness.terminal import count

LEAKAGE = ("leak_gap", "identity_variance_share", "swap_error", "identity_transfer")


def answer(numbers: Numbers) -> list[str]:
    """Two to five sentences. Says "falls" or "rises" only where the paired interval leaves zero out."""
    table, metric = numbers.table, numbers.primary
    if metric is None:
        return ["No trial has finished with a score yet, so there is no answer."]
    first, last = _ends(table, numbers, metric)
    sentences: list[str] = []
    why = {str(t.part("invalid")["identity_transfer"]) for t in table.done if "identity_transfer" in t.part("invalid")}
    if not table.truth:
        sentences += _of_photographs(table)
    elif not metric.startswith(("swap_score", "identity", "id_")):
        reason = f" ({'; '.join(sorted(why))})" if why else ""
        sentences.append(
            f"Identity transfer is no number here{reason}, so what follows does not say whether swaps work."
        )
    if first is None or last is None:
        only = next(v for v in table.variants if numbers.scored(v, metric))
        sentences.append(f"{_title(numbers, metric)} is {_value(numbers, only, metric)} for {_place(only, False)}.")
    else:
        sentences.append(_trend(numbers, metric, first, last))
        sentences += _others(numbers, metric, last)
    sentences += _ladder(numbers, metric)
    if metric.startswith(("swap_score", "identity_transfer")) and first is not None and last is not None:
        sentences += _condition(numbers, first, last)
    fit = fit_transition(numbers)
    if fit is not None:
        name, result = fit
        reason = result.reason.split(";")[0]
        sentences.append(f"Shape of {numbers.table.facts(name).words} over cells: {result.verdict} ({reason}).")
    return sentences


def _of_photographs(table: Table) -> list[str]:
    """What can be known of own pictures, and what would unlock more."""
    found = ["On pictures of your own no exact swap exists, so identity transfer has no number here."]
    locked = {str(t.part("invalid").get("id_cos_target", "")) for t in table.done} - {""}
    if locked:
        found[0] += f" Whom a swap shows is not scored either: {'; '.join(sorted(locked))}."
    found.append("What can be known without a truth stands first in the table.")
    return found


def along_cells(table: Table) -> list[Variant]:
    """The variants with latent cells that set what the baseline sets; a side arm sets more, and is off the axis."""
    base = table.baseline
    return [v for v in table.variants if v.latent_cells and (base is None or v.settings.keys() == base.settings.keys())]


def by_cells(table: Table) -> bool:
    """Whether the variants differ in their number of latent cells, so that cells are the axis of the question."""
    cells = [variant.latent_cells for variant in along_cells(table)]
    most = max(len(cells), sum(variant.latent_cells is not None for variant in table.variants))
    return len(set(cells)) >= 2 and len(set(cells)) * 2 > most


def fit_transition(numbers: Numbers) -> tuple[str, TransitionFit] | None:
    """The transition fit of the first leakage metric that exists, over every replicate.

    None without a cell axis, or with fewer than four points on it.
    """
    places = along_cells(numbers.table)
    if not by_cells(numbers.table) or len({variant.latent_cells for variant in places}) < 4:
        return None
    for metric in LEAKAGE:
        points = [
            (variant.latent_cells, value, key)
            for variant in places
            if variant.latent_cells
            for key, value in numbers.replicates(variant, metric).items()
        ]
        if points:
            cells, values, keys = zip(*points, strict=True)
            shared = len(points) > len(set(cells))
            return metric, transition_fit([float(c) for c in cells], values, keys if shared else None)
    return None


def _ends(table: Table, numbers: Numbers, metric: str) -> tuple[Variant | None, Variant | None]:
    """The two variants that the question names: fewest and most cells, else the baseline and the last of the plan."""
    scored = [v for v in table.variants if numbers.scored(v, metric)]
    if by_cells(table):
        scored = sorted((v for v in along_cells(table) if v in scored), key=lambda v: v.latent_cells or 0.0)
        return (scored[0], scored[-1]) if len(scored) > 1 else (None, None)
    base = table.baseline
    others = [v for v in scored if base is None or v.label != base.label]
    return (base, others[-1]) if base in scored and others else (None, None)


def _title(numbers: Numbers, metric: str) -> str:
    info = numbers.table.facts(metric)
    return f"{info.title} ({info.description})" if info.description else info.title


def _place(variant: Variant, cells: bool) -> str:
    return (
        f"{number(variant.latent_cells, 0)} cells ({variant.label})"
        if cells and variant.latent_cells
        else variant.label
    )


def _value(numbers: Numbers, variant: Variant, metric: str) -> str:
    info, mean = numbers.table.facts(metric), numbers.mean(variant, metric)
    return " ".join(part for part in (info.write(mean.mean), info.unit, info.interval(mean.low, mean.high)) if part)


def _trend(numbers: Numbers, metric: str, first: Variant, last: Variant) -> str:
    cells, info = by_cells(numbers.table), numbers.table.facts(metric)
    change = numbers.difference(last, first, metric)
    a, b = (info.write(numbers.mean(v, metric).mean) for v in (first, last))
    at = "at" if cells else "for"
    ends = f"from {a} {at} {_place(first, cells)} to {b} {at} {_place(last, cells)}"
    title, evidence = _title(numbers, metric), _evidence(info, change)
    if not change.interval.excludes_zero:
        both = f"{a} {at} {_place(first, cells)} and {b} {at} {_place(last, cells)}"
        return f"{title} shows no clear difference: {both}; {evidence}."
    return f"{title} {'falls' if change.interval.high < 0 else 'rises'} {ends}; {evidence}."


def _evidence(info: Facts, change: Difference) -> str:
    interval = change.interval
    if interval.n == 0:
        return "no pair has both, so there is no paired difference"
    if not interval.known:
        return f"paired difference {info.write(interval.mean)}, no interval from {count(interval.n, interval.over)}"
    return (
        f"paired difference {info.write(interval.mean)}, 95 % interval {info.interval(interval.low, interval.high)}, "
        f"{count(interval.n, interval.over)} that both have; {change.test.sentence()}"
    )


def _others(numbers: Numbers, metric: str, told: Variant) -> list[str]:
    """Without a cell axis: the other variants against the baseline, four at most."""
    table = numbers.table
    if by_cells(table) or table.baseline is None:
        return []
    rest = [
        v for v in table.variants if v.label not in (told.label, table.baseline.label) and numbers.scored(v, metric)
    ]
    parts = []
    for variant in rest[:4]:
        change = numbers.difference(variant, table.baseline, metric)
        bounds = numbers.table.facts(metric).interval(change.interval.low, change.interval.high)
        parts.append(f"{variant.label} {numbers.table.facts(metric).write(change.interval.mean)} {bounds}".strip())
    more = f" ({len(rest) - 4} more in the table)" if len(rest) > 4 else ""
    return [f"Differences of the others to {table.baseline.label}: {'; '.join(parts)}{more}."] if parts else []


def _ladder(numbers: Numbers, metric: str) -> list[str]:
    known = {name: numbers.reference(name, metric) for name in REFERENCES}
    write = numbers.table.facts(metric).write
    parts = [f"{write(v)} for the {REFERENCES[name]}" for name, v in known.items() if math.isfinite(v)]
    if not parts:
        return []
    return [f"On the same images it is {' and '.join(filter(None, (', '.join(parts[:-1]), parts[-1])))}."]


def _condition(numbers: Numbers, first: Variant, last: Variant) -> list[str]:
    """Transfer without expression is a mean face: the expression error stands beside it."""
    metric = next((m for m in ("expression_error", "landmark_error") if numbers.scored(first, m)), None)
    if metric is None or not numbers.scored(last, metric):
        return []
    cells = by_cells(numbers.table)
    worst = numbers.reference("mean_face", metric)
    against = f" (mean face: {numbers.table.facts(metric).write(worst)})" if math.isfinite(worst) else ""
    return [
        f"{numbers.table.facts(metric).title} is {_value(numbers, first, metric)} "
        f"{'at' if cells else 'for'} {_place(first, cells)} and {_value(numbers, last, metric)} "
        f"{'at' if cells else 'for'} {_place(last, cells)}{against}."
    ]


def flatten(spec: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mapping -> {"model.grid": 3}."""
    flat: dict[str, object] = {}
    for key, value in spec.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat
