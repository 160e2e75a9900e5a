"""How `harness run` executes its trials: where, and what is shown meanwhile."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from harness.execute.executor import Executor
    from harness.ledger.records import Record
    from harness.trials.trial import Trial


class Place(StrEnum):
    """Where trials run."""

    local = "local"
    ray = "ray"


def parse_jobs(text: str) -> str:
    """The value of --jobs, checked."""
    if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= 1024):
        raise typer.BadParameter(f"{text!r} is neither `auto` nor a number from 1 to 1024")
    return text


def choose_place(
    place: Place, device: str, address: str, results: Path, jobs: str, per_gpu: int
) -> tuple[Executor | None, str, int]:
    """(executor, none for this machine; cpu or cuda; trials at once) of a run."""
    if place is Place.ray:
        from harness.execute.cluster import ClusterExecutor
        from harness.execute.connect import device_of

        cluster = ClusterExecutor(results, address, device_of(device, address), jobs, per_gpu)
        with cluster:
            return cluster, cluster.device, max(1, cluster.fitting())
    from harness.compute import choose_device
    from harness.execute.devices import choose_jobs

    chosen = choose_device(device)
    return None, chosen, choose_jobs(jobs, chosen, per_gpu)


def run_trials(todo: list[Trial], folder: Path, root: Path, options: Mapping[str, Any]) -> list[Record]:
    """The records of the trials, their state shown while they run. `options` are those of `harness.execute.run_plan`.

    Leaves with 130 or 143 after a signal.
    """
    from harness.execute import Interruption, run_plan
    from harness.ledger.watch import Progress
    from harness.terminal import say

    planned = [{"name": trial.name, "label": trial.label, "seed": trial.seed} for trial in todo]
    try:
        with Progress(folder, planned), contextlib.redirect_stdout(sys.stderr):  # Ray prints of nodes that died
            return run_plan(todo, root=root, **options)
    except Interruption as stop:
        say(f"interrupted: {stop}")
        raise typer.Exit(128 + stop.signum) from None
