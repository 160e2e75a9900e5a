"""What `harness verify` checks, by what a folder holds: suites, references, data, bench records, or a face set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.data.verify import checked_data, checked_faces, kept_damage
from harness.errors import UsageError
from harness.ledger.verify import Finding, Verdict, verify_suite
from harness.report.made import checked_report

REBUILD = "rebuild it: delete {what}, the next run that needs it makes it anew"
REPORT = "rebuild it: harness report makes it anew from the records"
MAKE_ANEW = "rebuild it: delete the set, then make it anew"


def verify_folder(folder: Path) -> Verdict:
    """Check all that a folder holds. UsageError when it holds nothing that has hashes."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}. Expected a folder of results, a suite's, or a face set")
    found = Verdict(0, ())
    for suite in suites(folder):
        found += verify_suite(suite)
        found += _verdict(((suite / name, why) for name, why in checked_report(suite).items()), REPORT)
    kept = [path for kind in ("store-*", "faces-*", "references") for path in folder.glob(f"**/data/{kind}")]
    for data in sorted({path.parent for path in kept}):
        for path, why in checked_data(data):
            kind = path.relative_to(data).parts[0]
            found += _verdict([(path, why)], REBUILD.format(what="it" if kind == "references" else kind))
    if (folder / "manifest.json").is_file() and (folder / "src").is_dir():
        found += _verdict(checked_faces(folder), MAKE_ANEW)
    records = ((path, kept_damage(path)) for path in sorted(folder.glob("**/bench/*-*-*.json")))
    found += _verdict(records, "run again: it is one measurement, delete it")
    if not found.files and not found.findings:
        raise UsageError(f"{folder} holds nothing that has hashes. Expected results of a run, or a face set")
    return found


def suites(folder: Path) -> list[Path]:
    """Every suite's folder in a folder, itself included: those with a plan or with trials."""
    marks = (path for name in ("plan.json", "trials") for path in folder.glob(f"**/{name}"))
    return sorted({path.parent for path in marks if "data" not in path.relative_to(folder).parts})


def _verdict(checked: Iterable[tuple[Path, str | None]], remedy: str) -> Verdict:
    rows = list(checked)
    return Verdict(len(rows), tuple(Finding(path, why, remedy) for path, why in rows if why is not None))
