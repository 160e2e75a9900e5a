"""`harness run --dry-run`: what would be trained, how long it takes, and whether it can decide the claims."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.suite.suite import Suite
    from harness.trials.plan import Planned


def show_plan(
    suite: Suite, scale: str, rows: Sequence[Planned], looks: Sequence[int], folder: Path, at_once: int, json: bool
) -> None:
    """Print the planned trials, their time and disk, and what they can decide; with `looks`, how long that takes."""
    from harness import terminal
    from harness.cli.until import forecast
    from harness.ledger.progress import duration

    total = _sum(row.seconds for row in rows if row.state != "done")
    disk = sum(row.bytes for row in rows if row.state != "done")
    decidable = _prospects(suite, rows, looks, folder)
    content: dict[str, Any] = {"suite": suite.name, "scale": scale, "trials": [row.to_dict() for row in rows]}
    content |= {"estimated_seconds": total, "estimated_bytes": disk, "claims": decidable}
    decision: dict[str, Any] | None = None
    probable: float | None = None
    if looks:
        names = forecast(suite, [row.trial for row in rows], looks, decidable)
        probable = _sum(row.seconds for row in rows if row.trial.name in names and row.state != "done")
        probable = None if probable is None else probable / at_once
        decision = {"looks": list(looks), "trials": len(names), "seconds": probable, "at_once": at_once}
    if json:
        terminal.as_json(content | {"until_decided": decision})
        return
    terminal.table(
        {
            "variant": row.trial.label,
            "seed": row.trial.seed,
            "pair": row.trial.pair,
            "digest": row.trial.digest[:8],
            "steps": row.steps,
            "parameters": row.parameters,
            "time": duration(row.seconds),
            "disk": terminal.size(row.bytes),
            "state": row.state,
        }
        for row in rows
    )
    if decidable:
        print("\ncan these pairs decide the claims?")
        terminal.table(decidable)
    basis = ", ".join(sorted({row.basis.split(" on ")[0] for row in rows}))
    print(f"\nto do: about {duration(total)} one after the other, {terminal.size(disk)} (estimates: {basis})")
    if decision:
        most = None if total is None else total / at_once
        print(
            f"looks at {', '.join(str(n) for n in looks)} pairs: probably decided after {decision['trials']} trials, "
            f"about {duration(probable)} with {at_once} at once; at most {len(rows)} trials, {duration(most)}"
        )


def _sum(values: Any) -> float | None:
    found = list(values)
    return None if None in found else sum(found)


def _prospects(suite: Suite, rows: Sequence[Planned], looks: Sequence[int], folder: Path) -> list[dict[str, Any]]:
    """Whether these trials can decide each of the suite's claims: one row for each part; none without claims."""
    if not suite.claims:
        return []
    from harness import registry
    from harness.ledger.state import content_hash
    from harness.memo import remembered

    pairs = len({row.trial.pair for row in rows})
    pairs = len({row.trial.seed for row in rows}) if pairs == 1 else pairs
    planned = tuple(looks or (pairs,))

    def ask() -> list[dict[str, Any]]:
        from harness.claims import prospects  # scipy: a second

        found = prospects.prospects(suite.claims, planned, prospects.earlier(folder))
        return [row.to_dict() for row in found]

    if registry.loaded_plugins():
        return ask()
    return remembered("prospects", [list(suite.claims), planned, content_hash(folder)], ask)
