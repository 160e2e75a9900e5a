"""A suite seen from its files alone while it runs: here, beside the trials, or from any other shell.

Read are plan, records, states, histories and preview strips.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

from harness.errors import EnvironmentProblem, UsageError
from harness.ledger.progress import Row, over, rows
from harness.ledger.records import Ledger
from harness.ledger.view import View

TAIL = 65_536  # bytes of a history that are read for its last errors
LIVE_S, PLAIN_S = 0.5, 1.0  # between two looks


class Progress:
    """Shows the trials of a suite that are planned here, on stderr, while the `with` block runs them."""

    def __init__(
        self,
        folder: Path,
        planned: Sequence[Mapping[str, Any]],
        *,
        stream: TextIO | None = None,
        interval_s: float | None = None,
    ) -> None:
        self.folder, self.planned = folder, planned
        self.view = View(stream or sys.stderr, passing=True)
        self.interval_s = interval_s or (LIVE_S if self.view.live else PLAIN_S)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self.view:
            while not self._stop.wait(self.interval_s):
                self.view.show(*look(self.folder, self.planned))
            self.view.show(*look(self.folder, self.planned), now=True)


def follow(
    folder: Path, *, once: bool = False, interval_s: float | None = None, stream: TextIO | None = None
) -> list[Row]:
    """Show the suite in `folder` until no trial waits or runs (or once), and return the last state.

    A run that has not begun is waited for. The plan is read anew at every look, as a new run may have replaced it.
    UsageError when there is no plan to show once.
    """
    out = stream or sys.stdout
    with View(out, live=False if once else None) as view:
        pause = interval_s or (LIVE_S if view.live else PLAIN_S)
        if not once:
            _wait_for_a_plan(folder, pause)
        while True:
            current, notes = state(folder)
            ended = all(map(over, current))
            view.show(current, notes, now=once or ended)
            if once or ended:
                return current
            time.sleep(pause)


def _wait_for_a_plan(folder: Path, pause: float) -> None:
    if not (folder / "plan.json").exists():
        print(f"waiting for a run to begin in {folder}", file=sys.stderr, flush=True)
    while not (folder / "plan.json").exists():
        time.sleep(pause)


def state(folder: Path) -> tuple[list[Row], list[str]]:
    """The planned trials now, and what else is to be said. UsageError without a plan."""
    plan = Ledger(folder).plan()
    if not plan or not plan.get("trials"):
        raise UsageError(f"{folder} holds no plan with trials. Start one: harness run SUITE")
    return look(folder, plan["trials"])


def look(folder: Path, planned: Sequence[Mapping[str, Any]]) -> tuple[list[Row], list[str]]:
    """These trials now, and what else is to be said: errors of those that run, claims, the newest preview strip."""
    current = rows(folder, planned)
    notes = [text for row in current if row.state == "running" and (text := _errors(folder, row))]
    with contextlib.suppress(OSError):
        notes += _claims(folder, (folder / "plan.json").stat().st_mtime_ns)
    running = [{"name": row.name} for row in current if row.state == "running"]
    strip = newest_preview(folder, running or planned)
    return current, [*notes, *([f"newest preview: {strip}"] if strip else [])]


@functools.lru_cache(maxsize=64)
def _claims(folder: Path, modified: int) -> list[str]:
    """The claims of the plan, read once for each time it is written."""
    try:
        return claims_at_the_last_look(Ledger(folder).plan() or {})
    except EnvironmentProblem:  # damaged: whoever runs the suite says so
        return []


def claims_at_the_last_look(plan: Mapping[str, Any]) -> list[str]:
    """How the claims stood after the last finished round of a run until they are decided, one line each."""
    rounds = plan.get("rounds") or []
    stood: Mapping[str, Any] = next((row["claims"] for row in reversed(rounds) if "claims" in row), {})
    lines = {id: f"{id}: {one['state']} at {one['pairs']} pairs" for id, one in stood.items()}
    return [", ".join(filter(None, [line, stood[id]["needs"]])) for id, line in lines.items()]


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
