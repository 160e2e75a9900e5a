"""A suite on a card: question, answer, picture, how much stands behind it. Site and findings show cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.report import clearest, lead, outlook, verdicts
from harness.report.numbers import Numbers


@dataclass(frozen=True)
class Card:
    """What one glance at a suite tells. ``case`` holds the tiles of its picture; None where there is none."""

    suite: str
    scale: str
    question: str
    said: lead.Lead
    about: str
    day: str
    lines: list[verdicts.Line]
    tally: str
    chosen: clearest.Pair | None
    case: clearest.Case | None
    command: str

    @property
    def captions(self) -> list[str]:
        """What the tiles of the picture show, from left to right."""
        return [caption.partition(":")[0] for caption in self.case.tiles] if self.case else []

    def strip(self) -> NDArray[np.uint8] | None:
        """The tiles side by side, (H, n * H, 3)."""
        return np.concatenate(list(self.case.tiles.values()), axis=1) if self.case else None


def card(numbers: Numbers) -> Card:
    """The card of a suite's table."""
    plan: Any = numbers.table.plan
    found = verdicts.judged(numbers)
    open_ = outlook.outlooks(numbers.table, found)
    chosen = clearest.pair(numbers)
    lines = verdicts.lines(numbers, found, open_)
    return Card(
        suite=numbers.table.suite,
        scale=str(plan.get("scale") or ""),
        question=str(plan.get("question") or numbers.table.suite),
        said=lead.lead(numbers, found, open_, chosen),
        about=lead.together(numbers.table),
        day=lead.day(numbers.table),
        lines=lines,
        tally=verdicts.tally(lines),
        chosen=chosen,
        case=clearest.case(numbers.table, chosen) if chosen else None,
        command=str(plan.get("command") or ""),
    )
