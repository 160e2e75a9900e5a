"""A claim in, a verdict out: supported, refuted or undecided, with an effect, its bounds and n.

The rule, the same for every relation. Surely on the claim's side of its margin: supported. Surely on the other side:
refuted. Else undecided. Each side is a one-sided test, and the bounds shown have the level of that test, so bounds and
verdict never disagree.
- A suite errs in at most 5 % of its runs. Its primary claim is tested first, at 5 %. Once that is decided, the others
  share 5 % by Holm's correction; until then they are undecided.
- A plan with looks is judged at each look that its records reach, on the first pairs alone, at the level that the look
  has (`harness.claims.looks`). The first look that decides a claim decides it for good.
- A conjunction is supported when all its parts are. It is refuted when one is, at the k-th part of the level for k
  parts, because k parts have k chances to refute it.
- A failed or absent trial, an undefined metric or an unmet condition leaves the claim undecided, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.claims import stats
from harness.claims.course import Stage, course_of, looks_of
from harness.claims.evidence import Evidence
from harness.claims.looks import nominal, overall
from harness.claims.stats import Interval
from harness.claims.words import labels_of
from harness.ledger.facts import Facts
from harness.ledger.table import Table
from harness.terminal import count

ALPHA = 0.05
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "undecided"


@dataclass(frozen=True)
class Part:
    """One relation of a claim and what the records say about it; figures are NaN where there are none.

    ``low`` and ``high`` bound ``effect``, each with confidence ``level``. ``p`` is one-sided and decides at this look;
    ``p_holm`` is it adjusted for the looks and the suite's other claims. ``p_sign`` is the sign-flip test's (Page's for
    a trend), ``p_attainable`` the smallest that it can give with n. ``n`` counts pairs of people.
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
    margin: float = math.nan  # of the effect, where the claim ends


@dataclass(frozen=True)
class Verdict:
    """The answer to one claim. ``source`` is what the source material expects of it: supported, refuted or open.

    ``look`` is the number of pairs at which it was decided, or last looked at; 0 when no look was reached.
    """

    id: str
    says: str
    source: str
    verdict: str
    reason: str
    parts: tuple[Part, ...] = ()
    primary: bool = False
    look: int = 0
    void: str = ""  # why a condition leaves it undecided

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
    if not claims:
        return []
    looks = looks_of(table)
    courses = [course_of(table, claim, looks) for claim in claims]
    p = [_sequential(course, looks) for course in courses]
    first = primary_of(claims)
    _, levels = stats.holm([value for place, value in enumerate(p) if place != first], ALPHA)
    levels.insert(first, ALPHA)
    waits = not p[first] <= ALPHA
    return [
        _verdict(table, claim, course, looks, level, "" if place == first or not waits else str(claims[first]["id"]))
        for place, (claim, course, level) in enumerate(zip(claims, courses, levels, strict=True))
    ]


def primary_of(claims: Sequence[Mapping[str, Any]]) -> int:
    """The place of the claim that is tested first: the one marked so, else the first."""
    return next((place for place, claim in enumerate(claims) if claim.get("primary")), 0)


def _sequential(course: Sequence[Stage], looks: Sequence[int]) -> float:
    """The smallest level at which some look decides the claim; NaN when none can."""
    known = [
        stage.p if stage.once else overall(looks, stage.place, stage.p) for stage in course if not math.isnan(stage.p)
    ]
    return min(known, default=math.nan)


def _verdict(
    table: Table,
    claim: Mapping[str, Any],
    course: Sequence[Stage],
    looks: Sequence[int],
    level: float,
    waits_for: str,
) -> Verdict:
    says, source, primary = claim["says"], claim.get("source", SUPPORTED), bool(claim.get("primary"))
    if not course:
        wanted = f"no look yet: {', '.join(labels_of(claim))} at {looks[0]} pairs are needed"
        return Verdict(claim["id"], says, source, UNDECIDED, wanted, (), primary)
    at = (level,) if course[0].once else nominal(looks, level)
    stage = next((stage for stage in course if stage.p <= at[stage.place]), course[-1])
    tested = at[stage.place]
    verdict = REFUTED if stage.refutes <= tested else SUPPORTED if stage.supports <= tested else UNDECIDED
    verdict = UNDECIDED if waits_for else verdict
    parts = tuple(
        _part(part, table.facts(part.metric), tested, len(stage.parts), level, looks[: len(at)], stage.place)
        for part in stage.parts
    )
    reasons = [stage.void, f"the primary claim {waits_for} is open, and is decided first" if waits_for else ""]
    reasons += [part.reason for part in parts]
    if len(at) > 1:
        reasons.append(f"look {stage.place + 1} of {len(looks)}, {looks[stage.place]} pairs")
    reason = "; ".join(filter(None, reasons))
    return Verdict(claim["id"], says, source, verdict, reason, parts, primary, stage.n, stage.void)


def _part(
    found: Evidence, facts: Facts, tested: float, parts: int, level: float, looks: Sequence[int], place: int
) -> Part:
    """The part decided at ``tested``, one-sided."""
    p = min(found.supports, found.refutes)
    if found.missing:
        verdict = UNDECIDED
    elif parts * found.refutes <= tested:
        verdict = REFUTED
    else:
        verdict = SUPPORTED if found.supports <= tested else UNDECIDED
    low, high = found.bounds(1 - tested)
    flips = found.flips() if found.flips else None
    return Part(
        text=found.text,
        metric=found.metric,
        effect=found.effect,
        low=low,
        high=high,
        n=found.n,
        p=p,
        p_holm=min(overall(looks, place, p) * ALPHA / level, 1.0) if not math.isnan(p) else math.nan,
        p_attainable=flips.attainable if flips else math.nan,
        verdict=verdict,
        unit=found.unit,
        level=1 - tested,
        p_sign=flips.p if flips else math.nan,
        improvement=found.improvement() if found.improvement else None,
        reason=_reason(found, facts, flips, low, high, tested, verdict),
        own_scale=found.own_scale,
        margin=found.margin,
    )


def _reason(
    found: Evidence,
    facts: Facts,
    flips: stats.SignFlip | None,
    low: float,
    high: float,
    tested: float,
    verdict: str,
) -> str:
    if found.missing:
        return f"{found.text}: {found.missing}"

    def write(value: float) -> str:
        return f"{value:.3g}" if found.own_scale else facts.write(value)

    bounds = f"[{write(low)}, {write(high)}]" if math.isfinite(low) and math.isfinite(high) else "without bounds"
    words = f"effect {write(found.effect)} {bounds}, each bound at {100 * (1 - tested):.3g} %"
    test = found.test or (flips.sentence() if flips else "")
    more = ", ".join(filter(None, [test, *found.notes]))
    return f"{found.text}: {verdict}, {words}, {count(found.n, found.over)}" + (f" ({more})" if more else "")
