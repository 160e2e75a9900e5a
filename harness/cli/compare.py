"""`harness compare` and `harness claims`: two results side by side, and the verdicts of finished suites."""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RESULTS, Results
from harness.errors import UsageError


class Format(StrEnum):
    """How claims are written."""

    md = "md"
    json = "json"


def compare(
    a: Annotated[str, typer.Argument(help="SUITE, DIR, SUITE:LABEL, DIR:LABEL or a trial.")],
    b: Annotated[str, typer.Argument(help="The same kind of thing; reported against A.")],
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric (repeatable).")] = None,
    margin: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="FRACTION", help="Margin of `same` where no spread between seeds is known."),
    ] = 0.05,
    results: Results = RESULTS,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")] = False,
) -> None:
    """B against A: better, worse, same or undecided by metric, from paired differences."""
    from harness import terminal
    from harness.claims.compare import compare as compared
    from harness.claims.compare import side

    found = compared(side(a, results), side(b, results), metric or (), margin)
    if json:
        terminal.as_json(
            {
                "a": {"kind": found.a.kind, "name": found.a.name},
                "b": {"kind": found.b.kind, "name": found.b.name},
                "lines": [asdict(line) for line in found.lines],
                "notes": list(found.notes),
                "settings": [{"key": key, "a": x, "b": y} for key, x, y in found.settings],
            }
        )
        return

    def plain(text: str) -> str:
        return text.replace("−", "-").replace("–", "-")

    rows = []
    for line in found.lines:
        info = found.facts[line.metric]
        known = math.isfinite(line.low)
        row = {"variant": line.variant} if len({x.variant for x in found.lines}) > 1 else {}
        rows.append(
            {
                **row,
                "metric": line.metric,
                "A": plain(info.write(line.a)),
                "B": plain(info.write(line.b)),
                "B - A": plain(info.write(line.difference)),
                "95 %": plain(info.interval(line.low, line.high)) if known else "",
                "n": terminal.count(line.n, line.basis),
                "margin": f"{plain(info.write(line.margin))} ({line.margin_from})",
                "B is": line.verdict,
            }
        )
    terminal.table(rows)
    for key, x, y in found.settings[:10]:
        print(f"{key}: {x} -> {y}")
    if len(found.settings) > 10:
        print(f"and {len(found.settings) - 10} more settings (--json)")
    for note in found.notes:
        terminal.say(note)


def claims(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR]...", help="Result folders; all under --results when none.")
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="Markdown, or JSON.")] = Format.md,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Write there instead of stdout.")] = None,
    results: Results = RESULTS,
) -> None:
    """The verdict on every claim of finished suites, from their records."""
    from harness import terminal
    from harness.files import write_atomic
    from harness.ledger.records import ledgers
    from harness.ledger.state import content_hash
    from harness.memo import remembered

    places = folders or [ledger.folder for ledger in ledgers(results)]
    if not places:
        raise UsageError(f"there are no results under {results}. Run a suite first: harness run SUITE")
    key = [format.value, [[str(place), content_hash(place)] for place in places]]
    text, count = remembered("claims", key, lambda: _verdicts(places, format))
    if to is None:
        print(text, end="")
        return
    write_atomic(to, text.encode())
    terminal.say(f"{to}: {terminal.count(count, 'claim')}")


def _verdicts(places: list[Path], format: Format) -> tuple[str, int]:
    """The text of all verdicts, and how many there are."""
    from harness.claims.verdict import judge
    from harness.ledger.table import load
    from harness.report.claim_page import as_json, page

    found = [(table, judge(table)) for table in map(load, places)]
    return page(found) if format is Format.md else as_json(found), sum(len(verdicts) for _, verdicts in found)
