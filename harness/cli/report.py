"""What `harness report` does: reports of some suites, or of all that are committed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import report, terminal
from harness.errors import CheckFailed, EnvironmentProblem, UsageError
from harness.files import write_atomic
from harness.ledger.records import ledgers, results_of
from harness.report.made import Made, report_of


def write_reports(suites: Sequence[str], root: Path, to: Path | None, formats: set[str], json: bool) -> None:
    """The reports of the named suites (all under `root` when none is named), and the table of a single one.

    Raises CheckFailed, after all are written, when something damaged had to be left out.
    """
    folders = [results_of(name, root) for name in suites or [str(ledger.folder) for ledger in ledgers(root)]]
    if not folders:
        raise UsageError(f"there are no results under {root}. Run a suite first: harness run SUITE")
    paths: list[Path] = []
    lost: list[str] = []
    rows: list[dict[str, Any]] = []
    for folder in folders:
        place = to / folder.resolve().name if to is not None and len(folders) > 1 else to
        try:
            one = report_of(folder, formats) if place is None else _elsewhere(folder, place, formats)
            paths, lost, rows = paths + one.paths, lost + one.lost, one.rows
        except EnvironmentProblem as error:
            if len(folders) == 1:
                raise
            lost.append(str(error))
    if json:
        terminal.as_json({"report": [str(path) for path in paths], "left_out": lost})
    else:
        if len(folders) == 1:
            terminal.table(rows)
            print()
        for path in paths:
            print(path)
    tell(lost)


def _elsewhere(folder: Path, place: Path, formats: set[str]) -> Made:
    return Made(report.build([folder], place, formats), report.summary(folder), report.left_out(folder))


def tell(lost: Sequence[str]) -> None:
    """Warn of what a report had to leave out. Raises CheckFailed when that is anything."""
    for problem in lost:
        terminal.say(f"warning: left out: {terminal.cell(problem)}")
    if lost:
        what = terminal.count(len(lost), "damaged file")
        raise CheckFailed(f"{what} left out of the report. `harness verify` says what to do")


def rebuild_reference(root: Path, formats: set[str], json: bool) -> None:
    """Every suite under `root`/reference/<scale>, from its records alone, a line each; then the pages over all of them.

    Folders without a plan are no suites. Raises CheckFailed as `write_reports`.
    """
    folders = _references(root)
    rows, lost = [], list[str]()
    for folder in folders:
        made = report_of(folder, formats)
        paths, lost = made.paths, lost + made.lost
        row = {"scale": folder.parent.name, "suite": folder.name, **report.outcome(folder)}
        rows.append({**row, "report": [str(path) for path in paths]})
        if not json:
            claims = f"; {row['claims']}" if row["claims"] else ""
            size = terminal.size(paths[0].stat().st_size)
            print(f"{row['scale']}/{row['suite']}: {row['trials']}{claims}; {paths[0]} ({size})", flush=True)
    page = _claims(folders, _page(root, "claims.md"))
    findings = _findings(folders, _page(root, "findings.md"))
    if json:
        pages = {"claims": str(page) if page else None, "findings": str(findings)}
        terminal.as_json({"suites": rows, **pages, "left_out": lost})
    else:
        for path in filter(None, (page, findings)):
            print(path)
    tell(lost)


def write_site(suites: Sequence[str], root: Path, all_reference: bool, out: Path, json: bool) -> None:
    """A static site over the named suites, over all references, or over all suites under `root`.

    Raises CheckFailed as `write_reports`.
    """
    from harness.report.site import build_site

    if all_reference:
        folders = _references(root)
    else:
        folders = [results_of(name, root) for name in suites or [str(ledger.folder) for ledger in ledgers(root)]]
    if not folders:
        raise UsageError(f"there are no results under {root}. Run a suite first: harness run SUITE")
    written = build_site(folders, out)
    lost = [line for folder in folders for line in report.left_out(folder)]
    if json:
        terminal.as_json({"site": [str(path) for path in written], "left_out": lost})
    else:
        size = terminal.size(sum(path.stat().st_size for path in written))
        print(f"{written[0]} ({terminal.count(len(folders), 'suite')}, {len(written)} files, {size})")
    tell(lost)


def _references(root: Path) -> list[Path]:
    reference = root / "reference"
    folders = [ledger.folder for scale in sorted(reference.glob("*/")) for ledger in ledgers(scale)]
    if not folders:
        raise UsageError(f"there are no reference results under {reference}. --results names another folder of results")
    return folders


def _page(root: Path, name: str) -> Path:
    """A page in docs/ of the checkout for its own results; for any other folder one among these results."""
    here = Path.cwd()
    if root.resolve() == (here / "results").resolve() and (here / "docs").is_dir():
        return root.parent / "docs" / name
    return root / "reference" / name


def _findings(folders: Sequence[Path], place: Path) -> Path:
    from harness.ledger.table import load
    from harness.report.findings import write_findings

    return write_findings([load(folder) for folder in folders], place, "harness report --all-reference")[0]


def _claims(folders: Sequence[Path], place: Path) -> Path | None:
    from harness.claims.verdict import judge
    from harness.ledger.table import load
    from harness.report.claim_page import page

    found = [(table, verdicts) for folder in folders if (verdicts := judge(table := load(folder)))]
    if not found:
        return None
    write_atomic(place, page(found).encode())
    return place
