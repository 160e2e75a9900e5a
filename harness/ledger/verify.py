"""Whether a suite's results are what was written: the plan, the records, every file of every done trial, the report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import EnvironmentProblem
from harness.files import Damaged
from harness.ledger.manifest import Repair, damaged_files, known_files, repair_of
from harness.ledger.packed import PACK, RECORD, is_there
from harness.ledger.records import Ledger, Record
from harness.ledger.steps import STEPS, read_steps
from harness.lock import held

DO: dict[Repair, str] = {
    "train": "run again: {command} trains the trial anew",
    "score": "score again: {command} scores its weights anew",
    "delete": "delete it: it is only looked at, and no number comes from it",
}

COPY = "copy it again from where it was packed, or delete it and run again"


@dataclass(frozen=True)
class Finding:
    """A damaged file: how that shows, and what to do about it."""

    path: Path
    reason: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.path}: damaged: {self.reason}. To {self.remedy}" if self.remedy else f"{self.path}: {self.reason}"
        )


@dataclass(frozen=True)
class Verdict:
    """What a check of a folder came to: how many files were compared with their hashes, and the damaged ones."""

    files: int
    findings: tuple[Finding, ...]

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(self.files + other.files, self.findings + other.findings)


def verify_suite(folder: Path) -> Verdict:
    """Check the results of one suite. Trials that are being run at this moment are left out."""
    ledger = Ledger(folder)
    command = f"harness run {folder.name}" + ("" if folder.parent == Path("results") else f" --results {folder.parent}")
    found, files = [], 0
    try:
        plan = ledger.plan()
        files += plan is not None
    except EnvironmentProblem as error:
        found.append(Finding(folder / "plan.json", _reason(error), f"run again: {command} writes it anew"))
    try:
        files += bool(read_steps(folder))
    except (OSError, Damaged) as error:
        found.append(Finding(folder / STEPS, str(error), f"time the steps again: delete it, then {command}"))
    records = ledger.records()
    again = DO["train"].format(command=command)
    for name, why in ledger.damaged:
        reason = why.partition(" is damaged: ")[2] or why
        path = folder / PACK if name == PACK else folder / "trials" / name / RECORD
        found.append(Finding(path, reason, COPY if name == PACK else again))
    for record in records:
        if not held(record.folder):
            files += 1 + sum(is_there(record.folder, name) for name in known_files(record))
            found += _of_trial(record, command) if record.status == "done" else []
    if not ledger.damaged and ledger.index.is_file():
        files += 1
        if ledger.index.read_bytes() != ledger.index_text(records):
            why = "it does not agree with the records"
            found.append(Finding(ledger.index, why, f"rebuild it: delete it, then {command}"))
    return Verdict(files, tuple(found))


def _of_trial(record: Record, command: str) -> list[Finding]:
    return [
        Finding(record.folder / name, why, DO[repair_of(name)].format(command=command))
        for name, why in damaged_files(record)
    ]


def _reason(error: EnvironmentProblem) -> str:
    return str(error).partition("damaged: ")[2].rpartition(". ")[0]
