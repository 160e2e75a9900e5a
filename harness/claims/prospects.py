"""Before anything is trained: can the planned pairs decide each claim, and how many will it probably take?

The yardstick is the smallest effect that is decided in four of five runs (power from the noncentral t distribution), in
standard deviations between pairs, or in the metric's unit where an earlier ledger of the suite knows that spread. The
primary claim is reckoned at 5 %, the others at the hardest level of Holm's procedure (5 % over their number), so what
is called decidable is so in the worst case.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, stats

from harness.claims.evidence import Evidence
from harness.claims.looks import nominal
from harness.claims.relations import gather
from harness.claims.transition import STEP, transition_fit
from harness.claims.verdict import ALPHA, primary_of
from harness.claims.words import Look, Relation, describe
from harness.errors import HarnessError
from harness.ledger.facts import facts_of
from harness.ledger.table import Table, load

POWER = 0.8
MOST = 60  # pairs, beyond which no number is named
USUAL = 2.0  # standard deviations: an effect that is assumed where no earlier run tells one
YES, LARGE, NO = "yes", "large effects", "no"
STEPS = (3.0, 6.0)  # sizes of a step, in standard deviations of the noise, whose chance to be found is stated
STEP_RUNS = 60


@dataclass(frozen=True)
class Prospect:
    """One part of a claim. ``answer`` is yes, large effects or no; ``text`` says what ``n`` pairs can show.

    ``pairs`` is how many the decision will probably take, of an effect seen earlier or of `USUAL` size.
    """

    id: str
    part: str
    n: int
    answer: str
    text: str
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "claim": self.id, "part": self.part, "n": self.n, "decidable": self.answer, "pairs": self.pairs,
            "why": self.text,
        }  # fmt: skip


def power(effect: float, n: int, level: float) -> float:
    """Chance that n >= 2 pairs decide, one-sided at ``level``, an effect so many standard deviations off its margin."""
    return float(stats.nct.sf(stats.t.isf(level, n - 1), n - 1, effect * math.sqrt(n)))


def detectable(n: int, level: float, wanted: float = POWER) -> float:
    """The effect, in standard deviations off the margin, that n >= 2 pairs decide with the ``wanted`` power."""
    start = float(stats.t.isf(level, n - 1) + stats.t.isf(1 - wanted, n - 1)) / math.sqrt(n)
    return float(optimize.brentq(lambda effect: power(effect, n, level) - wanted, 0.2 * start, 8 * start))


@functools.lru_cache(maxsize=256)
def pairs_needed(effect: float, looks: tuple[int, ...], level: float) -> int:
    """The first look at which half of all runs have decided an effect of so many standard deviations; else the last."""
    draws = np.random.default_rng(0).normal(effect, 1.0, (2000, looks[-1]))
    decided = np.zeros(len(draws), dtype=bool)
    for n, at in zip(looks, nominal(looks, level), strict=True):
        first = draws[:, :n]
        decided |= first.mean(axis=1) / first.std(axis=1, ddof=1) * math.sqrt(n) >= stats.t.isf(at, n - 1)
        if decided.mean() >= 0.5:
            return n
    return looks[-1]


@functools.lru_cache(maxsize=64)
def steps_found(places: int, n: int, size: float) -> float:
    """Share of simulated steps of ``size`` noise deviations that a fit over 9 to 49 cells finds with n pairs."""
    cells, rng, found = np.geomspace(9, 49, places), np.random.default_rng(places * 1000 + n), 0
    for _ in range(STEP_RUNS):
        edge = rng.integers(1, places)
        values = size * (np.arange(places) >= edge) + rng.normal(0, 1, (n, places))
        found += transition_fit(np.tile(cells, n), values.ravel(), np.repeat(np.arange(n), places)).verdict == STEP
    return found / STEP_RUNS


def earlier(folder: Path) -> Table | None:
    """The ledger of an earlier run of the suite, if it is there and readable."""
    try:
        return load(folder)
    except HarnessError:
        return None


def prospects(claims: Sequence[Mapping[str, Any]], looks: Sequence[int], table: Table | None = None) -> list[Prospect]:
    """What planned pairs can decide, part by part: at ``looks``, the last of which is the number of pairs.

    ``table`` is an earlier ledger of the same suite.
    """
    look: Look = table.facts if table else facts_of
    found = []
    for place, claim in enumerate(claims):
        level = ALPHA if place == primary_of(claims) else ALPHA / max(1, len(claims) - 1)
        for relation in claim["parts"]:
            before = gather(table, relation, str(claim["id"]), "earlier") if table else None
            answer, text = _answer(relation, looks, level, before, look)
            pairs = pairs_needed(_effect(before), tuple(looks), level) if looks[-1] > 1 else looks[-1]
            found.append(Prospect(str(claim["id"]), describe(relation, look), looks[-1], answer, text, pairs))
    return found


def _effect(before: Evidence | None) -> float:
    """How far off its margin an effect was seen, in standard deviations, rounded so that many are equal."""
    if before is None or before.missing or not (sd := _spread(before)) > 0 or math.isnan(before.margin):
        return USUAL
    return min(20.0, round(abs(before.effect - before.margin) / sd, 1))


def _answer(
    relation: Relation, looks: Sequence[int], level: float, before: Evidence | None, look: Look
) -> tuple[str, str]:
    kind, n = relation["relation"], looks[-1]
    if kind == "faster":
        return YES, "steps of both take turns in one process; differences of a few percent are found"
    if n < 2:
        return NO, "one pair has no spread: two at least, and four to be of use"
    at = nominal(looks, level)[-1]
    variants = len(relation.get("over") or ())
    if kind == "step":
        return _step(variants, n)
    if kind == "monotone" and (least := math.exp(-n * math.lgamma(variants + 1))) > at:
        return NO, f"Page's test over {variants} variants reaches p = {least:.2g}, {at:.2g} needed"
    smallest = detectable(n, at)
    if kind == "correlation":
        return LARGE, f"mean of Fisher's z {smallest:.2g} SD from its margin, decided in 80 % of runs"
    of = "values" if kind == "level" else "fitted changes" if kind == "monotone" else "paired differences"
    words = f"{smallest:.2g} SD of the {of} from the margin, decided in 80 % of runs"
    if before is None or before.missing or not math.isfinite(sd := _spread(before)):
        return (YES if smallest < 1.5 else LARGE), words
    distance, facts = abs(before.effect - before.margin), look(before.metric)
    words += f"; earlier: SD {facts.write(sd)}, so {facts.write(smallest * sd)} from the margin, and "
    words += f"{facts.write(distance)} was seen"
    if distance >= smallest * sd:
        return YES, words
    enough = next((m for m in range(n + 1, MOST) if detectable(m, at) * sd <= distance), None)
    return NO, f"{words}: {f'about {enough}' if enough else f'more than {MOST}'} pairs would do"


def _step(places: int, n: int) -> tuple[str, str]:
    if places < 5:
        return NO, f"a transition fit needs five places on its axis, {places} are planned"
    shares = [steps_found(places, n, size) for size in STEPS]
    told = ", ".join(f"{share:.0%} of steps of {size:g} noise SD" for share, size in zip(shares, STEPS, strict=True))
    answer = YES if shares[0] >= POWER else LARGE if shares[1] >= POWER else NO
    return answer, f"{places} places x {n} pairs find {told}"


def _spread(before: Evidence) -> float:
    """Standard deviation over pairs, from the width of the bounds."""
    low, high = before.bounds(0.975)
    return (high - low) / 2 / float(stats.t.ppf(0.975, before.n - 1)) * math.sqrt(before.n)
