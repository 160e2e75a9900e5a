"""The state of a running suite, read from its folder only, so that any other shell can watch it as well.

On a terminal: a live table. Elsewhere: plain lines every few seconds. Always on stderr; NO_COLOR is respected.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from harness.lock import held

if TYPE_CHECKING:
    from rich.table import Table

STALE_S = 120.0  # a trial whose status is older than this, and that nobody holds, is not running


@dataclass(frozen=True)
class Row:
    """One trial at this moment. `state`: waiting, running, or the status of its record."""

    name: str
    label: str
    seed: int
    state: str
    phase: str = ""
    part: str = ""
    step: int = 0
    steps: int = 0
    images_per_s: float | None = None
    eta_s: float | None = None
    loss: float | None = None
    wall_s: float | None = None


def rows(folder: Path, planned: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The state of the planned trials ({name, label, seed, ...}) under the suite's folder."""
    return [_row(folder / "trials" / str(trial["name"]), trial) for trial in planned]


def _row(folder: Path, trial: Mapping[str, Any]) -> Row:
    name, label, seed = str(trial["name"]), str(trial["label"]), int(trial["seed"])
    record = _read(folder / "record.json")
    status = _read(folder / "status.json")
    running = bool(status) and (held(folder) or time.time() - _modified(folder / "status.json") < STALE_S)
    if record and not (running and _modified(folder / "status.json") > _modified(folder / "record.json")):
        wall = (record.get("cost") or {}).get("wall_s") or {}
        return Row(name, label, seed, str(record.get("status", "?")), wall_s=_number(wall.get("total")))
    if not running:
        return Row(name, label, seed, "waiting")
    return Row(
        name,
        label,
        seed,
        "running",
        phase=str(status.get("phase", "")),
        part=str(status.get("part", "")),
        step=int(_number(status.get("step")) or 0),
        steps=int(_number(status.get("steps")) or 0),
        images_per_s=_number(status.get("images_per_s")),
        eta_s=_number(status.get("eta_s")),
        loss=_number(status.get("loss")),
    )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def time_left(current: list[Row]) -> float | None:
    """Seconds until all is done, from what is known now; None while nothing is known."""
    running = [row for row in current if row.state == "running"]
    waiting = sum(row.state == "waiting" for row in current)
    if not running:
        return None
    totals = [row.wall_s for row in current if row.wall_s and row.state == "done"]
    for row in running:
        if row.eta_s is not None and 0 < row.step < row.steps:
            totals.append(row.eta_s / (1 - row.step / row.steps))
    if not totals:
        return None
    left = sum(row.eta_s or 0.0 for row in running) + waiting * sum(totals) / len(totals)
    return left / len(running)


def duration(seconds: float | None) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`; `?` when unknown."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def headline(current: list[Row]) -> str:
    """`4 of 15 done, 1 diverged, 2 running, about 3 min 20 s left`."""
    counts: dict[str, int] = {}
    for row in current:
        counts[row.state] = counts.get(row.state, 0) + 1
    text = f"{counts.pop('done', 0)} of {len(current)} done"
    counts.pop("waiting", 0)
    text += "".join(f", {number} {state}" for state, number in sorted(counts.items()))
    left = time_left(current)
    return text + (f", about {duration(left)} left" if left is not None else "")


def line(row: Row) -> str:
    """A running trial in one line."""
    text = f"{row.label} seed {row.seed}: {doing(row)}"
    if row.steps:
        text += f" {row.step}/{row.steps} ({100 * row.step // row.steps} %)"
    if row.images_per_s:
        text += f", {row.images_per_s:.0f} images/s"
    if row.loss is not None:
        text += f", loss {row.loss:.4g}"
    return text + (f", {duration(row.eta_s)} left" if row.eta_s is not None else "")


def doing(row: Row) -> str:
    """What a trial does now, `train` or `score identity`; the status of one that does not run."""
    return f"{row.phase} {row.part}".strip() or row.state


def drawn(current: list[Row]) -> Table:
    """A table of rich for a terminal; of many trials the last twelve that have begun."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(headline(current)), title_justify="left", box=None, pad_edge=False)
    for name, justify in (("trial", "left"), ("seed", "right"), ("state", "left"), ("step", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in ("images/s", "loss", "left"):
        table.add_column(name, justify="right")
    shown = [row for row in current if row.state != "waiting"][-12:] if len(current) > 20 else current
    colours = {"done": "green", "running": "cyan", "waiting": "dim"}
    for row in shown:
        table.add_row(
            Text(row.label),  # a name with [brackets] is a name
            str(row.seed),
            Text(doing(row), style=colours.get(row.state, "red")),
            f"{row.step}/{row.steps}" if row.steps else "",
            f"{row.images_per_s:.0f}" if row.images_per_s else "",
            f"{row.loss:.4g}" if row.loss is not None else "",
            duration(row.eta_s) if row.eta_s is not None else "",
        )
    return table


class Progress:
    """Shows the state of a suite's folder while the `with` block runs. `note` prints a line at any time.

    `live` chooses the table (the default: when the stream is a terminal that can move its cursor). `notes` are lines
    under it, such as how the claims stood at the last look.
    """

    def __init__(
        self,
        folder: Path,
        planned: Iterable[Mapping[str, Any]],
        *,
        stream: TextIO | None = None,
        live: bool | None = None,
        interval_s: float | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.folder, self.planned = folder, list(planned)
        self.stream = stream or sys.stderr
        terminal = self.stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
        self.live = terminal if live is None else live
        self.interval_s = interval_s or (0.5 if self.live else 5.0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._console: Any = None
        self._last = ""
        self._notes = list(notes)

    def __enter__(self) -> Self:
        if self.live:
            from rich.console import Console

            self._console = Console(file=self.stream)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def note(self, text: str) -> None:
        """Print one line above the table, or among the lines."""
        if self._console is not None:
            self._console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self.stream, flush=True)

    def _run(self) -> None:
        if not self.live:
            while not self._stop.wait(self.interval_s):
                self._lines()
            return
        from rich.console import Group
        from rich.live import Live
        from rich.text import Text

        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                table = drawn(rows(self.folder, self.planned))
                live.update(Group(table, *(Text(note, style="dim") for note in self._notes)), refresh=True)
                if self._stop.wait(self.interval_s):
                    return

    def _lines(self) -> None:
        current = rows(self.folder, self.planned)
        text = " | ".join([headline(current), *(line(row) for row in current if row.state == "running")])
        if text != self._last:
            self._last = text
            self.note(f"{time.strftime('%H:%M:%S')} {text}")
