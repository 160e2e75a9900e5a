"""A suite run again with other people: whether its verdicts come out the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.claims.verdict import UNDECIDED
from harness.ledger.table import Table
from harness.terminal import count


class Judged(Protocol):
    """A claim with its verdict."""

    @property
    def id(self) -> str: ...
    @property
    def verdict(self) -> str: ...


def repetitions(tables: Sequence[Table]) -> dict[int, list[int]]:
    """{place of each first run: places of the runs that repeat it}.

    A run repeats an earlier one when suite and scale are the same and they have no pair of people in common.
    """
    found: dict[int, list[int]] = {}
    for place, table in enumerate(tables):
        first = next((i for i in found if _repeats(table, tables[i])), None)
        if first is None:
            found[place] = []
        else:
            found[first].append(place)
    return found


def _repeats(table: Table, first: Table) -> bool:
    same = table.suite == first.suite and table.plan.get("scale") == first.plan.get("scale")
    mine, others = ({trial.pair for trial in each.trials} for each in (table, first))
    return same and "" not in mine and mine.isdisjoint(others)


@dataclass(frozen=True)
class Agreement:
    """Of a run's claims: how many it decided, how many of these were decided again, and how many the same way."""

    pairs: int
    decided: int
    again: int
    same: int

    @property
    def told(self) -> str:
        """As a sentence."""
        decided = f"{self.again or 'none'} {'are' if self.again > 1 else 'is'} decided there, too"
        same = f", {self.same} of them the same way" if self.again else ""
        whom = f"{count(self.pairs, 'other pair')} of people"
        return f"Run again with {whom}: of {count(self.decided, 'decided claim')} {decided}{same}."


def agreement(first: Iterable[Judged], again: Iterable[Judged], table: Table) -> Agreement:
    """How far the verdicts of `again`, the run of `table`, agree with those of `first`."""
    before = {one.id: one.verdict for one in first if one.verdict != UNDECIDED}
    after = {one.id: one.verdict for one in again if one.verdict != UNDECIDED and one.id in before}
    same = sum(before[id_] == verdict for id_, verdict in after.items())
    return Agreement(len({trial.pair for trial in table.done}), len(before), len(after), same)
