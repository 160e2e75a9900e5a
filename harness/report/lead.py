"""The answer as a person would say it: what was found, what it costs, and what is not known. Made by rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.ledger.table import Table, Variant
from harness.report.answer import answer
from harness.report.clearest import Pair
from harness.report.numbers import Numbers
from harness.report.outlook import Outlook

if TYPE_CHECKING:
    from harness.claims.verdict import Verdict

REHEARSED = "A rehearsal: a few steps of each variant, to learn what all would cost. It answers nothing."
SCALE = "0 is no swap, 1 the exact swap"


@dataclass(frozen=True)
class Lead:
    """Three short texts; ``cost`` and ``unknown`` may be empty."""

    found: str
    cost: str = ""
    unknown: str = ""


def lead(numbers: Numbers, verdicts: Sequence[Verdict], open_: Mapping[str, Outlook], chosen: Pair | None) -> Lead:
    """The answer of a suite; of photographs, and without any score, what `answer` says first; of a rehearsal, none."""
    if numbers.table.plan.get("rehearsal"):
        return Lead(REHEARSED)
    if numbers.primary is None or not numbers.table.truth or chosen is None:
        return Lead(answer(numbers)[0], "", _unknown(verdicts, open_))
    sentences = [_verdict(verdicts), _best(numbers), _against(verdicts)]
    return Lead(" ".join(filter(None, sentences)), _cost(numbers, chosen), _unknown(verdicts, open_))


def _verdict(verdicts: Sequence[Verdict]) -> str:
    """The primary claim in its own words, and whether it holds."""
    first = next((v for v in verdicts if v.primary), verdicts[0] if verdicts else None)
    if first is None:
        return ""
    if first.verdict == "supported":
        return f"{first.says.rstrip('.')}."
    word = "Not so" if first.verdict == "refuted" else "Not decided yet"
    return f"{word}: “{first.says.rstrip('.')}”."


def _best(numbers: Numbers) -> str:
    """Which variant is best, by how much, and whether any of them does what it is for."""
    metric = str(numbers.primary)
    facts = numbers.table.facts(metric)
    ranked = ranking(numbers, metric)
    best, worst = ranked[0], ranked[-1]
    means = {v.label: facts.write(numbers.mean(v, metric).mean) for v in (best, worst)}
    if metric == "swap_score" and numbers.mean(best, metric).mean < 0:
        return (
            f"None of them swaps here: even {best.label} is beaten by answers that need no swap "
            f"(swap score {means[best.label]}; {SCALE})."
        )
    note = f"; {SCALE}" if metric == "swap_score" else ""
    if len(ranked) < 2:
        return f"{best.label} has a {facts.words} of {means[best.label]}{note}."
    tied = [v.label for v in ranked[1:] if not _behind(numbers, v, best, metric)]
    if len(tied) == len(ranked) - 1:
        return (
            f"By {facts.words} no variant is clearly ahead: from {means[worst.label]} ({worst.label}) "
            f"to {means[best.label]} ({best.label}{note})."
        )
    with_ = f", with {_listed(tied)} not clearly behind" if tied else ""
    return (
        f"Best by {facts.words}: {best.label} ({means[best.label]}{note}){with_}; "
        f"worst: {worst.label} ({means[worst.label]})."
    )


def ranking(numbers: Numbers, metric: str) -> list[Variant]:
    """The scored variants from best to worst by their means; whoever is clearly better on the same people goes first.

    Means alone mislead where the variants have different replicates.
    """
    sign = numbers.table.facts(metric).sign or 1
    scored = [v for v in numbers.table.variants if numbers.scored(v, metric)]
    ranked = sorted(scored, key=lambda v: -sign * numbers.mean(v, metric).mean)
    for variant in list(ranked[1:]):
        if _behind(numbers, ranked[0], variant, metric):
            ranked.remove(variant)
            ranked.insert(0, variant)
    return ranked


def _behind(numbers: Numbers, variant: Variant, best: Variant, metric: str) -> bool:
    """Whether a variant is clearly worse on the people that both have."""
    interval, sign = numbers.difference(variant, best, metric).interval, numbers.table.facts(metric).sign or 1
    return interval.known and (interval.high < 0 if sign > 0 else interval.low > 0)


def _listed(labels: Sequence[str]) -> str:
    shown = [*labels[:3], *([f"{len(labels) - 3} more"] if len(labels) > 3 else [])]
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


def _against(verdicts: Sequence[Verdict]) -> str:
    """Which verdicts contradict the source material."""
    found = [v.id for v in verdicts if v.agreement == "against the source"]
    return f"This contradicts the source material on {_listed(found)}." if found else ""


def _cost(numbers: Numbers, chosen: Pair) -> str:
    """What the better of the two takes more, or less, than the other one."""
    parts = []
    for metric, words in (("parameters", "parameters"), ("flops", "arithmetic"), ("train_seconds", "training time")):
        ours, theirs = (numbers.mean(v, metric).mean for v in (chosen.one, chosen.other))
        timed = metric != "train_seconds" or _apart(numbers, chosen, metric)  # else it says how busy the machine was
        if timed and math.isfinite(ours) and math.isfinite(theirs) and theirs > 0:
            change = ours / theirs - 1
            word = "as much" if metric != "parameters" else "as many"
            if abs(change) < 0.015:
                parts.append(f"{word} {words}")
            elif abs(change) > 1:
                parts.append(f"{ours / theirs:.1f} times the {words}")
            else:
                more = "more" if change > 0 else "less" if metric != "parameters" else "fewer"
                parts.append(f"{abs(change):.0%} {more} {words}")
    if not parts:
        return ""
    listed = f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]
    return f"Cost: beside {chosen.other.label}, {chosen.one.label} takes {listed}."


def _apart(numbers: Numbers, chosen: Pair, metric: str) -> bool:
    """Whether the two clearly differ on the people that both have."""
    interval = numbers.difference(chosen.one, chosen.other, metric).interval
    return interval.known and not interval.low <= 0 <= interval.high


def _unknown(verdicts: Sequence[Verdict], open_: Mapping[str, Outlook]) -> str:
    """The claims that are open, and what would probably decide them."""
    if not verdicts:
        return ""
    if not open_:
        return "Every claim of the suite is decided."
    known = {id_: one for id_, one in open_.items() if one.more}
    text = f"Not known: {_listed(list(open_))}."
    if not known:
        return text
    most = max(known.values(), key=lambda one: one.pairs)
    least = min(known.values(), key=lambda one: one.pairs)
    first = [id_ for id_, one in known.items() if one.pairs == least.pairs]
    text += f" {least.text[:1].upper()}{least.text[1:]} would probably decide {_listed(first)}"
    return f"{text}; the hardest of them takes {most.pairs} pairs." if most.pairs > least.pairs else f"{text}."


def together(table: Table) -> str:
    """How much stands behind the answer: pairs of people, trials, and the day of the last of them."""
    pairs = len({trial.pair or trial.seed for trial in table.done})
    seeds = len({trial.seed for trial in table.done})
    units = (
        f"{pairs} pairs of people" if pairs > 1 else f"{seeds} seeds, one pair of people" if seeds > 1 else "one pair"
    )
    done = f"{len(table.done)} of {len(table.trials)} trials"
    return " · ".join(filter(None, (units, done, day(table))))


def day(table: Table) -> str:
    """The day on which the last trial ended, as 2026-11-21; empty when no record says so."""
    ends = sorted(str(trial.record.finished or "") for trial in table.done if trial.record)
    return ends[-1][:10] if ends else ""
