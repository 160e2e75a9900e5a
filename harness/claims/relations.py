"""The relations of claims: a difference, an equivalence, a bound, a trend, a step, a correlation.

A relation arrives resolved, as it stands in plan.json (see `harness.suite.claims`). Nothing is decided here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from harness.claims import stats, trend
from harness.claims.blocks import block_estimate
from harness.claims.evidence import Evidence, Missing, Rows, one_sided, replicates_of, rows_of
from harness.claims.transition import STEP, transition_fit
from harness.claims.words import Relation, axis, describe
from harness.ledger.facts import Facts
from harness.ledger.table import Table
from harness.terminal import count


def gather(table: Table, relation: Relation, *names: str) -> Evidence:
    """The evidence for one resolved relation. ``names`` seed its random draws, together with the suite's name."""
    text, metric = describe(relation, table.facts), str(relation.get("metric", ""))
    try:
        return _RELATIONS[relation["relation"]](table, relation, text, stats.generator(table.suite, *names))
    except Missing as reason:
        return Evidence(text, metric, table.facts(metric).unit, missing=str(reason))
    except KeyError as error:
        return Evidence(text, metric, missing=f"the plan's claim lacks {error}: run the suite again to write it anew")


def _improvement(rows: Rows, sign: int, rng: np.random.Generator) -> stats.Interval:
    """Share of images on which the first variant is better than the second, in the direction ``sign``."""
    a, b = rows.images
    pairs = [(a[key], b[key]) for key in rows.keys]
    return stats.probability_of_improvement([sign * (x - y) for x, y in pairs if x.size and x.shape == y.shape], rng)


