"""Before anything is trained: can the planned number of replicates decide each claim?

The yardstick is the smallest effect that is decided in four of five runs, in standard deviations of the paired
differences, or in the metric's unit where an earlier ledger of the suite knows that spread. It is reckoned at the
hardest level of Holm's procedure (5 % over the number of claims), so what is called decidable is so in the worst case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from harness.claims.evidence import TREND_LEVEL, Evidence, gather
from harness.claims.verdict import ALPHA
from harness.claims.words import Look, Relation, describe
from harness.errors import HarnessError
from harness.ledger.facts import facts_of
from harness.ledger.table import Table, load

POWER = 0.8
MOST = 60  # replicates, beyond which no number is named
YES, LARGE, NO = "yes", "large effects", "no"


@dataclass(frozen=True)
class Decidable:
    """One part of a claim. ``answer`` is yes, large effects or no; ``text`` says what n can show."""

    id: str
    part: str
    n: int
    answer: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"claim": self.id, "part": self.part, "n": self.n, "decidable": self.answer, "why": self.text}


def detectable(n: int, alpha: float, power: float = POWER) -> float:
    """Distance from the margin, in standard deviations of the paired differences, decided with this power at n >= 2."""
    freedom = n - 1
    return float(stats.t.ppf(1 - alpha / 2, freedom) + stats.t.ppf(power, freedom)) / math.sqrt(n)


def earlier(folder: Path) -> Table | None:
    """The ledger of an earlier run of the suite, if it is there and readable."""
    try:
        return load(folder)
    except HarnessError:
        return None


def decidable(claims: Sequence[Mapping[str, Any]], n: int, table: Table | None = None) -> list[Decidable]:
    """What n planned replicates can decide, part by part. ``table`` is an earlier ledger of the same suite."""
    level = ALPHA / max(1, len(claims))
    look: Look = table.facts if table else facts_of
    found = []
    for claim in claims:
        parts = claim["parts"]
        alpha = level / max(1.0, len(parts) / 2)
        for relation in parts:
            before = gather(table, relation, str(claim["id"]), "earlier") if table else None
            answer, text = _answer(relation, n, alpha, before, look)
            found.append(Decidable(str(claim["id"]), describe(relation, look), n, answer, text))
    return found


def _answer(relation: Relation, n: int, alpha: float, before: Evidence | None, look: Look) -> tuple[str, str]:
    kind = relation["relation"]
    if n < 2:
        return NO, "one replicate has no spread: two at least, and six to be of use"
    variants = len(relation.get("over") or ())
    if kind == "step":
        if variants < 5:
            return NO, f"a transition fit needs five places on its axis, {variants} are planned"
        return YES, f"{variants} places x {n} replicates; a step of three times the noise is found"
    if kind == "monotone":
        if _page(variants, n) > alpha:
            return NO, f"Page's test over {variants} variants reaches p = {_page(variants, n):.1g}, {alpha:.1g} needed"
        alpha = 1 - TREND_LEVEL
    if kind == "correlation":
        return LARGE, f"|r| from the margin by {detectable(n, alpha):.2g} spreads of Fisher's z between replicates"
    smallest = detectable(n, alpha)
    words = f"smallest effect {smallest:.2g} SD of {'values' if kind == 'level' else 'paired differences'}"
    if kind == "monotone":
        words += f", Page's test can reach p = {_page(variants, n):.1g}"
    else:
        words += f", sign-flip p at best {min(1.0, 2 / 2**n):.2g}"
    if before is None or before.missing or not math.isfinite(sd := _spread(before)):
        return (YES if smallest < 1.5 else LARGE), words
    distance = abs(before.effect) if kind == "monotone" else _distance(relation, before.effect)
    facts = look(before.metric)
    words += f"; earlier: SD {facts.write(sd)}, so {facts.write(smallest * sd)} from the margin, and "
    words += f"{facts.write(distance)} was seen"
    if distance >= smallest * sd:
        return YES, words
    level = alpha if kind != "monotone" else 1 - TREND_LEVEL
    enough = next((m for m in range(n + 1, MOST) if detectable(m, level) * sd <= distance), None)
    return NO, f"{words}: {f'about {enough}' if enough else f'more than {MOST}'} replicates would do"


def _page(variants: int, n: int) -> float:
    """The smallest two-sided p of Page's test."""
    return 2.0 * math.exp(-n * math.lgamma(variants + 1))


def _spread(before: Evidence) -> float:
    """Standard deviation over replicates, from the width of the interval."""
    low, high = before.interval(0.95)
    return (high - low) / 2 / float(stats.t.ppf(0.975, before.n - 1)) * math.sqrt(before.n)


def _distance(relation: Relation, effect: float) -> float:
    """How far an effect lies from the nearest margin."""
    match relation["relation"]:
        case "equivalent":
            return abs(abs(effect) - relation["within"])
        case "level":
            return abs(effect - relation["value"])
    return abs(effect - relation["sign"] * relation["by"])
