"""The facts of a metric, in one place: everything that shows or judges a number reads them here.

Imports nothing heavy, so that what only names numbers starts fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class MetricInfo:
    """What a reader must know of one number, and the ladder of references that proves it.

    `direction` says which way is better. `unit` is written beside the value; it is empty where 1 is a natural measure
    (a share, a cosine, the range of display values). `ideal` is the value of a perfect system, None when no such value
    exists. `ladder` names the family of references of `metrics.ladder` on which the metric must be monotone ("" for
    none); `ends` are the values it must show at the bad and at the good end of that ladder (None: no exact value is
    known there). `controls` names single references (`metrics.references.CONTROLS`) and the range in which the value
    must lie there, None where it must be undefined. `title` is the name that people read (made from `name` when
    empty); `decimals` is how many are written (None: three significant digits). `bounds` are the smallest and the
    largest value that its mean can have at all (None: no such end); intervals stay inside.
    """

    name: str
    direction: Direction
    unit: str
    ideal: float | None
    description: str
    ladder: str = ""
    ends: tuple[float | None, float | None] = (None, None)
    controls: Mapping[str, tuple[float, float] | None] = field(default_factory=dict)
    title: str = ""
    decimals: int | None = None
    bounds: tuple[float | None, float | None] = (None, None)

    def __post_init__(self) -> None:
        if not self.title:
            object.__setattr__(self, "title", self.name.replace("_", " ").capitalize())

    def facts(self) -> dict[str, Any]:
        """What a record keeps, as plain JSON: title, direction, unit, decimals, description, bounds."""
        named = {key: getattr(self, key) for key in ("title", "direction", "unit", "decimals", "description")}
        return {**named, "bounds": list(self.bounds)}
