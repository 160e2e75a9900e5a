"""One trial by its name, by the beginning of it, or by its folder."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError, did_you_mean
from harness.ledger.packed import has_record
from harness.ledger.records import Ledger, Record, ledgers
from harness.terminal import say


def find_trial(name: str | Path, root: Path) -> Record:
    """The record of a trial's folder, of this name under `root`, or of the only one that begins with it.

    UsageError with the nearest name.
    """
    folder = Path(name)
    if has_record(folder):
        return _of_folder(folder.resolve())
    name, known = str(name), dict[str, Record]()
    for ledger in ledgers(root):
        known.update({record.name: record for record in ledger.records()})
        warn_of_damage(ledger)
    if name in known:
        return known[name]
    matches = [full for full in known if full.startswith(name)] if name else []
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise UsageError(f"{name!r} could be any of: {', '.join(sorted(matches)[:20])}. Give more of the name")
    raise UsageError(f"there is no trial {name!r} under {root}. {did_you_mean(name, known)}")


def _of_folder(folder: Path) -> Record:
    ledger = Ledger(folder.parent.parent)
    record = ledger.read(folder.name)
    if record is None:
        reason = ledger.damaged[0][1] if ledger.damaged else "it lies outside of a suite's results"
        raise UsageError(f"{folder} cannot be used: {reason}")
    return record


def warn_of_damage(ledger: Ledger) -> None:
    """A line for each record that could not be trusted."""
    for _, problem in ledger.damaged:
        say(f"warning: {ledger.folder.name}: {problem}")
