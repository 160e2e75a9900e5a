"""A metric's facts as the report, the claims and the gates read them: title, direction, unit, decimals, description.

They stand on the metric (`metrics.info.MetricInfo`). A record holds those of other people's metrics, so that it can be
read where these are not installed; of what comes with the product the registry is asked.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.files import canonical
from harness.ledger.number_format import number
from metrics import costs
from metrics.info import Direction, MetricInfo

ARROW = {"higher": "↑", "lower": "↓", "none": ""}
BETTER = {"higher": "higher is better", "lower": "lower is better", "none": ""}


@dataclass(frozen=True)
class Facts:
    """What a reader needs of one metric, and how its values are written."""

    name: str
    title: str
    direction: Direction = "none"
    unit: str = ""
    decimals: int | None = None
    description: str = ""
    bounds: tuple[float | None, float | None] = (None, None)

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value that a mean can have; infinite where there is no such end."""
        low, high = self.bounds
        return -math.inf if low is None else low, math.inf if high is None else high

    @property
    def arrow(self) -> str:
        """Which way is better, as a sign; empty where neither is."""
        return ARROW[self.direction]

    @property
    def better(self) -> str:
        """Which way is better, in words; empty where neither is."""
        return BETTER[self.direction]

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is, 0 where neither is."""
        return {"higher": 1, "lower": -1, "none": 0}[self.direction]

    @property
    def words(self) -> str:
        """The title inside a sentence: without its capital, unless that is an abbreviation."""
        return self.title if self.title[1:2].isupper() else self.title[:1].lower() + self.title[1:]

    def write(self, value: float) -> str:
        """A value of this metric, without its unit."""
        return number(value, self.decimals)

    def interval(self, low: float, high: float) -> str:
        """ "[low, high]"; empty when a bound is unknown."""
        return f"[{self.write(low)}, {self.write(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def facts_of(name: str, recorded: Mapping[str, Mapping[str, Any]] | None = None) -> Facts:
    """The facts of a score, a cost or `loss:TERM`: as recorded, else as registered, else the bare name."""
    if info := costs.find(name):
        return _facts(name, info.facts())
    if recorded and name in recorded:
        return _facts(name, recorded[name])
    return _registered(name) or Facts(name, MetricInfo(name, "none", "", None, "").title)


def to_record(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Those facts, by metric, that the product itself would not give."""
    from harness import registry

    shipped = (entry.infos for entry in registry.entries("metric").values() if entry.shipped)
    own = {info.name: canonical(info.facts()) for infos in shipped for info in infos}
    return {name: one for name, one in facts.items() if canonical(one) != own.get(name)}


def _facts(name: str, facts: Mapping[str, Any]) -> Facts:
    low, high = facts.get("bounds") or (None, None)
    named = {key: facts[key] for key in ("title", "direction", "unit", "decimals", "description")}
    return Facts(name, **named, bounds=(low, high))


@functools.cache
def _registered(name: str) -> Facts | None:
    """What a registered evaluator says."""
    from harness import registry

    info = registry.metric_infos().get(name)
    return _facts(name, info.facts()) if info else None
