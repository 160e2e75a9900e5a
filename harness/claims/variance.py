"""What varies: the people or the seed. Variance components of trials that ran several seeds on the same pairs.

One-way random effects (Searle, Casella, McCulloch: Variance Components, 1992, ch. 3): value = mean + pair + seed within
the pair. The interval of the pairs' share is the exact one of balanced data, from the F distribution.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import f as fisher

from harness.errors import UsageError
from harness.ledger.table import Key, Table

METRICS = ("identity_transfer", "leak_gap", "swap_error", "expression_error", "rec_l1_face")
PAIR = "data.pair"


@dataclass(frozen=True)
class Components:
    """Standard deviations over pairs and over seeds within a pair; `share`: of pairs in the variance of one trial."""

    mean: float
    pair: float
    seed: float
    share: float
    low: float
    high: float
    pairs: int
    trials: int

    def error(self, pairs: int, seeds: int) -> float:
        """Standard error of a mean over `pairs` people, each with `seeds` seeds."""
        return math.sqrt(self.pair**2 / pairs + self.seed**2 / (pairs * seeds))


@dataclass(frozen=True)
class Line:
    """The components of one metric of one variant, or of its difference to the baseline."""

    metric: str
    variant: str
    components: Components


def components(groups: Sequence[Sequence[float]], level: float = 0.95) -> Components:
    """Components of values grouped by pair. ValueError with fewer than two pairs, or no pair with two seeds."""
    sizes = np.array([len(group) for group in groups])
    total, count = int(sizes.sum()), len(groups)
    if count < 2 or total == count:
        raise ValueError("two pairs or more are needed, and two seeds on the same pair")
    means = np.array([np.mean(group) for group in groups])
    mean = float(np.concatenate([np.asarray(group, float) for group in groups]).mean())
    between = float((sizes * (means - mean) ** 2).sum()) / (count - 1)
    within = sum(float(((np.asarray(g) - m) ** 2).sum()) for g, m in zip(groups, means, strict=True)) / (total - count)
    each = (total - float((sizes**2).sum()) / total) / (count - 1)  # seeds of a pair; their number where all have it
    pair = max(0.0, (between - within) / each)
    ratio = between / within if within else math.inf
    tail = (1 - level) / 2
    edges = [ratio / fisher.ppf(1 - tail, count - 1, total - count), ratio / fisher.ppf(tail, count - 1, total - count)]
    low, high = (_share(edge, each) for edge in edges)
    variance = pair + within
    share = pair / variance if variance else math.nan
    return Components(mean, math.sqrt(pair), math.sqrt(within), share, low, high, count, total)


def _share(ratio: float, each: float) -> float:
    """The share of pairs that makes mean squares stand in this ratio."""
    return 1.0 if math.isinf(ratio) else max(0.0, (ratio - 1) / (ratio + each - 1))


def lines(table: Table, metrics: Sequence[str] = METRICS) -> list[Line]:
    """The components of each metric, of every variant and every difference to the first. UsageError without any."""
    found = []
    for metric in metrics:
        means = _means(table, metric)
        base, *others = means or [""]
        parts = {name: means[name] for name in means}
        for other in others:
            shared = means[base].keys() & means[other].keys()
            parts[f"{other} - {base}"] = {key: means[other][key] - means[base][key] for key in shared}
        for name, values in parts.items():
            groups = defaultdict(list)
            for (_, pair), value in sorted(values.items()):
                groups[pair].append(value)
            try:
                found.append(Line(metric, name, components(list(groups.values()))))
            except ValueError:
                continue
    if not found:
        raise UsageError(
            f"{table.folder}: no variant ran two seeds on the same pair, and this on two pairs. Expected trials of a "
            "suite with `data.pair` as an axis, such as suites/variance.yaml"
        )
    return found


def _means(table: Table, metric: str) -> dict[str, dict[Key, float]]:
    """{variant: {(seed, pair): mean}}; cells that differ only in whom they show are one variant."""
    found: dict[str, dict[Key, float]] = {}
    for trial in table.done:
        if math.isfinite(value := trial.mean(metric)):
            found.setdefault(_name(trial.settings), {})[trial.key] = value
    return found


def _name(settings: Mapping[str, object]) -> str:
    """`grid 3` for {model.grid: 3, data.pair: 7}."""
    rest = [(key.rpartition(".")[2], value) for key, value in settings.items() if key != PAIR]
    return ", ".join(f"{key} {value if isinstance(value, str) else json.dumps(value)}" for key, value in rest) or "all"
