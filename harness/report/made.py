"""A report that was made before, from these very records by this very program, need not be made again.

`report.made.json` beside a report holds the hash of what it was made from and of each file of it, so it is also what
tells a damaged report from a whole one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import report
from harness.files import file_sha256, hash_of, kept_json, write_hashed_json
from harness.ledger.state import content_hash
from harness.memo import sources_digest

NAME = "report.made.json"


@dataclass(frozen=True)
class Made:
    """The files of a report, its decision table for a terminal, and what had to be left out."""

    paths: list[Path]
    rows: list[dict[str, Any]]
    lost: list[str]


def report_of(folder: Path, formats: Iterable[str] = ("html", "md", "csv")) -> Made:
    """The report of a suite inside its own folder; what is there already and still right is left as it is."""
    wanted = {file: name for name, file in report.FILES.items() if name in set(formats)}
    source = hash_of([content_hash(folder), sources_digest(), report.beside(folder)])
    kept = kept_json(folder / NAME) or {}
    files = {name: sha for name, sha in kept.get("files", {}).items() if _is(folder / name, sha)}
    if kept.get("made_from") == source and files.keys() >= wanted.keys():
        return Made([folder / name for name in wanted], kept["summary"], kept["left_out"])
    paths = report.build([folder], None, set(wanted.values()))
    made = Made(paths, report.summary(folder), report.left_out(folder))
    files = (files if kept.get("made_from") == source else {}) | {path.name: file_sha256(path) for path in paths}
    write_hashed_json(folder / NAME, {"made_from": source, "files": files, "summary": made.rows, "left_out": made.lost})
    return made


def checked_report(folder: Path) -> dict[str, str | None]:
    """{file: what is wrong with it, or None} of the report in a suite's folder, as far as it is known."""
    if not (folder / NAME).is_file():
        return {}
    kept, wrong = kept_json(folder / NAME), "its content does not match its hash"
    if kept is None:
        return {NAME: wrong}
    there = {name: sha for name, sha in kept["files"].items() if (folder / name).exists()}
    return {NAME: None} | {name: None if _is(folder / name, sha) else wrong for name, sha in there.items()}


def _is(path: Path, sha256: str) -> bool:
    try:
        return file_sha256(path) == sha256
    except OSError:
        return False
