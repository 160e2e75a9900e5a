"""The rounds of a run, one after the other: plan, let the caller train, look.

The same command goes on after an interruption: what is done is not trained again, and the looks come out the same,
because they depend on the records of the first pairs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from harness.claims.standing import Standing, standings
from harness.ledger.records import Ledger
from harness.ledger.table import Table, load
from harness.rounds.next_round import next_round
from harness.trials.trial import Trial

DECIDED, OVER, BUDGET = "decided", "no pairs left", "budget"
FINAL = ("supported", "refuted")


def rounds(
    trials: Sequence[Trial],
    looks: Sequence[int],
    ledger: Ledger,
    plan: Callable[[Sequence[Trial]], Mapping[str, Any]],
    fits: Callable[[Sequence[Trial]], bool] = lambda batch: True,
) -> Iterator[tuple[list[Trial], list[Standing]]]:
    """Yield the trials of each round and how the claims stood before it; the caller trains them before it asks again.

    ``trials`` are those of the last look: every variant, every pair. ``plan(planned)`` gives the content of plan.json,
    to which the looks, the rounds taken with their trials, and the reason of the end are added. No round is begun that
    does not ``fit``, except the first.
    """
    labels = list(dict.fromkeys(trial.label for trial in trials))
    seeds = list(dict.fromkeys(trial.seed for trial in trials))
    taken: list[dict[str, Any]] = []

    def written(ended: str = "") -> Table:
        names = {name for row in taken for name in row["trials"]}
        content = plan([trial for trial in trials if trial.name in names])
        until = {**content.get("until", {}), "looks": list(looks), "ended": ended}
        ledger.write_plan({**content, "until": until, "rounds": taken})
        return load(ledger.folder) if names else Table(ledger.folder, {**content, "until": until}, (), 0)

    table = written()
    standing, ended = standings(table), ""
    while not ended and (coming := next_round(table, standing, labels, looks)) is not None:
        chosen = set(seeds[: coming.pairs])
        batch = [trial for trial in trials if trial.label in coming.labels and trial.seed in chosen]
        if taken and not fits(batch):
            ended = BUDGET
            continue
        names = [trial.name for trial in batch]
        taken.append({"pairs": coming.pairs, "labels": list(coming.labels), "trials": names})
        written()
        yield batch, standing
        table = load(ledger.folder)
        standing = standings(table)
        taken[-1]["claims"] = {one.id: {"state": one.state, "pairs": one.pairs, "needs": one.needs} for one in standing}
    written(ended or (DECIDED if all(one.state in FINAL for one in standing) else OVER))
    yield [], standing
