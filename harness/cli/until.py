"""`harness run --until-decided`: looks, budget, and what a decision will probably take."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.ledger.records import Ledger, Record
    from harness.suite.suite import Suite
    from harness.trials.trial import Trial

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str | None) -> str | None:
    """Check a `--budget`: 90s, 45m, 2h, or minutes without a unit."""
    if text is not None and not re.fullmatch(r"\d+(\.\d+)?[smh]?", text):
        raise typer.BadParameter(f"{text!r} is no time. Expected 90s, 45m or 2h")
    return text


def in_seconds(text: str | None) -> float | None:
    """A checked `--budget` in seconds."""
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1] in UNITS else (text, "m")
    return float(number) * UNITS[unit]


def looks_for(suite: Suite, asked: bool, fixed: str, budget: str | None, most: int | None) -> tuple[int, ...]:
    """The looks of a run; empty for one with a fixed number of pairs.

    `fixed` names the option that asks for a fixed number, if one does. UsageError where options contradict each other.
    """
    if not asked and (suite.until is None or fixed):
        for name, value in (("--budget", budget), ("--max-pairs", most)):
            if value is not None:
                raise UsageError(f"{name} bounds a run until its claims are decided. Add --until-decided")
        return ()
    if fixed:
        raise UsageError(f"{fixed} and --until-decided contradict each other: a fixed number of trials, or rounds")
    if not suite.claims:
        raise UsageError(f"--until-decided: the suite {suite.name!r} has no claims, so nothing is to be decided")
    from harness.claims.schedule import LOOKS, looks_up_to

    return looks_up_to(most) if most is not None else suite.looks or LOOKS


def run_until_decided(
    trials: Sequence[Trial],
    looks: Sequence[int],
    ledger: Ledger,
    plan: Callable[[Sequence[Trial]], Mapping[str, Any]],
    train: Callable[[list[Trial]], list[Record]],
    budget_s: float | None,
    at_once: int,
) -> tuple[list[Trial], list[Record]]:
    """Train in rounds and say how the claims stand after each; all trials planned, and their records."""
    from harness import terminal
    from harness.rounds.run import BUDGET, DECIDED, rounds
    from harness.trials.plan import planned

    began = time.monotonic()

    def fits(batch: Sequence[Trial]) -> bool:
        rows = planned(batch, ledger)
        left = sum(row.seconds or 0.0 for row in rows if row.state != "done") / at_once
        return budget_s is None or time.monotonic() - began + left <= budget_s

    def with_budget(planned_now: Sequence[Trial]) -> dict[str, Any]:
        return {**plan(planned_now), "until": {"budget_s": budget_s}}

    found: dict[str, Trial] = {}
    records: dict[str, Record] = {}
    for number, (batch, standings) in enumerate(rounds(trials, looks, ledger, with_budget, fits), start=1):
        lines = [standing.sentence() for standing in standings]
        for line in lines if number > 1 else ():
            terminal.say(line)
        if batch:
            pairs, labels = len({trial.seed for trial in batch}), dict.fromkeys(trial.label for trial in batch)
            terminal.say(f"round {number}: {terminal.count(pairs, 'pair')} of {', '.join(labels)}")
            found |= {trial.name: trial for trial in batch}
            records |= {record.name: record for record in train(batch)}
    ended = ((ledger.plan() or {}).get("until") or {}).get("ended")
    limit = f"the next round would not end within the budget of {(budget_s or 0) / 60:.3g} min"
    terminal.say(
        {DECIDED: "every claim is decided", BUDGET: f"stopped: {limit}"}.get(str(ended), "no more can be decided")
    )
    return list(found.values()), list(records.values())


def forecast(
    suite: Suite, trials: Sequence[Trial], looks: Sequence[int], prospects: Sequence[Mapping[str, Any]]
) -> set[str]:
    """Names of the trials that a decision will probably take, by the `prospects` of the parts of its claims."""
    from harness.claims.words import labels_of

    needed = {trial.label: looks[0] for trial in trials}
    for claim in suite.claims:
        pairs = max(row["pairs"] for row in prospects if row["claim"] == claim["id"])
        needed |= {label: max(needed[label], pairs) for label in labels_of(claim) or needed}
    seeds = list(dict.fromkeys(trial.seed for trial in trials))
    return {trial.name for trial in trials if seeds.index(trial.seed) < needed[trial.label]}
