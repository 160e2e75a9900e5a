"""Rank correlations between what a metric says with the truth hidden and what an exact metric says, over variants.

Spearman's correlation within each replicate (all variants share its people and pictures), signed so that 1 means that
both put the variants in the same order from good to bad; then the mean over replicates with Student's interval. Of one
replicate the interval is Fisher's, over its variants.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from harness.ledger.table import Key, Table

FEWEST = 3  # variants: two are always ranked right or wrong
CONFIDENCE = 0.95

Values = Mapping[Key, Mapping[str, Mapping[str, float]]]  # {replicate: {variant: {metric: with the truth hidden}}}


@dataclass(frozen=True)
class Rank:
    """How a metric ranks variants beside an exact one: -1 to 1, NaN bounds where there is no interval."""

    metric: str
    title: str
    against: str
    rho: float
    low: float
    high: float
    replicates: int
    variants: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def ranks(table: Table, hidden: Values, against: Sequence[str]) -> list[Rank]:
    """A row for each metric of `hidden` that has a better side, and each exact one; the best first.

    Left out: metrics of the exact ones' own name, and what fewer than FEWEST variants of every replicate have.
    """
    names = dict.fromkeys(name for variants in hidden.values() for scores in variants.values() for name in scores)
    found = []
    for name in names:
        for exact in against:
            if name != exact and table.facts(name).sign and (rank := _rank(table, hidden, name, exact)):
                found.append(rank)
    return sorted(found, key=lambda rank: (against.index(rank.against), -rank.rho))


def _rank(table: Table, hidden: Values, name: str, exact: str) -> Rank | None:
    facts = table.facts(name)
    sign = facts.sign * (table.facts(exact).sign or 1)
    rhos, counts = [], []
    for key, variants in hidden.items():
        true = {v.label: v.done[key].mean(exact) for v in table.variants if key in v.done}
        pairs = [(scores.get(name, math.nan), true.get(label, math.nan)) for label, scores in variants.items()]
        known = [pair for pair in pairs if all(map(math.isfinite, pair))]
        rho = _spearman(known)
        if math.isfinite(rho):
            rhos.append(sign * rho)
            counts.append(len(known))
    if not rhos:
        return None
    low, high = interval(rhos, counts[0])
    return Rank(name, facts.title, exact, float(np.mean(rhos)), low, high, len(rhos), max(counts))


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """NaN for fewer than FEWEST variants, or when one of the two does not tell them apart."""
    if len(pairs) < FEWEST:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)


def interval(rhos: Sequence[float], variants: int) -> tuple[float, float]:
    """The interval of the mean of `rhos`, inside [-1, 1]. NaN when neither replicates nor variants give one.

    A few replicates that agree to the last rank have no spread to judge by: no interval either.
    """
    if len(rhos) > 1:
        spread = stats.sem(rhos)
        if spread == 0:
            return math.nan, math.nan
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(rhos) - 1) * spread)
        centre = float(np.mean(rhos))
    elif variants > 3 and abs(rhos[0]) < 1:
        centre = math.atanh(rhos[0])
        half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * 1.03 / math.sqrt(variants - 3)  # Fieller et al. 1957
        return math.tanh(centre - half), math.tanh(centre + half)
    else:
        return math.nan, math.nan
    return max(-1.0, centre - half), min(1.0, centre + half)
