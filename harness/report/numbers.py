"""Estimates from a table: a variant's mean with its interval, and its paired difference to the baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from harness.claims import stats
from harness.claims.headlines import HEADLINES, WITHOUT_TRUTH
from harness.claims.stats import Interval, SignFlip
from harness.ledger.table import Key, Table, Variant

NOTHING = Interval(math.nan, math.nan, math.nan, 0, 0)
REFERENCES = {
    "oracle": "exact swap",
    "copy": "copy of the driver",
    "mean_face": "mean face",
}
FAILURES = {"copy": "copy", "mean_face": "mean face"}  # answers that are no swap
MAIN = 4  # of HEADLINES: swap score, transfer, off-axis residual and expression stand beside each other


@dataclass(frozen=True)
class Difference:
    """Variant minus reference variant, paired by replicate."""

    interval: Interval
    test: SignFlip
    verdict: str  # better | worse | higher | lower | no clear difference | ""


@dataclass
class Numbers:
    """All estimates of one table, each computed once."""

    table: Table
    _means: dict[tuple[str, str], Interval] = field(default_factory=dict)

    def mean(self, variant: Variant, metric: str) -> Interval:
        """Mean over pairs of people with its 95 % interval."""
        key = (variant.label, metric)
        if key not in self._means:
            found = variant.replicates(metric)
            estimate = stats.estimate_of(found.means)
            low, high = estimate.clipped(*self.table.facts(metric).range, 0.975)
            images = sum(max(1, values.size) for values in found.images.values())
            self._means[key] = replace(estimate.interval(), low=low, high=high, images=images)
        return self._means[key]

    def scored(self, variant: Variant, metric: str) -> bool:
        """Whether any replicate has a number."""
        return bool(variant.replicates(metric))

    def replicates(self, variant: Variant, metric: str) -> dict[Key, float]:
        """One mean for each replicate."""
        return dict(variant.replicates(metric).means)

    def middle(self, variant: Variant, metric: str) -> float:
        """Interquartile mean of all per-image values; of the replicates' numbers where there are none."""
        found = variant.replicates(metric)
        values = [
            found.images[key] if found.images[key].size else np.array([mean]) for key, mean in found.means.items()
        ]
        return stats.interquartile_mean(np.concatenate(values)) if values else math.nan

    def difference(self, variant: Variant, other: Variant, metric: str) -> Difference:
        """variant - other over the replicates that both have, averaged within pairs of people."""
        found = stats.differences(variant.replicates(metric).means, other.replicates(metric).means)
        values, over = stats.units(found)
        rng = stats.generator(self.table.suite, variant.label, other.label, metric)
        interval = stats.estimate(values, over).interval() if found else NOTHING
        test = stats.sign_flip(values, rng, over=over)
        return Difference(interval, test, _verdict(interval, self.table.facts(metric).direction))

    def reference(self, name: str, metric: str) -> float:
        """Mean over all done trials of what a reference (oracle, copy, mean face) scores; NaN when none does."""
        found = [(t.part("references").get(name) or {}).get(metric) for t in self.table.done]
        known = [float(v) for v in found if v is not None and math.isfinite(v)]
        return float(np.mean(known)) if known else math.nan

    def headlines(self, most: int = 8) -> list[str]:
        """Metrics of the decision table: the main ones, then those that the suite's claims speak of.

        Without claims, those that the plan names and the usual ones follow.
        """
        have = set(self.table.metrics())
        invalid = {name for trial in self.table.done for name in trial.part("invalid")}
        planned = self.claimed() or [*(self.table.plan.get("metrics") or []), *HEADLINES[MAIN:]]
        wanted = [*HEADLINES[:MAIN], *planned] if self.table.truth else [*WITHOUT_TRUTH, *planned]
        usable = [name for name in dict.fromkeys(wanted) if name in have or name in invalid]
        return [name for name in usable if any(self.scored(v, name) for v in self.table.variants)][:most]

    def claimed(self) -> list[str]:
        """Metrics that the suite's claims speak of, in their order, those of its conditions last."""
        claims = self.table.plan.get("claims") or []
        parts = [part for claim in claims for part in claim.get("parts") or ()]
        asked = [condition for claim in claims for condition in claim.get("only_if") or ()]
        named = [name for part in (*parts, *asked) for name in (part.get("metric"), part.get("with")) if name]
        return list(dict.fromkeys(map(str, named)))

    def failure(self, value: float, metric: str) -> str:
        """Which known failure (a copy, the mean face) is better than ``value`` on a metric; empty when none is.

        Of reconstructions nothing is said: a copy's are the pictures themselves.
        """
        sign = 0 if metric.startswith("rec_") else self.table.facts(metric).sign
        beaten = [name for name in FAILURES if sign * (self.reference(name, metric) - value) > 0]
        return " and ".join(FAILURES[name] for name in beaten)

    def dominated(self) -> dict[str, str]:
        """{label: another label that is at least as good on every main metric, and better on one}, by the means."""
        metrics = [name for name in self.headlines() if name in HEADLINES[:MAIN] and self.table.facts(name).sign]
        points = {
            v.label: [self.table.facts(m).sign * self.mean(v, m).mean for m in metrics] for v in self.table.variants
        }
        points = {label: point for label, point in points.items() if metrics and all(map(math.isfinite, point))}
        found = {}
        for label, point in points.items():
            above = [o for o, p in points.items() if p != point and all(a >= b for a, b in zip(p, point, strict=True))]
            if above:
                found[label] = max(above, key=lambda other: points[other])
        return found

    @property
    def primary(self) -> str | None:
        """The metric that the answer speaks of."""
        names = self.headlines()
        wanted = ("swap_score", "identity_transfer", "identity_transfer_embed", "id_cos_target")
        return next((name for name in wanted if name in names), next(iter(names), None))

    def pareto(self, gain: str, loss: str) -> set[str]:
        """Labels of variants that no other one beats in both metrics (means only)."""
        sign = [self.table.facts(m).sign or 1 for m in (gain, loss)]
        points = {
            v.label: (sign[0] * self.mean(v, gain).mean, sign[1] * self.mean(v, loss).mean) for v in self.table.variants
        }
        points = {k: p for k, p in points.items() if all(map(math.isfinite, p))}
        return {
            name
            for name, (x, y) in points.items()
            if not any(a >= x and b >= y and (a, b) != (x, y) for a, b in points.values())
        }


def _verdict(interval: Interval, direction: str) -> str:
    if not interval.known:
        return ""
    if not interval.excludes_zero:
        return "no clear difference"
    up = interval.low > 0
    if direction == "none":
        return "higher" if up else "lower"
    return "better" if up == (direction == "higher") else "worse"
