"""What the records say about one relation of a claim: an effect, bounds at any confidence, p for it and p against it.

Here stands what the relations of `harness.claims.relations` rest on: the values, one row for each pair of people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.claims import stats
from harness.claims.stats import Array, Estimate, Interval, SignFlip
from harness.ledger.table import Key, Replicates, Table
from harness.terminal import count


@dataclass(frozen=True)
class Evidence:
    """``supports`` and ``refutes`` are one-sided p-values: small ones decide.

    ``bounds`` gives (low, high), each of which holds with the confidence asked for. ``missing`` says why nothing can be
    decided; empty when something can. ``margin`` is where the claim ends, NaN where it is no value of the effect.
    """

    text: str
    metric: str
    unit: str = ""
    effect: float = math.nan
    n: int = 0
    over: str = "pair"  # pair | seed
    supports: float = math.nan
    refutes: float = math.nan
    bounds: Callable[[float], tuple[float, float]] = lambda confidence: (math.nan, math.nan)
    margin: float = math.nan
    flips: Callable[[], SignFlip] | None = None
    improvement: Callable[[], Interval] | None = None
    test: str = ""
    missing: str = ""
    notes: tuple[str, ...] = ()
    own_scale: bool = False  # the effect is no value of the metric: a correlation, a place on an axis


class Missing(Exception):
    """Why a relation cannot be judged, as the reason to be shown."""


@dataclass(frozen=True)
class Rows:
    """One metric of several variants: ``values`` (n, k), rows are independent units, columns variants."""

    values: Array
    over: str
    keys: Sequence[Key]
    images: Sequence[Mapping[Key, Array]]  # of each variant
    notes: tuple[str, ...] = field(default=())


def replicates_of(table: Table, name: str, metric: str) -> Replicates:
    """What the variant ``name`` has of a metric. Missing when a planned trial is not done, or none has a number."""
    variant = next((v for v in table.variants if v.label == name), None)
    if variant is None:
        raise Missing(f"the plan has no variant {name}")
    found = variant.replicates(metric)
    if found.unfinished:  # leaving out what failed would flatter the variant; a look half-way decides too early
        kinds = ", ".join(sorted(set(found.unfinished.values())))
        raise Missing(f"{len(found.unfinished)} of {count(len(variant.trials), 'trial')} of {name}: {kinds}")
    if not found:
        why = "; ".join(sorted(filter(None, set(found.undefined.values()))))
        raise Missing(f"{table.facts(metric).words} is undefined for {name}" + (f" ({why})" if why else ""))
    return found


def rows_of(table: Table, names: Sequence[str], *metrics: str) -> list[Rows]:
    """One `Rows` for each metric, over the replicates in which all variants have all metrics. Missing below two."""
    found = [[replicates_of(table, name, metric) for name in names] for metric in metrics]
    every = [one.means for row in found for one in row]
    keys = [key for key in every[0] if all(key in means for means in every)]
    planned = max(len(v.trials) for v in table.variants if v.label in names)
    left = planned - len(keys)
    notes = [f"{left} of {count(planned, 'replicate')} without this number"] if left else []
    rows = []
    for row in found:
        columns = [stats.units({key: one.means[key] for key in keys}) for one in row]
        values, over = np.stack([c[0] for c in columns], axis=1), columns[0][1]
        if len(values) < 2:
            raise Missing(f"{count(len(values), over)} with all values, and two are the least that have a spread")
        more = [f"{len(keys)} replicates of {count(len(values), over)}"] if len(keys) > len(values) else []
        more += ["one pair of people: it speaks of these two only"] if over == "seed" else []
        rows.append(Rows(values, over, keys, [one.images for one in row], (*notes, *more)))
    return rows


def one_sided(estimate: Estimate, edge: float, sign: int) -> tuple[float, float]:
    """(p for, p against) the mean lying beyond ``edge`` in the direction ``sign``."""
    above, below = estimate.above(edge), estimate.below(edge)
    return (above, below) if sign > 0 else (below, above)


def unmet(table: Table, condition: Mapping[str, object]) -> str:
    """Why a condition of a claim does not hold on the mean over replicates; empty when it does."""
    metric, name = str(condition["metric"]), str(condition["of"])
    try:
        mean = stats.estimate_of(replicates_of(table, name, metric).means).mean
    except Missing as reason:
        return f"void condition: {reason}"
    for word, sign in (("at_least", 1), ("at_most", -1)):
        bound = condition.get(word)
        if isinstance(bound, int | float) and sign * (mean - bound) < 0:
            found = f"{table.facts(metric).words} of {name} is {table.facts(metric).write(mean)}"
            return f"void condition: {found}, {word.replace('_', ' ')} {bound:g} needed"
    return ""
