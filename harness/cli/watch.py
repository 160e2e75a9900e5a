"""`harness watch`: the state of a suite that another shell runs."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import RESULTS, Results


def watch(
    suite: Annotated[str, typer.Argument(help="Name of a suite, its file, or its results' folder.")],
    once: Annotated[bool, typer.Option("--once", help="Show the present state and leave.")] = False,
    interval: Annotated[
        float | None, typer.Option(min=0.1, max=3600, metavar="S", help="Seconds between looks: 1, or 5 into a pipe.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Watch a suite that runs elsewhere, from its files alone, until all its trials have ended."""
    from harness.ledger.records import results_of
    from harness.ledger.watch import follow

    follow(results_of(suite, results), once=once, interval_s=interval)
