"""A claim in, a verdict out: supported, refuted or undecided, with an effect, an interval and n.

The rule, the same for every relation. A claim's interval lies wholly on the claim's side of its margin: supported.
Wholly on the other side: refuted. Else undecided. Intervals are wider than 95 % where a suite makes several claims:
Holm's correction runs over the suite's claims, and the interval of each has the level at which Holm tests it, so that
interval and adjusted p never disagree.
- A conjunction is supported when all its parts are, refuted when one is. k parts have k chances to refute it, so with
  three parts or more each is tested at 2/k of the claim's level (two need nothing: each errs to one side only).
- A trend rests on Page's test (Holm-adjusted) and on the 90 % interval of the fitted change, which must agree with it:
  the test alone takes the identity pairs as fixed. One clear step the other way refutes a trend.
- A step rests on the transition fit (BIC gain above 10); a step in the asked range that fits clearly worse than the
  best curve is refuted.
- A failed or absent trial, a metric without a number or an unmet condition leaves the claim undecided, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.claims import stats
from harness.claims.evidence import Evidence, gather, unmet
from harness.claims.stats import Interval
from harness.ledger.facts import Facts
from harness.ledger.table import Table
from harness.terminal import count

ALPHA = 0.05
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"


@dataclass(frozen=True)
class Part:
    """One relation of a claim and what the records say about it; figures are NaN where there are none.

    ``low`` and ``high`` bound ``effect`` at the confidence ``level``. ``p`` decides, ``p_holm`` is it adjusted;
    ``p_sign`` is the sign-flip test's (Page's for a trend), ``p_attainable`` the smallest that it can give with n.
    """

    text: str
    metric: str
    effect: float
    low: float
    high: float
    n: int
    p: float
    p_holm: float
    p_attainable: float
    verdict: str
    unit: str
    level: float = math.nan
    p_sign: float = math.nan
    improvement: Interval | None = None  # share of images that are better, of these replicates
    reason: str = ""
    own_scale: bool = False  # the effect is no value of the metric: a correlation, a place on an axis


@dataclass(frozen=True)
class Verdict:
    """The answer to one claim. ``source`` is what the source material expects of it: supported, refuted or open."""

    id: str
    says: str
    source: str
    verdict: str
    reason: str
    parts: tuple[Part, ...] = ()

    @property
    def agreement(self) -> str:
        """How the verdict stands to the source's expectation."""
        if self.verdict == UNDECIDED:
            return "undecided here"
        if self.source == "open":
            return "open in the source"
        return "as the source says" if self.verdict == self.source else "against the source"


def judge(table: Table) -> list[Verdict]:
    """The verdicts on the claims of the table's plan, in order; none when the plan holds none."""
    claims = [claim for claim in table.plan.get("claims") or [] if "parts" in claim]
    found = [_evidence(table, claim) for claim in claims]
    decisive = [math.nan if void else _p(parts) for void, parts in found]
    adjusted, levels = stats.holm(decisive, ALPHA)
    return [
        _verdict(table, claim, void, parts, math.nan if math.isnan(p) else level)
        for claim, (void, parts), p, level in zip(claims, found, adjusted, levels, strict=True)
    ]


def _evidence(table: Table, claim: Mapping[str, Any]) -> tuple[str, list[Evidence]]:
    void = "; ".join(filter(None, (unmet(table, condition) for condition in claim.get("only_if") or [])))
    parts = [gather(table, part, str(claim["id"]), str(place)) for place, part in enumerate(claim["parts"])]
    return void, parts


def _factor(parts: Sequence[object]) -> float:
    return max(1.0, len(parts) / 2)


def _p(parts: Sequence[Evidence]) -> float:
    """The p-value that decides a claim; NaN when nothing can, so that it counts for nothing in Holm's family."""
    known = [part for part in parts if not part.missing]
    against = min((part.refutes for part in known), default=math.nan)
    p = min(against, max(part.supports for part in parts)) if len(known) == len(parts) else against
    return min(1.0, p * _factor(parts))


def _verdict(table: Table, claim: Mapping[str, Any], void: str, parts: Sequence[Evidence], level: float) -> Verdict:
    judged = tuple(_part(part, level / _factor(parts), table.facts(part.metric)) for part in parts)
    verdicts = {part.verdict for part in judged}
    if void:
        verdict = UNDECIDED
    elif REFUTED in verdicts:
        verdict = REFUTED
    else:
        verdict = SUPPORTED if verdicts == {SUPPORTED} else UNDECIDED
    reason = "; ".join([*filter(None, [void]), *(part.reason for part in judged)])
    return Verdict(claim["id"], claim["says"], claim.get("source", SUPPORTED), verdict, reason, judged)


def _part(found: Evidence, level: float, facts: Facts) -> Part:
    """The part decided at ``level`` (two-sided); at 5 % and undecided where the claim has no level."""
    tested = level if math.isfinite(level) else ALPHA
    p = min(found.supports, found.refutes)
    if found.missing:
        verdict = UNDECIDED
    elif found.refutes <= tested:
        verdict = REFUTED
    else:
        verdict = SUPPORTED if found.supports <= tested else UNDECIDED
    confidence = found.level or 1 - tested
    low, high = found.interval(confidence)
    return Part(
        text=found.text,
        metric=found.metric,
        effect=found.effect,
        low=low,
        high=high,
        n=found.n,
        p=p,
        p_holm=min(p * ALPHA / tested, 1.0),
        p_attainable=found.p_attainable,
        verdict=verdict,
        unit=found.unit,
        level=confidence,
        p_sign=found.p_sign,
        improvement=found.improvement,
        reason=_reason(found, low, high, confidence, verdict, facts),
        own_scale=found.own_scale,
    )


def _reason(found: Evidence, low: float, high: float, confidence: float, verdict: str, facts: Facts) -> str:
    if found.missing:
        return f"{found.text}: {found.missing}"

    def write(value: float) -> str:
        return f"{value:.3g}" if found.own_scale else facts.write(value)

    bounds = f"[{write(low)}, {write(high)}]" if math.isfinite(low) and math.isfinite(high) else "without an interval"
    told = f"effect {write(found.effect)} {bounds} at {100 * confidence:.3g} %, {count(found.n, 'replicate')}"
    more = ", ".join(filter(None, [found.test, *found.notes]))
    return f"{found.text}: {verdict}, {told}" + (f" ({more})" if more else "")
