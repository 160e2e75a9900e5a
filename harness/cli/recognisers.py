"""`harness recognisers`: train the recognisers of the built-in faces, and check that they may be used."""

from __future__ import annotations

import functools
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Recognisers of the built-in faces: train them, check them on people they never saw.", no_args_is_help=True
)


class Recogniser(StrEnum):
    """Which recogniser."""

    judge = "judge"
    trainer = "trainer"
    regressor = "regressor"


WHICH = Annotated[list[Recogniser] | None, typer.Option("--which", help="One of them, repeatable (all three).")]


@app.command()
def train(
    which: WHICH = None,
    to: Annotated[Path | None, typer.Option(help="Folder for the weights and records (the package's own).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of training (each recipe's own).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the pictures, the networks and the batches.")] = 0,
) -> None:
    """Render, train, measure and write the recognisers; minutes each. Ends with 1 when one is not good enough."""
    from rich.console import Console
    from rich.progress import Progress

    from harness.score import recognisers
    from models.recognise import WEIGHTS

    console = Console(stderr=True)
    lacking: list[str] = []
    for one in which or list(Recogniser):
        with Progress(console=console, transient=True) as bars:
            tasks: dict[str, Any] = {}

            show = functools.partial(_advance, bars, tasks, one.value)
            record = recognisers.train(one.value, to or WEIGHTS, steps=steps, seed=seed, progress=show)
        console.print(f"{one}: {record['pictures']} pictures, {record['steps']} steps, {record['seconds']} s")
        _show(one.value, record["validity"])
        lacking += recognisers.failures(one.value, record["validity"])
    _end(lacking)


@app.command()
def check(
    which: WHICH = None,
    people: Annotated[int, typer.Option(min=8, help="Held-out identities, each in 8 poses.")] = 64,
    weights: Annotated[Path | None, typer.Option(help="Folder of the weights (the package's own).")] = None,
) -> None:
    """Measure the recognisers again on identities they never saw. Ends with 1 when one is not good enough."""
    from rich.console import Console

    from harness.errors import EnvironmentProblem
    from harness.score import recognisers
    from harness.score.recogniser_data import renderer_hash
    from models.recognise import WEIGHTS, WeightsError, load, read_record

    lacking: list[str] = []
    for one in which or list(Recogniser):
        try:
            record, model = read_record(one.value, weights or WEIGHTS), load(one.value, weights or WEIGHTS)
        except WeightsError as error:
            raise EnvironmentProblem(str(error)) from None
        if record.get("renderer") != renderer_hash():
            Console(stderr=True).print(f"{one}: the renderer's source has changed since it was trained")
        validity = recognisers.measure(one.value, model, people)
        _show(one.value, validity)
        lacking += recognisers.failures(one.value, validity)
    _end(lacking)


def _advance(bars: Any, tasks: dict[str, Any], name: str, stage: str, done: int, of: int) -> None:
    if stage not in tasks:
        tasks[stage] = bars.add_task(f"{name} {stage}", total=of)
    bars.update(tasks[stage], completed=done)


def _show(name: str, validity: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    if name == "regressor":
        table = Table("factor", "R^2", "R^2 no glasses", "mean error", "R^2 degraded", title=name)
        blurred = validity["degraded"]
        for factor, row in validity["clean"].items():
            if factor != "landmarks":
                figures = (row["r2"], row["r2_no_glasses"], row["mae"], blurred[factor]["r2"])
                table.add_row(factor, *(f"{value:.3f}" for value in figures))
        error = validity["clean"]["landmarks"], blurred["landmarks"]
        table.caption = f"landmarks: {error[0]['mean']:.2%} of the eyes' distance, degraded {error[1]['mean']:.2%}"
    else:
        table = Table("held-out people", "AUC", title=name)
        for kind in ("clean", "degraded"):
            table.add_row(kind, f"{validity[kind]['auc']:.4f}")
        for pair, value in validity["pairs"].items():
            table.add_row(f"pair {pair}", f"{value:.4f}")
    Console().print(table)


def _end(lacking: list[str]) -> None:
    from harness.errors import CheckFailed

    if lacking:
        raise CheckFailed("\n".join(lacking))