def _difference(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, sign, edge = relation["metric"], relation["sign"], relation["sign"] * relation["by"]
    facts = table.facts(metric)
    [rows] = rows_of(table, (relation["a"], relation["than"]), metric)
    differences = rows.values[:, 0] - rows.values[:, 1]
    found = stats.estimate(differences, rows.over)
    supports, refutes = one_sided(found, edge, sign)
    return Evidence(
        text, metric, facts.unit, found.mean, found.n, rows.over, supports, refutes, partial(_clipped, found, facts),
        margin=edge, notes=rows.notes,
        flips=lambda: stats.sign_flip(sign * (differences - edge), rng, "greater", rows.over),
        improvement=lambda: _improvement(rows, sign, rng),
    )  # fmt: skip


def _clipped(found: stats.Estimate, facts: Facts, confidence: float) -> tuple[float, float]:
    """Bounds of a difference of two values of the metric."""
    low, high = facts.range
    return found.clipped(low - high, high - low, confidence)


def _equivalent(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, within, facts = relation["metric"], relation["within"], table.facts(relation["metric"])
    [rows] = rows_of(table, (relation["a"], relation["to"]), metric)
    found = stats.estimate(rows.values[:, 0] - rows.values[:, 1], rows.over)
    return Evidence(
        text, metric, facts.unit, found.mean, found.n, rows.over, found.inside(within), found.outside(within),
        partial(_clipped, found, facts), margin=math.copysign(within, found.mean), notes=rows.notes,
    )  # fmt: skip


def _level(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, sign, value = relation["metric"], relation["sign"], relation["value"]
    facts = table.facts(metric)
    [rows] = rows_of(table, (relation["of"],), metric)
    values = rows.values[:, 0]
    found = stats.estimate(values, rows.over)
    supports, refutes = one_sided(found, value, sign)
    met = int(np.sum(sign * (values - value) >= 0))
    low, high = stats.wilson(met, len(values))
    share = f"met in {met} of {count(len(values), rows.over)} (Wilson 95 % interval {low:.0%} to {high:.0%})"
    return Evidence(
        text, metric, facts.unit, found.mean, found.n, rows.over, supports, refutes,
        partial(found.clipped, *facts.range), margin=value, notes=(share, *rows.notes),
        flips=lambda: stats.sign_flip(sign * (values - value), rng, "greater", rows.over),
    )  # fmt: skip


def _faster(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    """How many times as many steps a second: blocks of readings that took turns are the units, not pairs of people."""
    metric, found = relation["metric"], table.steps
    lacking = [name for name in (relation["a"], relation["than"]) if name not in found]
    if lacking:
        raise Missing(f"no step of {' and '.join(lacking)} was timed: harness run does so where steps.json lacks it")
    ratio = block_estimate(np.log(np.asarray(found[relation["than"]]) / np.asarray(found[relation["a"]])))
    supports, refutes = one_sided(ratio, math.log1p(relation["by"]), 1)

    def bounds(confidence: float) -> tuple[float, float]:
        low, high = ratio.bounds(confidence)
        return math.exp(low), math.exp(high)

    return Evidence(
        text, metric, "times as fast", math.exp(ratio.mean), ratio.n, ratio.over, supports, refutes, bounds,
        margin=1 + relation["by"], own_scale=True, notes=(f"{len(found[relation['a']])} steps of each, in turns",),
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
    return stats.estimate_of(replicates_of(table, name, "latent_cells" if cost == "cells" else cost).means).mean


def _monotone(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    """Supported by Page's test and the fitted change alike, each at the claim's level; a clear step back refutes."""
    metric, sign = relation["metric"], 1 if relation["direction"] == "rises" else -1
    order, _ = _ordered(table, relation)
    [rows] = rows_of(table, order, metric)
    change = stats.estimate(trend.slopes(rows.values), rows.over)
    test = trend.page(rows.values, rng)
    along, against = one_sided(change, 0.0, sign)
    page_along, page_against = (test.rises, test.falls) if sign > 0 else (test.falls, test.rises)
    steps = [
        (one_sided(stats.estimate(rows.values[:, i + 1] - rows.values[:, i]), 0.0, -sign)[0], one, other)
        for i, (one, other) in enumerate(itertools.pairwise(order))
    ]
    p_back, one, other = min(steps)
    p_back = min(1.0, len(steps) * p_back)
    notes = [f"order {' < '.join(order)}"]
    notes += [f"the step from {one} to {other} goes the other way"] if p_back <= 0.05 else []
    return Evidence(
        text, metric, table.facts(metric).unit, change.mean, change.n, rows.over, max(along, page_along),
        min(1.0, 2 * min(max(against, page_against), p_back)),  # 2: there are two ways to refute it
        partial(_clipped, change, table.facts(metric)), margin=0.0, notes=(*notes, *rows.notes),
        test=f"Page's trend test p = {page_along:.2g} ({test.attainable:.1g} attainable)",
        flips=lambda: stats.SignFlip(page_along, test.attainable, change.n, rows.over),
    )  # fmt: skip


def _step(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, between = relation["metric"], tuple(relation["between"])
    order, at = _ordered(table, relation)
    [rows] = rows_of(table, order, metric)
    if min(at) <= 0:
        raise Missing(f"{axis(relation['in'], table.facts)} must be positive for a fit in its logarithm")
    n = len(rows.values)
    fit = transition_fit(np.tile(at, n), rows.values.ravel(), np.repeat(np.arange(n), len(at)), between)
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
    where = f"{axis(relation['in'], table.facts)}, {'where the step lies' if is_step else 'no step was found'}"
    return Evidence(
        text, metric, where, fit.midpoint, n, rows.over,
        supports, refutes,
        lambda confidence: (low, high), own_scale=True, notes=rows.notes,
        test=f"midpoint at {fit.midpoint:.3g} of {axis(relation['in'], table.facts)}: {fit.verdict} ({fit.reason})",
    )  # fmt: skip


def _correlation(table: Table, relation: Relation, text: str, rng: np.random.Generator) -> Evidence:
    metric, other = relation["metric"], relation["with"]
    names = relation.get("over") or [variant.label for variant in table.variants]
    if len(names) < 3:
        raise Missing("a correlation needs three variants or more")
    x, y = rows_of(table, names, metric, other)
    z = stats.estimate(trend.fisher_z(x.values, y.values), x.over)
    if z.n < len(x.values):
        raise Missing(
            f"{table.facts(metric).words} or {table.facts(other).words} is the same for all variants of a replicate"
        )
    edge = math.atanh(relation["within"])
    supports, refutes = {
        "none": lambda: (z.inside(edge), z.outside(edge)),
        "positive": lambda: one_sided(z, edge, 1),
        "negative": lambda: one_sided(z, -edge, -1),
        "not_positive": lambda: one_sided(z, edge, -1),
        "not_negative": lambda: one_sided(z, -edge, 1),
    }[relation["is"]]()

    def bounds(confidence: float) -> tuple[float, float]:
        low, high = z.bounds(confidence)
        return math.tanh(low), math.tanh(high)

    each = f"r over {x.values.shape[1]} variants in each replicate, mean of Fisher's z"
    return Evidence(
        text, metric, f"as r with {table.facts(other).words}", math.tanh(z.mean), z.n, x.over, supports, refutes,
        bounds, own_scale=True, notes=(each, *x.notes),
    )  # fmt: skip


_RELATIONS: Mapping[str, Callable[[Table, Relation, str, np.random.Generator], Evidence]] = {
    "difference": _difference,
    "equivalent": _equivalent,
    "faster": _faster,
    "level": _level,
    "monotone": _monotone,
    "step": _step,
    "correlation": _correlation,
}
