"""What a claim comes to at each look: its parts on the first pairs alone, and the p-values that decide it there.

Looks are a function of plan and records: a look is reached as soon as every trial that the claim needs is done for the
first pairs of the plan. Nothing remembers that somebody looked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.claims.evidence import Evidence, unmet
from harness.claims.relations import gather
from harness.claims.words import labels_of
from harness.ledger.table import Table


@dataclass(frozen=True)
class Stage:
    """A claim at one look. ``place`` is the look's place among the looks, ``n`` its number of pairs.

    ``supports`` and ``refutes`` are the p-values of the whole claim: NaN where it cannot be judged, or is void.
    ``once``: it rests on no pairs of people, so that there is one look at it.
    """

    place: int
    n: int
    parts: tuple[Evidence, ...]
    supports: float
    refutes: float
    void: str = ""
    once: bool = False

    @property
    def p(self) -> float:
        """The smaller one."""
        return math.nan if math.isnan(self.refutes) else min(self.refutes, self.supports)


def looks_of(table: Table) -> tuple[int, ...]:
    """The plan's looks in pairs; one look at all planned replicates where it has none."""
    found = (table.plan.get("until") or {}).get("looks")
    return tuple(int(n) for n in found) if found else (len(table.seeds),)


def course_of(table: Table, claim: Mapping[str, Any], looks: Sequence[int]) -> list[Stage]:
    """The claim at each look that its records reach; at the only one, reached or not, where the plan has one."""
    if len(looks) == 1 or rests_on_steps(claim):
        return [_stage(table, claim, 0, looks[0])]
    return [_stage(table.first(n), claim, place, n) for place, n in enumerate(looks) if _reached(table, claim, n)]


def rests_on_steps(claim: Mapping[str, Any]) -> bool:
    """Whether a claim is about timed steps alone, and needs no trial."""
    return all(part["relation"] == "faster" for part in claim["parts"]) and not claim.get("only_if")


def _reached(table: Table, claim: Mapping[str, Any], n: int) -> bool:
    """Whether the first n replicates of all variants that the claim needs have run, whatever came of them."""
    needed = labels_of(claim) or [variant.label for variant in table.variants]
    trials = {variant.label: variant.trials for variant in table.first(n).variants}
    return all(len([t for t in trials.get(name, ()) if t.status != "missing"]) >= n for name in needed)


def _stage(table: Table, claim: Mapping[str, Any], place: int, n: int) -> Stage:
    void = "; ".join(filter(None, (unmet(table, condition) for condition in claim.get("only_if") or [])))
    names = (str(claim["id"]), str(n))
    parts = tuple(gather(table, part, *names, str(number)) for number, part in enumerate(claim["parts"]))
    supports, refutes = (math.nan, math.nan) if void else _p(parts)
    return Stage(place, n, parts, supports, refutes, void, rests_on_steps(claim))


def _p(parts: Sequence[Evidence]) -> tuple[float, float]:
    """(supports, refutes) of a conjunction. What is known may refute it; only all of it can support it."""
    known = [part for part in parts if not part.missing]
    if not known:
        return math.nan, math.nan
    supports = max(part.supports for part in parts) if len(known) == len(parts) else 1.0
    return supports, min(1.0, len(parts) * min(part.refutes for part in known))
