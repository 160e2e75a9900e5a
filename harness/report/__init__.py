"""Records -> report.html, report.md, table.csv and report.json. The same records always give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.errors import UsageError
from harness.files import write_atomic

FILES = {"html": "report.html", "md": "report.md", "csv": "table.csv", "json": "report.json"}


def build(
    folders: Sequence[Path], out: Path | None = None, formats: Iterable[str] = ("html", "md", "csv")
) -> list[Path]:
    """Write the reports of result folders and return the files, in order.

    Each folder (results/<suite>, with plan.json) gets its files inside itself, or in ``out`` (in ``out``/<folder name>
    when there are several). UsageError on an unknown format or a folder without a plan.
    """
    from harness.ledger.table import load
    from harness.report.numbers import Numbers

    wanted = list(dict.fromkeys(formats))
    unknown = sorted(set(wanted) - set(FILES))
    if unknown or not wanted:
        raise UsageError(
            f"unknown report format {', '.join(unknown) or 'of no name'}; expected some of {', '.join(FILES)}"
        )
    written = []
    for folder in map(Path, folders):
        numbers = Numbers(load(folder))
        place = folder if out is None else Path(out) if len(folders) == 1 else Path(out) / folder.resolve().name
        for name in (name for name in FILES if name in wanted):
            write_atomic(place / FILES[name], _text(name, numbers, beside(place, wanted)).encode())
            written.append(place / FILES[name])
    return written


def summary(folder: Path, most: int = 4) -> list[dict[str, Any]]:
    """The decision table for a terminal: one flat dict of plain text a variant, with at most ``most`` metrics.

    Keys: variant, cells, n ("3" or "2 of 3"), each metric's title (mean and 95 % interval), and after the first metric
    "to baseline" (paired difference and its interval).
    """
    from harness.ledger.table import load
    from harness.report.numbers import Numbers
    from harness.report.tables import decision

    rows = []
    for row in decision(Numbers(load(Path(folder)))):
        line = {"variant": row.label + (" (baseline)" if row.baseline else ""), "cells": row.cells}
        line["n"] = str(row.done) if row.done == row.planned else f"{row.done} of {row.planned}"
        for place, cell in enumerate(row.values[:most]):
            line[cell.metric.words] = f"{cell.value} {cell.bounds}".strip()
            if place == 0:
                line["to baseline"] = f"{cell.delta} {cell.delta_bounds}".strip()
        rows.append({key: text.replace("−", "-").replace("–", "-") for key, text in line.items()})
    return rows


def left_out(folder: Path) -> list[str]:
    """What a report of this folder leaves out because it is damaged, a sentence each."""
    from harness.ledger.table import load

    return [f"{folder}: {why}" for _, why in load(Path(folder)).damaged]


def outcome(folder: Path) -> dict[str, str]:
    """How a suite came out, in words: {"trials": "15 of 15 trials", "claims": "2 supported, 1 refuted"}."""
    from harness.ledger.table import load
    from harness.report.numbers import Numbers
    from harness.report.verdicts import lines, tally

    numbers = Numbers(load(Path(folder)))
    done, planned = len(numbers.table.done), len(numbers.table.trials)
    return {"trials": f"{done} of {planned} trials", "claims": tally(lines(numbers))}


Named = tuple[tuple[str, str], ...]


def beside(place: Path, formats: Iterable[str] = ("html", "md", "csv")) -> tuple[Named, Named, str]:
    """What a page in this folder links to: the report's other files, the suites beside it, the index above it."""
    place = place.absolute()
    files = tuple((FILES[name], FILES[name]) for name in FILES if name in formats and name != "html")
    others = sorted(path.parent.name for path in place.parent.glob("*/plan.json"))
    suites = tuple((name, f"../{quote(name)}/{FILES['html']}") for name in others if name != place.name)
    above = [address for address in ("../index.html", "../../index.html") if (place / address).is_file()]
    return files, suites, above[0] if above else ""


def _text(name: str, numbers: Any, links: tuple[Named, Named, str]) -> str:
    if name == "html":
        from harness.report.page import Links, html

        return html(numbers, Links(*links))
    if name == "md":
        from harness.report.markdown import markdown

        return markdown(numbers)
    if name == "csv":
        from harness.report.csv_file import csv_text

        return csv_text(numbers)
    from harness.report.json_file import json_text

    return json_text(numbers)
