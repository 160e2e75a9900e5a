"""Where a trial's time goes: training, scoring, start, previews, and bookkeeping (checkpoints, history, heartbeat).

Shares come from a finished ledger's records. Previews and bookkeeping are not timed in a trial; they are timed here, by
the same calls on the trial's own trained state, and multiplied by how often the trial made them.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from harness import checkpoint, environment, registry
from harness.bench.measure import SCHEMA_VERSION
from harness.bench.step import StepArm
from harness.checkpoint import read_weights
from harness.data.store import FaceStore, open_store
from harness.errors import EnvironmentProblem
from harness.execute.child import Heartbeat, _waited_for_a_core
from harness.optimise import state
from harness.preview import Preview
from harness.records import Ledger, Record
from harness.spec import Spec
from harness.terms import networks
from harness.train import BLOCK, CHECKPOINT_S, write_history

AIMS = {"bookkeeping": 0.02, "score": 0.20, "start_s": 15.0}  # shares of training; seconds
SHARES = {"scoring": "score", "previews": "previews", "bookkeeping": "bookkeeping"}


@dataclass(frozen=True)
class Calls:
    """Milliseconds of one call of each kind, median."""

    preview: float
    checkpoint: float
    history: float
    report: float


def calls_of(
    spec: Spec,
    weights: dict[str, torch.Tensor] | None,
    store: FaceStore,
    history: list[dict[str, Any]],
    readings: int = 5,
) -> Calls:
    """Time the calls on the model of `spec` with trained `weights` (fresh ones for None) after one step on the CPU."""
    device = torch.device("cpu")
    arm = StepArm(spec, device, "fp32")
    arm()  # the optimiser's moments are part of a checkpoint
    if weights is not None:
        arm.model.load_state_dict(weights)
    meta = {"step": 1, "seconds": 0.0, "precision": "fp32", "history": history}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        preview, beat = Preview(store, spec, folder, device), Heartbeat(folder)

        def save() -> None:
            checkpoint.save(folder / "checkpoint", state(arm.model, arm.optimiser, networks(arm.terms)), meta)

        def report() -> None:
            beat.last = 0.0  # every call writes, as the first one of each second does
            beat(step=2, steps=10, loss=1.0, images_per_s=1.0)

        return Calls(
            _milliseconds(lambda: preview.take(arm.model, 1), readings),
            _milliseconds(save, readings),
            _milliseconds(lambda: write_history(folder, history), readings),
            _milliseconds(report, readings),
        )


def _milliseconds(call: Callable[[], object], readings: int) -> float:
    """Median, after one call to warm up; the time in the queue for a core, while others compute, is left out."""
    times = []
    for _ in range(readings + 1):
        began, waited = time.perf_counter(), _waited_for_a_core()
        call()
        times.append(1e3 * (time.perf_counter() - began - (_waited_for_a_core() - waited)))
    return statistics.median(times[1:])


def own_seconds(calls: Calls, steps: int, previews: int, train_s: float) -> dict[str, float]:
    """Seconds of the harness's own work in a trial: as often as `harness.train` does each."""
    moments = len({1} | {round(steps * k / previews) for k in range(1, previews + 1)}) if previews else 1
    saves = 1 + math.floor(train_s / CHECKPOINT_S)
    reports = min(math.ceil(steps / BLOCK) + moments, math.ceil(train_s) + 1)  # at most one is written a second
    return {
        "previews_s": moments * calls.preview / 1e3,
        "checkpoints_s": saves * calls.checkpoint / 1e3,
        "logging_s": (saves * calls.history + reports * calls.report) / 1e3,
    }


