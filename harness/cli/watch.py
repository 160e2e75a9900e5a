"""`harness watch`: the state of a suite that another shell runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RESULTS, Results


def watch(
    suite: Annotated[str, typer.Argument(help="Name of a suite, its file, or its results' folder.")],
    once: Annotated[bool, typer.Option("--once", help="Show the present state and leave.")] = False,
    interval: Annotated[
        float | None, typer.Option(min=0.1, max=3600, metavar="S", help="Seconds between looks.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Watch a suite that runs elsewhere, from its files alone, until all its trials have ended.

    A run of a known suite that has not begun is waited for.
    """
    from harness.ledger.records import inside, results_of
    from harness.ledger.watch import follow
    from harness.suite.suite import known_suites

    expected = not once and (Path(suite).is_file() or suite in known_suites())
    folder = inside(results, Path(suite).stem) if expected else results_of(suite, results)
    follow(folder, once=once, interval_s=interval)
