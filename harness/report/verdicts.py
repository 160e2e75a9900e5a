"""The suite's claims as lines to read: verdict, effect with its interval and n, reason, and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.ledger.facts import Facts
from harness.ledger.number_format import number
from harness.report.numbers import Numbers
from harness.report.outlook import Outlook, outlooks

if TYPE_CHECKING:
    from harness.claims.verdict import Part, Verdict

SIGNS = {"supported": "✓", "refuted": "✕", "undecided": "○"}
STATES = {"supported": "good", "refuted": "bad", "undecided": "note"}


@dataclass(frozen=True)
class Line:
    """One claim. ``state`` picks a colour beside the sign and the word; ``evidence`` holds one text a part.

    ``effect`` is the part that decides, in a few words, ``n`` its pairs; ``outlook`` what would decide an open claim.
    """

    id: str
    says: str
    verdict: str
    sign: str
    state: str
    source: str
    agreement: str
    reason: str
    evidence: tuple[str, ...]
    effect: str = ""
    n: str = ""
    primary: bool = False
    outlook: Outlook | None = None


def judged(numbers: Numbers) -> list[Verdict]:
    """The verdicts of the plan's claims, in the plan's order; none when it states none."""
    if not numbers.table.plan.get("claims"):
        return []
    from harness.claims.verdict import judge

    return list(judge(numbers.table))


def lines(
    numbers: Numbers, found: Sequence[Verdict] | None = None, open_: Mapping[str, Outlook] | None = None
) -> list[Line]:
    """What the report writes of each claim."""
    found = judged(numbers) if found is None else found
    open_ = outlooks(numbers.table, found) if open_ is None else open_
    return [
        Line(
            id=v.id,
            says=v.says,
            verdict=v.verdict,
            sign=SIGNS[v.verdict],
            state=STATES[v.verdict],
            source=v.source,
            agreement=v.agreement,
            reason=v.reason[:1].upper() + v.reason[1:],
            evidence=tuple(filter(None, (evidence(part, numbers.table.facts(part.metric)) for part in v.parts))),
            effect=effect(part, numbers.table.facts(part.metric)) if (part := deciding(v)) else "",
            n=str(part.n) if part else "",
            primary=v.primary,
            outlook=open_.get(v.id),
        )
        for v in found
    ]


def deciding(verdict: Verdict) -> Part | None:
    """The first part with the verdict of the whole, and a number."""
    known = [part for part in verdict.parts if math.isfinite(part.effect)]
    return next((part for part in known if part.verdict == verdict.verdict), known[0] if known else None)


def effect(part: Part, facts: Facts) -> str:
    """`identity transfer −0.12 [−0.20, −0.04]`; what is no value of the metric, as a correlation, has its unit."""
    known = math.isfinite(part.low) and math.isfinite(part.high)

    def write(value: float) -> str:
        return number(value) if part.own_scale else facts.write(value)

    bounds = f"[{write(part.low)}, {write(part.high)}]" if known else ""
    return " ".join(filter(None, (facts.words, write(part.effect), bounds, part.unit if part.own_scale else "")))


def tally(lines: list[Line]) -> str:
    """`2 supported, 1 refuted, 3 undecided`, without those that are none."""
    counts = {word: sum(line.verdict == word for line in lines) for word in SIGNS}
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n)


def evidence(part: Part, facts: Facts) -> str:
    """A part's effect in one line, `Identity transfer: 0.258 [0.207, 0.308], each bound at 95 %, n = 4`, or empty."""
    if not math.isfinite(part.effect):
        return ""

    def write(value: float) -> str:
        return number(value) if part.own_scale else facts.write(value)

    text = write(part.effect)
    if math.isfinite(part.low) and math.isfinite(part.high):
        text += f" [{write(part.low)}, {write(part.high)}]"
    text = " ".join(filter(None, (text, part.unit)))
    text += f", each bound at {100 * part.level:.3g} %" if math.isfinite(part.level) else ""
    return f"{facts.title}: {text}, n = {part.n}"
