"""How `harness run` executes its trials: where, and what is shown meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from harness.ledger.records import Record
    from harness.trials.trial import Trial


def parse_jobs(text: str) -> str:
    """The value of --jobs, checked."""
    if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= 1024):
        raise typer.BadParameter(f"{text!r} is neither `auto` nor a number from 1 to 1024")
    return text


def run_trials(todo: list[Trial], folder: Path, root: Path, options: Mapping[str, Any]) -> list[Record]:
    """The records of the trials, their state shown while they run. `options` are those of `harness.execute.run_plan`.

    Leaves with 130 or 143 after a signal.
    """
    from harness.execute import Interruption, run_plan
    from harness.ledger.watch import Progress
    from harness.terminal import say

    planned = [{"name": trial.name, "label": trial.label, "seed": trial.seed} for trial in todo]
    try:
        with Progress(folder, planned):
            return run_plan(todo, root=root, **options)
    except Interruption as stop:
        say(f"interrupted: {stop}")
        raise typer.Exit(128 + stop.signum) from None
