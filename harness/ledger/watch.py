"""A suite that runs elsewhere, seen from its files alone: plan, records, states, histories and preview strips."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from harness.errors import UsageError
from harness.ledger.progress import Row, drawn, duration, headline, line, rows
from harness.ledger.records import Ledger
from harness.terminal import cell

TAIL = 65_536  # bytes of a history that are read for its last errors


def follow(
    folder: Path, *, once: bool = False, interval_s: float | None = None, stream: TextIO | None = None
) -> list[Row]:
    """Show the suite in `folder` until no trial waits or runs (or once), and return the last state.

    A live table on a terminal; elsewhere a line whenever something is new, without any escape codes. The plan is read
    anew at every look, as a new run may have replaced it. UsageError without a plan.
    """
    out = stream or sys.stdout
    terminal = out.isatty() and os.environ.get("TERM") not in (None, "", "dumb") and not once
    pause = interval_s or (1.0 if terminal else 5.0)
    if not terminal:
        return _lines(folder, once, pause, out)
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(file=out), auto_refresh=False) as live:
        while True:
            current, notes = state(folder)
            live.update(Group(drawn(current), *(Text(note, overflow="fold") for note in notes)), refresh=True)
            if ended(current):
                return current
            time.sleep(pause)


def _lines(folder: Path, once: bool, pause: float, out: TextIO) -> list[Row]:
    last: list[str] = []
    while True:
        current, notes = state(folder)
        told = [headline(current), *map(_told, current), *notes]
        told = [cell(text) for text in told if text]
        news = told if once or not last else [text for text in told if text not in last]
        for text in news:
            print(f"{time.strftime('%H:%M:%S')} {text}", file=out, flush=True)
        if once or ended(current):
            return current
        last = told
        time.sleep(pause)


def _told(row: Row) -> str:
    if row.state == "running":
        return line(row)
    if row.state == "waiting":
        return ""
    return f"{row.label} seed {row.seed}: {row.state}" + (f" after {duration(row.wall_s)}" if row.wall_s else "")


def state(folder: Path) -> tuple[list[Row], list[str]]:
    """The planned trials now, and what else is to be said: errors of those that run, claims, the newest strip."""
    plan = Ledger(folder).plan()
    if not plan or not plan.get("trials"):
        raise UsageError(f"{folder} holds no plan with trials. Start one: harness run SUITE")
    current = rows(folder, plan["trials"])
    notes = [text for row in current if row.state == "running" and (text := _errors(folder, row))]
    strip = newest_preview(folder, plan["trials"])
    notes += claims_at_the_last_look(plan)
    return current, [*notes, *([f"newest preview: {strip}"] if strip else [])]


def claims_at_the_last_look(plan: Mapping[str, Any]) -> list[str]:
    """How the claims stood after the last finished round of a run until they are decided, one line each."""
    rounds = plan.get("rounds") or []
    stood: Mapping[str, Any] = next((row["claims"] for row in reversed(rounds) if "claims" in row), {})
    lines = {id: f"{id}: {one['state']} at {one['pairs']} pairs" for id, one in stood.items()}
    return [", ".join(filter(None, [line, stood[id]["needs"]])) for id, line in lines.items()]


def ended(current: Sequence[Row]) -> bool:
    """Whether no trial waits or runs."""
    return not any(row.state in ("waiting", "running") for row in current)


def newest_preview(folder: Path, trials: Sequence[Mapping[str, Any]]) -> Path | None:
    """The preview strip that was written last by any planned trial."""
    found: list[tuple[float, str, Path]] = []
    for trial in trials:
        for path in (folder / "trials" / str(trial["name"]) / "previews").glob("step-*.png"):
            try:
                found.append((path.stat().st_mtime, path.name, path))
            except OSError:
                continue  # pruned while we looked
    return max(found)[2] if found else None


def _errors(folder: Path, row: Row) -> str:
    """The last reconstruction and swap error in a trial's history; a torn last line is passed over."""
    try:
        with open(folder / "trials" / row.name / "history.jsonl", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for text in reversed(lines):
        try:
            entry = json.loads(text)
        except ValueError:
            continue
        known = [(name, entry.get(key)) for name, key in (("reconstruction", "rec_error"), ("swap", "swap_error"))]
        told = [f"{name} error {value:.4f}" for name, value in known if isinstance(value, int | float)]
        if told:
            return f"{row.label} seed {row.seed}, step {entry.get('step')}: {', '.join(told)}"
    return ""
