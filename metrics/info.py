"""The facts of a metric, in one place: everything that shows or judges a number reads them here.

Imports nothing heavy, so that what only names numbers starts fast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

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

    def plain(self) -> dict[str, Any]:
        """All fields as JSON takes them: pairs are lists, and infinite ends texts."""

        def ends(pair: tuple[float | None, float | None] | None) -> list[Any] | None:
            return None if pair is None else [str(x) if x is not None and math.isinf(x) else x for x in pair]

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        controls = {name: ends(pair) for name, pair in self.controls.items()}
        return values | {"ends": ends(self.ends), "bounds": ends(self.bounds), "controls": controls}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `plain`."""

        def pair(ends: list[Any] | None) -> Any:
            return None if ends is None else tuple(float(x) if isinstance(x, str) else x for x in ends)

        controls = {name: pair(ends) for name, ends in values["controls"].items()}
        return cls(**{**values, "ends": pair(values["ends"]), "bounds": pair(values["bounds"]), "controls": controls})
