"""The state of a suite's trials, read from its folder only, so that any shell can see it; and its words."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.files import Damaged, as_json
from harness.ledger.packed import PACK, RECORD, is_there, read_trial_file
from harness.lock import held

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
    recorded, beaten = _recorded(folder), _modified(folder / "status.json")
    status = _read(folder / "status.json") if beaten else {}
    running = bool(status) and (held(folder) or time.time() - beaten / 1e9 < STALE_S)
    if recorded and not (running and beaten > recorded):
        ended, wall_s = _outcome(folder, recorded)
        if ended:
            return Row(name, label, seed, ended, wall_s=wall_s)
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


@functools.lru_cache(maxsize=4096)
def _outcome(folder: Path, modified: int) -> tuple[str, float | None]:
    """Status and seconds of a record, read once for each time it is written; no status when it cannot be read."""
    try:
        record = as_json(read_trial_file(folder, RECORD)[0])
    except (OSError, Damaged):
        return "", None
    wall = (record.get("cost") or {}).get("wall_s") or {}
    return str(record.get("status", "")), _number(wall.get("total"))


def _recorded(folder: Path) -> int:
    """When a trial's record, or the pack that it is in, was written, in nanoseconds; 0 without a record."""
    own = _modified(folder / RECORD)
    return own or (_modified(folder.parent.parent / PACK) if is_there(folder, RECORD) else 0)


def _modified(path: Path) -> int:
    """When a file was written last, in nanoseconds; 0 for none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        return as_json(path.read_bytes())
    except (OSError, Damaged):
        return {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def time_left(current: Sequence[Row]) -> float | None:
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


def share(current: Sequence[Row]) -> float:
    """How much of the work is over, from 0 to 1."""
    parts = (row.step / row.steps if row.steps else 0.0 for row in current if row.state == "running")
    return (sum(map(over, current)) + sum(parts)) / max(1, len(current))


def over(row: Row) -> bool:
    """Whether a trial neither waits nor runs."""
    return row.state not in ("waiting", "running")


def headline(current: Sequence[Row]) -> str:
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


def outcome(row: Row) -> str:
    """A trial that is over in one line."""
    return f"{row.label} seed {row.seed}: {row.state}" + (f" after {duration(row.wall_s)}" if row.wall_s else "")
