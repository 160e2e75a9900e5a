"""`harness list` and `harness show`: what there is, and one trial of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RESULTS, Json, Results


class Listed(StrEnum):
    """What can be listed."""

    suites = "suites"
    variants = "variants"
    losses = "losses"
    metrics = "metrics"
    settings = "settings"
    trials = "trials"


def _trial_names(incomplete: str) -> list[str]:
    from harness.ledger.records import ledgers

    return [r.name for ledger in ledgers(Path("results")) for r in ledger.records() if r.name.startswith(incomplete)]


def list_(
    what: Annotated[Listed, typer.Argument(help="What to list.")],
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """List the known suites, the registered parts, the settings of a suite, or the trials in the folder of results."""
    from harness import terminal
    from harness.cli import listing

    rows = listing.rows(what.value, results)
    if json:
        terminal.as_json({what.value: rows})
    elif rows:
        terminal.table(rows)
    else:
        terminal.say(f"no {what.value}" + (f" under {results}{_offered(results)}" if what is Listed.trials else ""))


def _offered(results: Path) -> str:
    """Where results of the reference lie that come with the product, for whom has none of their own."""
    scales = sorted(path.parent.parent for path in (results / "reference").glob("*/*/plan.json"))
    names = " or ".join(f"harness list trials --results {place}" for place in dict.fromkeys(scales))
    return f". The reference has some: {names}" if names else ". Run a suite first: harness run SUITE"


def show(
    trial: Annotated[str, typer.Argument(help="Name of a trial, or its beginning.", autocompletion=_trial_names)],
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Show one trial: specification, scores, cost, and where its pictures are."""
    from harness import terminal
    from harness.cli import listing
    from harness.ledger.find import find_trial

    record = find_trial(trial, results)
    if json:
        pictures = [str(path) for path in listing.pictures(record)]
        terminal.as_json(
            {**record.to_dict(), "sha256": record.sha256, "folder": str(record.folder), "pictures": pictures}
        )
    else:
        listing.show(record)
