"""Which trials come next: a function of the plan and its records alone, so that nothing is hidden between rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.claims.standing import OPEN, Standing, finished
from harness.ledger.table import Table


@dataclass(frozen=True)
class Round:
    """The first ``pairs`` replicates of the variants ``labels``; those that are done already cost nothing."""

    pairs: int
    labels: tuple[str, ...]


def next_round(
    table: Table, standings: Sequence[Standing], labels: Sequence[str], looks: Sequence[int]
) -> Round | None:
    """The next round; None when no claim is open, or no pairs are left.

    The variants of the primary claim go first, alone, look by look. Once it is decided, or can no longer be, all
    variants get the pairs of the first look: on the same people, so that differences stay paired. From then on the open
    claims that have the fewest pairs behind them get those of their next look.
    """
    has = {label: finished(table, label) for label in labels}
    primary = next((standing for standing in standings if standing.primary), None)
    if primary is not None and primary.state == OPEN:
        return _further([primary], has, labels, looks)
    behind = tuple(label for label in labels if has[label] < looks[0])
    if behind:
        return Round(looks[0], behind)
    if primary is not None and primary.state not in ("supported", "refuted"):
        return None
    return _further([standing for standing in standings if standing.state == OPEN], has, labels, looks)


def _further(
    wanted: Sequence[Standing], has: dict[str, int], labels: Sequence[str], looks: Sequence[int]
) -> Round | None:
    ahead = {s.id: next((n for n in looks if n > s.pairs), None) for s in wanted}
    left = [n for n in ahead.values() if n is not None]
    if not left:
        return None
    needed = {label for standing in wanted if ahead[standing.id] == min(left) for label in standing.labels}
    return Round(min(left), tuple(label for label in labels if label in needed))
