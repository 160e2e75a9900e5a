"""Where a trial's time goes: training, scoring, start, previews, and bookkeeping (checkpoints, history, heartbeat).

All of it was timed in the trials themselves; this reads a finished ledger's records.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.bench.measure import SCHEMA_VERSION
from harness.errors import EnvironmentProblem
from harness.ledger import environment
from harness.ledger.records import Ledger, Record

AIMS = {"bookkeeping": 0.02, "score": 0.06, "start_s": 1.5}  # shares of training; seconds
SHARES = {"scoring": "score", "previews": "previews", "bookkeeping": "bookkeeping"}
TIMED = {"total", "train", "score", "previews", "checkpoints", "reports"}  # of a whole run


def usable(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """Trials whose wall times are those of one whole run, and why others are left out."""
    kept, left = [], []
    for record in records:
        wall = record.cost.get("wall_s", {})
        if record.status != "done":
            left.append(f"{record.name}: {record.status}")
        elif record.resumed_from:
            left.append(f"{record.name}: resumed, so that its times are of two runs")
        elif not set(wall) >= TIMED or wall["train"] <= 0 or wall["total"] < wall["train"] + wall["score"]:
            left.append(f"{record.name}: its times are not of one run (scored anew, or of an older version)")
        else:
            kept.append(record)
    return kept, left


def shares(record: Record) -> dict[str, float]:
    """Seconds of the parts of one trial. `start_s`: all that is neither training, scoring, previews nor bookkeeping.

    So `start_s` is an upper bound of the time to the first step: imports, opening the images, and the writing of the
    weights at the end.
    """
    wall = record.cost["wall_s"]
    own = {"previews_s": wall["previews"], "checkpoints_s": wall["checkpoints"], "reports_s": wall["reports"]}
    rest = wall["total"] - wall["train"] - wall["score"] - sum(own.values())
    return {
        "total_s": wall["total"],
        "train_s": wall["train"],
        "score_s": wall["score"],
        **own,
        "bookkeeping_s": own["checkpoints_s"] + own["reports_s"],
        "start_s": max(0.0, rest),
    }


def measure(folder: Path) -> dict[str, Any]:
    """The times of a ledger's trials, cell by cell; JSON values only.

    EnvironmentProblem when the ledger holds no finished trial with usable times.
    """
    ledger = Ledger(folder)
    kept, left = usable(ledger.records())
    if not kept:
        reason = f" ({left[0]})" if left else ""
        raise EnvironmentProblem(f"{folder}: holds no finished trial with times of one run{reason}. Run the suite anew")
    cells: dict[str, list[Record]] = {}
    for record in kept:
        cells.setdefault(record.label, []).append(record)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "overhead",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": kept[0].suite,
        "scale": kept[0].scale,
        "jobs": kept[0].cost.get("jobs"),
        "threads": kept[0].cost.get("threads"),
        "cells": {label: _row([shares(r) for r in records]) for label, records in cells.items()},
        "all": _row([shares(r) for r in kept]),
        "run": _run(kept),
        "left_out": left,
        "aims": AIMS,
        "environment": environment.capture(),
    }


def _row(parts: list[dict[str, float]]) -> dict[str, Any]:
    """Medians over trials, and shares of training."""
    row: dict[str, Any] = {"trials": len(parts)}
    row |= {key: round(statistics.median(part[key] for part in parts), 3) for key in parts[0]}
    for key in ("score", "previews", "bookkeeping"):
        row[f"{key}_of_training"] = round(statistics.median(p[f"{key}_s"] / p["train_s"] for p in parts), 4)
    return row


def _run(records: list[Record]) -> dict[str, Any]:
    """All trials together: from the first's start to the last's end, and sums."""
    began = min(datetime.fromisoformat(record.started) for record in records)
    ended = max(datetime.fromisoformat(record.finished) for record in records)
    parts = [shares(record) for record in records]
    sums = {key: round(sum(part[key] for part in parts), 3) for key in ("total_s", "train_s", "score_s")}
    share = round(sums["score_s"] / sums["train_s"], 4)
    return {"trials": len(records), "wall_s": (ended - began).total_seconds(), **sums, "score_of_training": share}


def table(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows for people, all trials together last; shares are of training."""
    rows = []
    for label, row in [*record["cells"].items(), ("all", record["all"])]:
        shown = {"cell": label, "trials": row["trials"], "total s": row["total_s"], "training s": row["train_s"]}
        shown |= {f"{what} %": 100 * row[f"{key}_of_training"] for what, key in SHARES.items()}
        shown |= {"checkpoints s": row["checkpoints_s"], "reports s": row["reports_s"]}
        rows.append(shown | {"start s, at most": row["start_s"]})
    return rows


def verdicts(record: dict[str, Any]) -> list[str]:
    """The aims, and whether the median trial meets them; the cell that is furthest from each."""
    row, run, aims = record["all"], record["run"], record["aims"]
    said = [f"{run['trials']} trials in {run['wall_s'] / 60:.1f} min, {record['jobs']} at once"]
    # In sum, for the first trial of each pair scores what the others share.
    totals = {"bookkeeping": row["bookkeeping_of_training"], "score": run["score_of_training"]}
    for key, what in (("bookkeeping", "checkpoints, history, heartbeat"), ("score", "scoring of all trials")):
        share = totals[key]
        shares_of = {label: cell[f"{key}_of_training"] for label, cell in record["cells"].items()}
        worst = max(shares_of, key=lambda label: shares_of[label])
        said.append(
            f"{what}: {share:.1%} of training, in the median trial at most {shares_of[worst]:.1%} ({worst}); "
            f"aim below {aims[key]:.0%}: {_met(share < aims[key])}"
        )
    said.append(f"previews (pictures and errors during training): {row['previews_of_training']:.1%} of training")
    start = row["start_s"]
    said.append(
        f"start to first step: at most {start:.1f} s; aim below {aims['start_s']:.1f} s: "
        f"{_met(start < aims['start_s'])}"
    )
    return said


def _met(yes: bool) -> str:
    return "met" if yes else "NOT met"
