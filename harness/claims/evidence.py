"""What the records say about one relation of a claim: an effect, its interval at any level, p for it and p against it.

A relation arrives resolved, as it stands in plan.json (see `harness.suite.claims`). Nothing is decided here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.claims import stats, trend
from harness.claims.stats import Array, Estimate, Interval
from harness.claims.transition import STEP, transition_fit
from harness.claims.words import Relation, axis, describe
from harness.ledger.table import Key, Table
from harness.terminal import count

TREND_LEVEL = 0.9  # of a trend's slope: 5 % on either side, asked for beside Page's test


@dataclass(frozen=True)
class Evidence:
    """``supports`` and ``refutes`` are p-values: small ones decide. ``interval`` gives (low, high) at a confidence.

    ``missing`` says why nothing can be decided; empty when something can. ``level`` is the confidence of an interval
    that Holm's correction leaves as it is.
    """

    text: str
    metric: str
    unit: str = ""
    effect: float = math.nan
    n: int = 0
    supports: float = math.nan
    refutes: float = math.nan
    interval: Callable[[float], tuple[float, float]] = lambda level: (math.nan, math.nan)
    level: float | None = None
    p_sign: float = math.nan
    p_attainable: float = math.nan
    test: str = ""
    improvement: Interval | None = None
    missing: str = ""
    notes: tuple[str, ...] = ()
    own_scale: bool = False  # the effect is no value of the metric: a correlation, a place on an axis


class Missing(Exception):
    """Why a relation cannot be judged, as the reason to be shown."""


def gather(table: Table, relation: Relation, *names: str) -> Evidence:
    """The evidence for one resolved relation. ``names`` seed its random draws, together with the suite's name."""
    text, metric = describe(relation, table.facts), str(relation.get("metric", ""))
    try:
        return _RELATIONS[relation["relation"]](table, relation, text, stats.generator(table.suite, *names))
    except Missing as reason:
        return Evidence(text, metric, table.facts(metric).unit, missing=str(reason))
    except KeyError as error:
        return Evidence(text, metric, missing=f"the plan's claim lacks {error}: run the suite again to write it anew")


def values_of(table: Table, name: str, metric: str) -> dict[Key, Array]:
    """Per-image values of each replicate of the variant ``name``. Missing when the cell or the metric failed."""
    variant = next((v for v in table.variants if v.label == name), None)
    if variant is None:
        raise Missing(f"the plan has no variant {name}")
    lost = [trial for trial in variant.trials if not trial.done]
    if lost:  # leaving out what failed would flatter the variant, and a look at a half-finished run decides too early
        kinds = sorted({"not run yet" if t.status == "missing" else t.status for t in lost})
        raise Missing(f"{len(lost)} of {count(len(variant.trials), 'trial')} of {name}: {', '.join(kinds)}")
    groups = variant.groups(metric)
    if not groups:
        why = sorted({str(t.part("invalid")[metric]) for t in variant.trials if metric in t.part("invalid")})
        raise Missing(f"{table.facts(metric).words} is no number for {name}" + (f" ({'; '.join(why)})" if why else ""))
    return groups


def shared(table: Table, names: Sequence[str], *metrics: str) -> tuple[list[Key], list[list[dict[Key, Array]]], str]:
    """Replicates that all variants have in all metrics, the values [metric][variant], and a note on those left out."""
    found = [[values_of(table, name, metric) for name in names] for metric in metrics]
    every = [groups for row in found for groups in row]
    keys = [key for key in every[0] if all(key in groups for groups in every)]
    planned = max(len(v.trials) for v in table.variants if v.label in names)
    if len(keys) < 2:
        raise Missing(f"{count(len(keys), 'replicate')} with all values, and two are the least that have a spread")
    left = planned - len(keys)
    return keys, found, f"{left} of {count(planned, 'replicate')} without this number" if left else ""


def _two_sided(estimate: Estimate, edge: float, sign: int) -> tuple[float, float]:
    """(p for, p against) the mean lying beyond ``edge`` in the direction ``sign``."""
    p = estimate.p(edge)
    return (p, 1.0) if sign * (estimate.mean - edge) > 0 else (1.0, p)


def _bounds(estimate: Estimate) -> Callable[[float], tuple[float, float]]:
    def interval(level: float) -> tuple[float, float]:
        found = estimate.interval(level)
        return found.low, found.high

    return interval


def _notes(*notes: str) -> tuple[str, ...]:
    return tuple(note for note in notes if note)


