"""How a claim stands while a run goes on, and what it still needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from scipy import special

from harness.claims.course import looks_of, rests_on_steps
from harness.claims.looks import nominal
from harness.claims.verdict import ALPHA, REFUTED, SUPPORTED, UNDECIDED, Part, Verdict, judge, primary_of
from harness.claims.words import labels_of
from harness.ledger.table import Table

OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True)
class Standing:
    """``state``: supported, refuted, open (more pairs may decide it) or closed (they cannot, or there are no more).

    ``labels`` are the variants it rests on, ``pairs`` how many pairs of people all of them have run; ``needs`` says
    what is missing.
    """

    id: str
    primary: bool
    state: str
    labels: tuple[str, ...]
    pairs: int
    needs: str

    def sentence(self) -> str:
        """`C2: open at 6 pairs, about 8 needed`."""
        return ", ".join(filter(None, [f"{self.id}: {self.state} at {self.pairs} pairs", self.needs]))


def standings(table: Table) -> list[Standing]:
    """The standing of each claim of a plan with looks, in the plan's order."""
    claims = [claim for claim in table.plan.get("claims") or [] if "parts" in claim]
    looks, first = looks_of(table), primary_of(claims)
    found: list[Standing] = []
    for place, verdict in enumerate(judge(table)):
        level = ALPHA if place == first else ALPHA / (len(claims) - 1)
        found.append(_standing(table, claims[place], verdict, looks, level))
    return [one if place == first else _behind(one, found[first]) for place, one in enumerate(found)]


def _behind(standing: Standing, primary: Standing) -> Standing:
    """Another claim's standing, which waits for the primary one and ends with it when that stays undecided."""
    if standing.state != OPEN or primary.state in (SUPPORTED, REFUTED):
        return standing
    if primary.state == CLOSED:
        return replace(standing, state=CLOSED, needs="the primary claim is undecided")
    return replace(standing, needs="the primary claim comes first")


def finished(table: Table, label: str) -> int:
    """How many of the first replicates a variant has behind it, whatever came of them."""
    trials = next((variant.trials for variant in table.variants if variant.label == label), ())
    settled = {trial.seed for trial in trials if trial.status != "missing"}
    return next((n for n, seed in enumerate(table.seeds) if seed not in settled), len(table.seeds))


def _standing(table: Table, claim: Mapping[str, Any], verdict: Verdict, looks: Sequence[int], level: float) -> Standing:
    if rests_on_steps(claim):
        done = verdict.verdict != UNDECIDED
        needs = "" if done else "decided by the steps that were timed"
        return Standing(str(claim["id"]), verdict.primary, verdict.verdict if done else CLOSED, (), 0, needs)
    labels = tuple(labels_of(claim) or [variant.label for variant in table.variants])
    pairs = min((finished(table, label) for label in labels), default=0)
    state, needs = verdict.verdict, ""
    if state == UNDECIDED:
        state, needs = _open(verdict, looks, pairs, level)
    return Standing(str(claim["id"]), verdict.primary, state, labels, pairs, needs)


def _open(verdict: Verdict, looks: Sequence[int], pairs: int, level: float) -> tuple[str, str]:
    if not verdict.parts or pairs < looks[0]:
        return OPEN, f"{looks[0]} pairs needed"
    missing = [part for part in verdict.parts if math.isnan(part.p)]
    if missing or verdict.void:
        return CLOSED, verdict.void or missing[0].reason
    if pairs >= looks[-1]:
        return CLOSED, "undecided after the last look"
    enough = _enough([part for part in verdict.parts if part.verdict == UNDECIDED], looks, level)
    return OPEN, f"about {enough} needed" if enough else f"more than {looks[-1]} needed at this effect"


def _enough(parts: Sequence[Part], looks: Sequence[int], level: float) -> int | None:
    """The first look at which effects and spreads as they are now would decide all parts; None when none would."""
    known = [part for part in parts if math.isfinite(part.margin) and math.isfinite(part.low) and part.n > 1]
    for n, at in zip(looks, nominal(looks, level), strict=True):
        reach = float(-special.stdtrit(n - 1, at)) / math.sqrt(n)
        if n > max((part.n for part in known), default=0) and all(
            abs(part.effect - part.margin) >= reach * _spread(part) for part in known
        ):
            return n
    return None


def _spread(part: Part) -> float:
    """Standard deviation over pairs, from the distance of the bounds."""
    return (part.high - part.low) / 2 / float(special.stdtrit(part.n - 1, part.level)) * math.sqrt(part.n)
