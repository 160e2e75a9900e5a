"""What `harness report` does: reports of some suites, or of all that are committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import report, terminal
from harness.errors import UsageError
from harness.ledger.records import ledgers, results_of, write_atomic


def write_reports(suites: Sequence[str], root: Path, out: Path | None, formats: set[str], json: bool) -> None:
    """The reports of the named suites (all under `root` when none is named), and the table of a single one."""
    folders = [results_of(name, root) for name in suites or [str(ledger.folder) for ledger in ledgers(root)]]
    if not folders:
        raise UsageError(f"there are no results under {root}. Run a suite first: harness run SUITE")
    paths = report.build(folders, out, formats)
    if json:
        terminal.as_json({"report": [str(path) for path in paths]})
        return
    if len(folders) == 1:
        terminal.table(report.summary(folders[0]))
        print()
    for path in paths:
        print(path)


def rebuild_reference(root: Path, formats: set[str], json: bool) -> None:
    """Every suite under `root`/reference/<scale>, from its records alone, a line each; then the page of all claims.

    That page goes to docs/claims.md beside `root`, where there is such a folder. Folders without a plan are no suites.
    """
    reference = root / "reference"
    folders = [ledger.folder for scale in sorted(reference.glob("*/")) for ledger in ledgers(scale)]
    if not folders:
        raise UsageError(f"there are no reference results under {reference}. --root names another root of results")
    rows = []
    for folder in folders:
        paths = report.build([folder], None, formats)
        row = {"scale": folder.parent.name, "suite": folder.name, **report.outcome(folder)}
        rows.append({**row, "report": [str(path) for path in paths]})
        if not json:
            claims = f"; {row['claims']}" if row["claims"] else ""
            size = terminal.size(paths[0].stat().st_size)
            print(f"{row['scale']}/{row['suite']}: {row['trials']}{claims}; {paths[0]} ({size})", flush=True)
    page = _claims(folders, root.parent / "docs")
    if json:
        terminal.as_json({"suites": rows, "claims": str(page) if page else None})
    elif page:
        print(page)


def _claims(folders: Sequence[Path], docs: Path) -> Path | None:
    from harness.claims.verdict import judge
    from harness.ledger.table import load
    from harness.report.claim_page import page

    found = [(table, verdicts) for folder in folders if (verdicts := judge(table := load(folder)))]
    if not found or not docs.is_dir():
        return None
    write_atomic(docs / "claims.md", page(found).encode())
    return docs / "claims.md"