def _paired(table: Table, a: str, b: str, metric: str) -> tuple[list[Array], str]:
    keys, [[ours, theirs]], note = shared(table, (a, b), metric)
    return stats.paired_differences([ours[k] for k in keys], [theirs[k] for k in keys]), note


def _difference(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, sign, edge = relation["metric"], relation["sign"], relation["sign"] * relation["by"]
    differences, note = _paired(table, relation["a"], relation["than"], metric)
    found = stats.estimate(differences, rng)
    supports, refutes = _two_sided(found, edge, sign)
    test = stats.sign_flip([float(np.nanmean(d)) - edge for d in differences], rng)
    improvement = stats.probability_of_improvement([sign * d for d in differences], rng)
    return Evidence(
        text, metric, table.facts(metric).unit,
        found.mean, found.n, supports, refutes, _bounds(found),
        None, test.p, test.attainable, test.sentence(), improvement, notes=_notes(note),
    )  # fmt: skip


def _equivalent(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, within = relation["metric"], relation["within"]
    differences, note = _paired(table, relation["a"], relation["to"], metric)
    found = stats.estimate(differences, rng)
    p = max(found.p(within), found.p(-within))  # the interval must leave both margins out
    inside = abs(found.mean) < within
    return Evidence(
        text, metric, table.facts(metric).unit,
        found.mean, found.n, p if inside else 1.0, 1.0 if inside else p, _bounds(found),
        notes=_notes(note),
    )  # fmt: skip


def _level(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, sign, value = relation["metric"], relation["sign"], relation["value"]
    keys, [[groups]], note = shared(table, (relation["of"],), metric)
    found = stats.estimate([groups[k] for k in keys], rng)
    supports, refutes = _two_sided(found, value, sign)
    means = [float(np.nanmean(groups[k])) for k in keys]
    test = stats.sign_flip([mean - value for mean in means], rng)
    met = sum(sign * (mean - value) >= 0 for mean in means)
    low, high = stats.wilson(met, len(means))
    share = f"met in {met} of {count(len(means), 'replicate')} (Wilson 95 % interval {low:.0%} to {high:.0%})"
    return Evidence(
        text, metric, table.facts(metric).unit,
        found.mean, found.n, supports, refutes, _bounds(found),
        None, test.p, test.attainable, test.sentence(), notes=_notes(share, note),
    )  # fmt: skip


def _ordered(table: Table, relation: Relation) -> tuple[list[str], list[float]]:
    """Labels in the order of the axis, and the axis' values. Missing when fewer than three different values."""
    over = relation.get("over") or [variant.label for variant in table.variants]
    at = relation.get("at") or {}
    places = {name: float(at[name]) if name in at else _place(table, name, relation["in"]) for name in over}
    order = sorted(places, key=lambda name: places[name])
    if len(set(places.values())) < len(order) or len(order) < 3:
        raise Missing(
            f"{axis(relation['in'], table.facts)} does not put these variants into one order of three or more"
        )
    return order, [places[name] for name in order]


def _place(table: Table, name: str, cost: str) -> float:
    groups = values_of(table, name, "latent_cells" if cost == "cells" else cost)
    return float(np.mean([np.nanmean(values) for values in groups.values()]))


def _monotone(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, sign = relation["metric"], 1 if relation["direction"] == "rises" else -1
    order, _ = _ordered(table, relation)
    keys, [columns], note = shared(table, order, metric)
    images = [[column[k] for column in columns] for k in keys]
    alike = [len({row.shape for row in rows}) == 1 for rows in images]
    means = np.array([[np.nanmean(row) for row in rows] for rows in images])
    groups = [
        trend.slopes(np.stack(rows, axis=1)) if same else trend.slopes(mean[None])
        for rows, same, mean in zip(images, alike, means, strict=True)
    ]
    slope = stats.estimate(groups, rng)
    test = trend.page(means, rng)
    low, high = _bounds(slope)(TREND_LEVEL)
    rises, falls = low > 0, high < 0
    backs = [
        (one, other, _two_sided(stats.estimate(list((means[:, i + 1] - means[:, i])[:, None]), rng), 0.0, -sign)[0])
        for i, (one, other) in enumerate(itertools.pairwise(order))
    ]
    worst = min(backs, key=lambda step: step[2])
    p_back = min(1.0, 2 * len(backs) * worst[2])  # 2: Page's test may refute as well
    against = min(test.p if (falls if sign > 0 else rises) else 1.0, p_back)
    words = f"Page's trend test p = {test.p:.2g} (two-sided; {2 * test.attainable:.1g} attainable)"
    notes = _notes(
        f"order {' < '.join(order)}",
        f"the step from {worst[0]} to {worst[1]} goes the other way" if p_back <= 0.05 else "",
        note,
    )
    return Evidence(
        text, metric, table.facts(metric).unit,
        slope.mean, slope.n, test.p if (rises if sign > 0 else falls) else 1.0, against,
        _bounds(slope), TREND_LEVEL, test.p, min(1.0, 2 * test.attainable), words, notes=notes,
    )  # fmt: skip


def _step(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, between = relation["metric"], tuple(relation["between"])
    order, at = _ordered(table, relation)
    keys, [columns], note = shared(table, order, metric)
    points = [(x, float(np.nanmean(column[k])), k) for x, column in zip(at, columns, strict=True) for k in keys]
    if min(at) <= 0:
        raise Missing(f"{axis(relation['in'], table.facts)} must be positive for a fit in its logarithm")
    x, y, replicates = zip(*points, strict=True)
    fit = transition_fit(x, y, replicates, between)
    if not fit.curves:
        raise Missing(f"a transition fit {fit.reason}")
    low, high = fit.midpoint_interval
    is_step = fit.verdict == STEP
    wrong_way = is_step and relation.get("sign", 0) * fit.curves[-1].slope < 0
    inside = between[0] <= low and high <= between[1]
    odds = 1 / (1 + math.exp(min(700.0, fit.bic_gain / 2)))  # posterior odds against a step, from the BIC gain
    outside = is_step and (high < between[0] or low > between[1])
    supports = odds if is_step and inside and not wrong_way else 1.0
    refutes = min(odds if wrong_way or outside else 1.0, fit.p_step if not is_step else 1.0)
    return Evidence(
        text, metric, axis(relation["in"], table.facts),
        fit.midpoint, len(keys), supports, refutes, lambda level: (low, high),
        0.95, own_scale=True,
        test=f"midpoint at {fit.midpoint:.3g} of {axis(relation['in'], table.facts)}: {fit.verdict} ({fit.reason})",
        notes=_notes(note),
    )  # fmt: skip


def _correlation(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, other, kind = relation["metric"], relation["with"], relation["is"]
    names = relation.get("over") or [variant.label for variant in table.variants]
    if len(names) < 3:
        raise Missing("a correlation needs three variants or more")
    keys, found, note = shared(table, names, metric, other)
    x, y = (np.array([[np.nanmean(column[k]) for column in columns] for k in keys]) for columns in found)
    z = trend.correlation(x, y, rng)
    if not math.isfinite(z.mean):
        raise Missing(f"{table.facts(metric).words} or {table.facts(other).words} is the same for all variants")
    edge = math.atanh(relation["within"])
    if kind == "none":
        p, inside = max(z.p(edge), z.p(-edge)), abs(z.mean) < edge
        supports, refutes = (p, 1.0) if inside else (1.0, p)
    else:
        sign = 1 if kind == "positive" else -1
        supports, refutes = _two_sided(z, sign * edge, sign)

    def interval(level: float) -> tuple[float, float]:
        low, high = _bounds(z)(level)
        return math.tanh(low), math.tanh(high)

    each = f"r of {len(names)} variants, each replicate's mean removed"
    return Evidence(
        text, metric, "r", math.tanh(z.mean), z.n, supports, refutes, interval, own_scale=True, notes=_notes(each, note)
    )


_RELATIONS: Mapping[str, Callable[[Table, Relation, str, np.random.Generator], Evidence]] = {
    "difference": _difference,
    "equivalent": _equivalent,
    "level": _level,
    "monotone": _monotone,
    "step": _step,
    "correlation": _correlation,
}


def unmet(table: Table, condition: Relation) -> str:
    """Why a condition of a claim does not hold on the mean over replicates; empty when it does."""
    metric, name = condition["metric"], condition["of"]
    try:
        groups = values_of(table, name, metric)
    except Missing as reason:
        return f"void condition: {reason}"
    mean = float(np.mean([np.nanmean(values) for values in groups.values()]))
    for word, sign in (("at_least", 1), ("at_most", -1)):
        if word in condition and sign * (mean - condition[word]) < 0:
            told = f"{table.facts(metric).words} of {name} is {table.facts(metric).write(mean)}"
            return f"void condition: {told}, {word.replace('_', ' ')} {condition[word]:g} needed"
    return ""
