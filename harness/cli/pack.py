"""`harness pack`: finished results in few and small files, to keep and to send."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import RESULTS, Json, Results


def pack(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITE|DIR]...", help="Which results; all under --results when none.")
    ] = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Put records, histories and per-image values of finished suites into one file each, trials.tar.xz.

    Every verb reads them there as before, and `run` goes on from there. Pictures and weights stay where they are.
    """
    from harness import terminal
    from harness.errors import UsageError
    from harness.ledger.pack import pack as packing
    from harness.ledger.records import ledgers, results_of

    folders = [results_of(name, results) for name in names or ()] or [one.folder for one in ledgers(results)]
    if not folders:
        raise UsageError(f"there are no results under {results}. Run a suite first, or name a folder")
    rows = []
    for folder in folders:
        done = packing(folder)
        rows.append({"folder": str(folder), "trials": done.trials, "before": done.before, "after": done.after})
        if not json:
            size = f"{done.before / 1e6:.2f} MB in {terminal.count(done.trials, 'trial')} -> {done.after / 1e6:.2f} MB"
            print(terminal.cell(f"{folder}: {size}"))
    if json:
        terminal.as_json({"packed": rows})
