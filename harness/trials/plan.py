"""What a run is going to do: plan.json, and the table of a dry run with its estimates of time and disk."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.files import HOME, kept_json
from harness.ledger.records import Ledger, Record
from harness.spec import DataSpec, Spec
from harness.suite.suite import Suite
from harness.trials.buildable import parameters
from harness.trials.trial import Trial

# Seconds for each pixel of a training image: `bottleneck` at quick scale on one core, and a guess for a GPU.
ROUGH_RATE = {"cpu": 8.0e-7, "cuda": 2e-8}
REHEARSAL = "rehearsal.json"  # beside the plan of a rehearsal: what it foretells for each variant
PICTURES_BYTES = 3_000_000


@dataclass(frozen=True)
class Planned:
    """One row of the dry run. `basis` says where the estimates come from."""

    trial: Trial
    state: str
    steps: int | None
    parameters: int
    seconds: float | None
    bytes: int
    basis: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        trial = self.trial
        return {
            "name": trial.name,
            "label": trial.label,
            "seed": trial.seed,
            "pair": trial.pair,
            "digest": trial.digest,
            "steps": self.steps,
            "parameters": self.parameters,
            "estimated_seconds": self.seconds,
            "estimated_bytes": self.bytes,
            "basis": self.basis,
            "state": self.state,
        }


def plan_of(
    suite: Suite, scale: str, reason: str, trials: Sequence[Trial], command: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of plan.json. `settings` are the command line's --set values."""
    return {
        "suite": suite.name,
        "rehearsal": suite.rehearsal,
        "question": suite.question,
        "scale": scale,
        "scale_reason": reason,
        "baseline": suite.baseline,
        "command": command,
        "suite_file": _shown(suite.file),
        "axes": list(suite.axes),
        "overrides": dict(settings),
        "metrics": list(trials[0].metrics) if trials else [],
        "claims": [dict(claim) for claim in suite.claims],
        "trials": [
            {
                "name": trial.name,
                "label": trial.label,
                "cell": dict(trial.cell),
                "seed": trial.seed,
                "pair": trial.pair,
                "digest": trial.digest,
                "score_digest": trial.score_digest,
            }
            for trial in trials
        ],
    }


def _shown(file: Path) -> str:
    """A suite's file without the user's folders."""
    file = file.resolve()
    for root in (HOME, Path.cwd()):
        if file.is_relative_to(root):
            return file.relative_to(root).as_posix().removeprefix("harness/")
    return file.name


def steps_of(spec: Spec) -> int | None:
    """Optimiser steps; None when only the data can tell (epochs over an own folder)."""
    if spec.optim.steps:
        return spec.optim.steps
    frames = training_images(spec.data)
    if frames is None:
        return None
    return spec.optim.epochs * -(-frames * spec.data.repeat // spec.optim.batch)


def training_images(data: DataSpec) -> int | None:
    """Training images of a built-in person; None for an own folder."""
    return data.frames if data.source == "builtin" else None


def planned(trials: Sequence[Trial], ledger: Ledger) -> list[Planned]:
    """One row for each trial. Estimates rest on records of the same ledger, scale and device; else on a rehearsal; else
    on a rough rate."""
    devices = {trial.compute.device for trial in trials}
    past = [r for r in ledger.records() if r.status == "done" and _device(r) in {*devices, None}]
    foretold = rehearsed_seconds(ledger.folder, trials[0]) if trials else {}
    rows, sizes = [], dict[str, int]()
    for trial in trials:
        record = ledger.read(trial.name)
        like = next((r for r in past if r.label == trial.label and r.scale == trial.scale), None)
        like = like or next((r for r in past if r.scale == trial.scale), None)
        steps = steps_of(trial.spec)
        if trial.label not in sizes:
            sizes[trial.label] = parameters(trial.spec)
        size = sizes[trial.label]
        seconds, basis = _seconds(trial, steps, like)
        if like is None and trial.label in foretold:
            seconds, basis = foretold[trial.label], f"rehearsed on this {trial.compute.device}"
        disk = folder_bytes(like.folder) if like else 4 * size + 2 * 12 * size + PICTURES_BYTES
        rows.append(Planned(trial, state_of(record, trial), steps, size, seconds, disk, basis))
    return rows


def rehearsed_seconds(folder: Path, trial: Trial) -> dict[str, float | None]:
    """{label: seconds of one trial} that a rehearsal at the trial's scale and device foretold; empty without one."""
    kept = kept_json(folder.with_name(f"{folder.name}-rehearsal") / REHEARSAL) or {}
    if (kept.get("scale"), kept.get("device")) != (trial.scale, trial.compute.device):
        return {}
    return {row["label"]: row["seconds"] for row in kept["forecasts"]}


def _device(record: Record) -> str | None:
    """Kind of device that trained it: cpu or cuda; None where the record does not say."""
    device = record.cost.get("device")
    return str(device).split(":")[0] if device else None


def state_of(record: Record | None, trial: Trial) -> str:
    """`done`, `scores outdated`, a failure's status, or `to do`."""
    if record is None or record.digest != trial.digest:
        return "to do"
    if record.status == "done" and record.score_digest != trial.score_digest:
        return "scores outdated"
    return record.status


def _seconds(trial: Trial, steps: int | None, like: Record | None) -> tuple[float | None, str]:
    if like is not None and (wall := (like.cost.get("wall_s") or {}).get("total")):
        same = bool(steps and like.cost.get("steps"))
        return float(wall) * (steps / like.cost["steps"] if same and steps else 1.0), f"measured on {like.name}"
    if steps is None:
        return None, "unknown: epochs over an own folder"
    images = steps * 2 * trial.spec.optim.batch
    return images * trial.spec.data.size**2 * ROUGH_RATE[trial.compute.device], "rough rate"


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take, links left out."""
    return sum(os.path.getsize(file) for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
