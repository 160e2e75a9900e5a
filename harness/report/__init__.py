"""Records -> report.html, report.md and table.csv. The same records always give the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.errors import UsageError

FILES = {"html": "report.html", "md": "report.md", "csv": "table.csv"}


def build(
    folders: Sequence[Path], out: Path | None = None, formats: Iterable[str] = ("html", "md", "csv")
) -> list[Path]:
    """Write the reports of result folders and return the files, in order.

    Each folder (results/<suite>, with plan.json) gets its files inside itself, or in ``out`` (in ``out``/<folder name>
    when there are several). UsageError on an unknown format or a folder without a plan.
    """
    from harness.report.load import load
    from harness.report.numbers import Numbers

    wanted = list(dict.fromkeys(formats))
    unknown = sorted(set(wanted) - set(FILES))
    if unknown:
        raise UsageError(f"unknown report format {', '.join(unknown)}; expected some of {', '.join(FILES)}")
    written = []
    for folder in map(Path, folders):
        numbers = Numbers(load(folder))
        place = folder if out is None else Path(out) if len(folders) == 1 else Path(out) / folder.resolve().name
        place.mkdir(parents=True, exist_ok=True)
        for name in (name for name in FILES if name in wanted):
            _write(place / FILES[name], _text(name, numbers))
            written.append(place / FILES[name])
    return written


def summary(folder: Path) -> list[dict[str, Any]]:
    """The decision table as plain values, one dict a variant, for a terminal or JSON.

    {variant, cells, done, planned, baseline, metrics: [{name, title, unit, direction, mean, low, high, delta,
    delta_low, delta_high, verdict, text}]}; NaN is None; ``text`` is the mean and its interval as the page writes them.
    """
    from harness.report.load import load
    from harness.report.numbers import Numbers
    from harness.report.tables import decision

    return [
        {
            "variant": row.label,
            "cells": row.cells,
            "done": row.done,
            "planned": row.planned,
            "baseline": row.baseline,
            "metrics": [_plain(cell) for cell in row.values],
        }
        for row in decision(Numbers(load(Path(folder))))
    ]


def _plain(cell: Any) -> dict[str, Any]:
    change = cell.difference.interval if cell.difference else None
    values = {"mean": cell.mean.mean, "low": cell.mean.low, "high": cell.mean.high}
    values |= {"delta": change.mean, "delta_low": change.low, "delta_high": change.high} if change else {}
    kept = {key: value if value == value else None for key, value in values.items()}
    return {
        "name": cell.metric.name,
        "title": cell.metric.title,
        "unit": cell.metric.unit,
        "direction": cell.metric.direction,
        **{"delta": None, "delta_low": None, "delta_high": None},
        **kept,
        "verdict": cell.verdict,
        "text": f"{cell.value} {cell.bounds}".strip(),
    }


def _text(name: str, numbers: Any) -> str:
    if name == "html":
        from harness.report.page import html

        return html(numbers)
    if name == "md":
        from harness.report.markdown import markdown

        return markdown(numbers)
    from harness.report.sheet import sheet

    return sheet(numbers)


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never sees half a report."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8", newline="\n")
    os.replace(draft, path)