def usable(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """Trials whose wall times are those of one whole run, and why others are left out."""
    kept, left = [], []
    for record in records:
        wall = record.cost.get("wall_s", {})
        if record.status != "done":
            left.append(f"{record.name}: {record.status}")
        elif record.resumed_from:
            left.append(f"{record.name}: resumed, so that its times are of two runs")
        elif not {"total", "train", "score"} <= set(wall) or wall["total"] < wall["train"] + wall["score"]:
            left.append(f"{record.name}: its times are not of one run (scored anew, or of an older version)")
        else:
            kept.append(record)
    return kept, left


def shares(record: Record, own: dict[str, float] | None) -> dict[str, float | None]:
    """Seconds of the parts of one trial. `start_s`: all that is neither training, scoring, previews nor bookkeeping.

    So `start_s` is an upper bound of the time to the first step: imports, opening the images, the choice of precision,
    and the writing of the weights at the end.
    """
    wall = record.cost["wall_s"]
    rest = wall["total"] - wall["train"] - wall["score"]
    return {
        "total_s": wall["total"],
        "train_s": wall["train"],
        "score_s": wall["score"],
        **(own or {}),
        "bookkeeping_s": own["checkpoints_s"] + own["logging_s"] if own else None,
        "start_s": max(0.0, rest - sum((own or {}).values())),
    }


def measure(folder: Path, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """The record of a ledger's folder; JSON values only. The calls are timed once a cell, on its first usable trial.

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
    rows = {}
    for label, records in cells.items():
        say(f"{label}: previews, checkpoints, logging")
        calls, untimed = _calls(ledger, records[0])
        found = [shares(r, _own(calls, r)) for r in records]
        rows[label] = _row(found) | {"calls_ms": calls.__dict__ if calls else None, "not_timed": untimed}
    whole = [part for row in rows.values() for part in row.pop("parts")]
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "overhead",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": kept[0].suite,
        "scale": kept[0].scale,
        "jobs": kept[0].cost.get("jobs"),
        "threads": kept[0].cost.get("threads"),
        "cells": rows,
        "all": {key: value for key, value in _row(whole).items() if key != "parts"},
        "left_out": left,
        "aims": AIMS,
        "environment": environment.capture(),
    }


def _calls(ledger: Ledger, record: Record) -> tuple[Calls | None, str | None]:
    """The timed calls of a trial, or why they could not be timed: a variant of a plugin, images that are gone."""
    try:
        spec = Spec.model_validate(record.spec)
        registry.get("variant", spec.model.variant)  # before its images are looked for, or made
        file = record.folder / "weights.safetensors"
        weights = read_weights(file, record.cost["weights_sha256"]) if file.exists() else None
        store = open_store(spec.data, record.seed, ledger.folder.parent)
        return calls_of(spec, weights, store, ledger.history(record)), None
    except Exception as error:  # whatever keeps this trial from being built here is told beside its shares
        return None, f"{type(error).__name__}: {error}".splitlines()[0]


def _own(calls: Calls | None, record: Record) -> dict[str, float] | None:
    if calls is None:
        return None
    train_s, previews = record.cost["wall_s"]["train"], record.spec["score"]["previews"]
    return own_seconds(calls, record.cost["steps"], previews, train_s)


def _row(parts: list[dict[str, float | None]]) -> dict[str, Any]:
    """Medians over trials, and shares of training."""
    row: dict[str, Any] = {"trials": len(parts)}
    for key in (
        "total_s",
        "train_s",
        "score_s",
        "previews_s",
        "checkpoints_s",
        "logging_s",
        "bookkeeping_s",
        "start_s",
    ):
        values = [value for part in parts if (value := part.get(key)) is not None]
        row[key] = round(statistics.median(values), 3) if values else None
    for key in ("score", "previews", "bookkeeping"):
        ratios = [value / train for p in parts if (value := p.get(f"{key}_s")) is not None and (train := p["train_s"])]
        row[f"{key}_of_training"] = round(statistics.median(ratios), 4) if ratios else None
    return row | {"parts": parts}


def table(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows for people, all trials together last; shares are of training."""
    rows = []
    for label, row in [*record["cells"].items(), ("all", record["all"])]:
        shown = {"cell": label, "trials": row["trials"], "total s": row["total_s"], "training s": row["train_s"]}
        shown |= {f"{what} %": _percent(row[f"{key}_of_training"]) for what, key in SHARES.items()}
        shown |= {"checkpoints s": row["checkpoints_s"], "logging s": row["logging_s"]}
        rows.append(shown | {"start s, at most": row["start_s"]})
    return rows


def verdicts(record: dict[str, Any]) -> list[str]:
    """The aims, and whether the median trial meets them; the cell that is furthest from each."""
    row, aims = record["all"], record["aims"]
    said = []
    for key, what in (("bookkeeping", "checkpoints, history, heartbeat"), ("score", "scoring")):
        share = row[f"{key}_of_training"]
        if share is None:
            said.append(f"{what}: not timed, the trials cannot be built here")
            continue
        shares_of = {label: cell[f"{key}_of_training"] or 0.0 for label, cell in record["cells"].items()}
        worst = max(shares_of, key=lambda label: shares_of[label])
        said.append(
            f"{what}: {share:.1%} of training, at most {shares_of[worst]:.1%} ({worst}); "
            f"aim below {aims[key]:.0%}: {_met(share < aims[key])}"
        )
    if row["previews_of_training"] is not None:
        said.append(f"previews (pictures and errors during training): {row['previews_of_training']:.1%} of training")
    start = row["start_s"]
    said.append(
        f"start to first step: at most {start:.1f} s; aim below {aims['start_s']:.0f} s: "
        f"{_met(start < aims['start_s'])}"
    )
    return said


def _met(yes: bool) -> str:
    return "met" if yes else "NOT met"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
