"""What would decide a claim that is still open: how many more pairs of people, how many minutes, and the command."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.ledger.table import Table

if TYPE_CHECKING:
    from harness.claims.verdict import Part, Verdict

ENOUGH = (6, 8, 10, 12, 14, 16, 20, 24, 30, 40, 60)  # numbers of pairs that are proposed
REPLACED = {
    "--seeds": 1,
    "--max-pairs": 1,
    "--budget": 1,
    "--until-decided": 0,
}  # options of a command, and their values


@dataclass(frozen=True)
class Outlook:
    """``pairs`` in all and ``more`` of them would probably do, in ``minutes``; 0, 0 and NaN where no number is known.

    ``text`` says so in a few words; ``command`` is empty where running on would not help.
    """

    text: str
    pairs: int = 0
    more: int = 0
    minutes: float = math.nan
    command: str = ""

    @property
    def short(self) -> str:
        """`+4 in 25 min`."""
        return f"+{self.more}" + (f" in {_time(self.minutes)}" if math.isfinite(self.minutes) else "")


def outlooks(table: Table, verdicts: Sequence[Verdict]) -> dict[str, Outlook]:
    """{id: outlook} of each undecided claim. The primary claim is decided first, so the others need its pairs too."""
    from harness.claims.verdict import ALPHA, UNDECIDED, primary_of

    claims = {str(claim["id"]): claim for claim in table.plan.get("claims") or [] if "parts" in claim}
    if not claims:
        return {}
    first = list(claims)[primary_of(list(claims.values()))]
    found: dict[str, Outlook] = {}
    for verdict in sorted(verdicts, key=lambda verdict: verdict.id != first):
        if verdict.verdict == UNDECIDED:
            level = ALPHA if verdict.id == first else ALPHA / max(1, len(claims) - 1)
            least = found[first].pairs if first in found else 0
            found[verdict.id] = _outlook(table, verdict, claims[verdict.id], level, least)
    return found


def _outlook(table: Table, verdict: Verdict, claim: Mapping[str, Any], level: float, least: int) -> Outlook:
    from harness.claims.verdict import UNDECIDED
    from harness.claims.words import labels_of

    labels = labels_of(claim) or [variant.label for variant in table.variants]
    have = min((len(v.done) for v in table.variants if v.label in labels), default=0)
    if verdict.void:
        return Outlook("a condition of it is not met")
    lost = [t for v in table.variants if v.label in labels for t in v.trials if not t.done and t.status != "missing"]
    if any(math.isnan(part.p) for part in verdict.parts) and have > 1:
        return Outlook("some trials it needs failed" if lost else "a metric it needs is undefined")
    open_parts = [part for part in verdict.parts if part.verdict == UNDECIDED and math.isfinite(part.p)]
    looks = bool((table.plan.get("until") or {}).get("looks"))
    pairs = max(4, least) if have < 2 else _enough(open_parts, level, looks, max(have + 1, least))
    if not pairs:
        return Outlook(f"more than {ENOUGH[-1]} pairs: too close to its margin")
    minutes = _minutes(table, labels if looks else [v.label for v in table.variants], pairs)
    time = f", {_time(minutes)}" if math.isfinite(minutes) else ""
    more = pairs - have
    return Outlook(f"about {more} more pairs{time}", pairs, more, minutes, command(table, pairs))


def _enough(parts: Sequence[Part], level: float, looks: bool, least: int) -> int:
    """The first number of pairs, ``least`` or more, at which today's effects and spreads decide all parts; 0: none."""
    from scipy import stats

    from harness.claims.looks import nominal
    from harness.claims.schedule import looks_up_to

    known = [part for part in parts if math.isfinite(part.margin) and math.isfinite(part.low) and part.n > 1]
    for n in ENOUGH:
        at = nominal(looks_up_to(n), level)[-1] if looks else level
        reach = float(stats.t.isf(at, n - 1)) / math.sqrt(n)
        if n >= least and known and all(abs(p.effect - p.margin) >= reach * _spread(p) for p in known):
            return n
    return 0 if known else max(least, ENOUGH[0])


def _spread(part: Part) -> float:
    """Standard deviation over pairs, from the distance of the bounds."""
    from scipy import stats

    return (part.high - part.low) / 2 / float(stats.t.ppf(part.level, part.n - 1)) * math.sqrt(part.n)


def _minutes(table: Table, labels: Sequence[str], pairs: int) -> float:
    """How long the missing trials take, at the pace of those that are done; NaN when none tells."""
    seconds = 0.0
    for variant in table.variants:
        if variant.label in labels:
            took = [_seconds(trial.part("cost")) for trial in variant.done.values()]
            took = [value for value in took if math.isfinite(value)]
            if not took:
                return math.nan
            seconds += sum(took) / len(took) * max(0, pairs - len(variant.done))
    return seconds / 60


def _seconds(cost: Mapping[str, Any]) -> float:
    """Seconds of the machine that one trial took: of several at once, its share."""
    total = (cost.get("wall_s") or {}).get("total")
    return float(total) / max(1, int(cost.get("jobs") or 1)) if total else math.nan


def _time(minutes: float) -> str:
    if minutes < 1:
        return "under a minute"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def command(table: Table, pairs: int) -> str:
    """The run's own command, with as many pairs; empty when the plan does not know it."""
    lines = [line for line in str(table.plan.get("command") or "").splitlines() if line.startswith("harness run ")]
    if not lines:
        return ""
    words, kept = shlex.split(lines[-1]), list[str]()
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        if name in REPLACED:
            del words[: 0 if equals else REPLACED[name]]
        else:
            kept.append(word)
    until = bool((table.plan.get("until") or {}).get("looks"))
    return shlex.join([*kept, *(("--until-decided", "--max-pairs") if until else ("--seeds",)), str(pairs)])
