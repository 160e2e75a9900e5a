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


@app.command()
def mosaic(
    people: Annotated[int, typer.Option(min=2, max=2000, help="Held-out identities to choose among.")] = 100,
    picture: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw some mosaics there.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")] = False,
) -> None:
    """How many cells a mosaic of a face needs before the person is recognised in it."""
    from dataclasses import asdict

    from harness import terminal
    from harness.score import mosaic as mosaics

    rows = mosaics.measure(people=people)
    if json:
        terminal.as_json({"people": people, "rows": [asdict(row) for row in rows]})
    else:
        terminal.table(
            {
                "cells": f"{row.cells} x {row.cells}",
                "by the judge": _share(row.seen),
                "by their mosaics": _share(row.known),
            }
            for row in rows
        )
        print(f"\nshare of pictures whose person is found among {people} (chance {1 / people:.1%}), 95 % over people")
        print("by the judge: a recogniser that knows sharp pictures of them, in other poses")
        print("by their mosaics: the nearest mean of their own mosaics of as many cells, in other poses")
    if picture is not None:
        from PIL import Image

        picture.parent.mkdir(parents=True, exist_ok=True)
        pixels = (mosaics.sheet() * 255).round().byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(picture)
        terminal.say(str(picture))


def _share(share: tuple[float, float, float]) -> str:
    return f"{share[0]:.0%} [{share[1]:.0%}, {share[2]:.0%}]"


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
        for kind in ("clean", "degraded"):
            band = validity["band"][kind]
            apart = "-".join(f"{end:g}" for end in validity["band"]["distance"])
            shown = f"{band['auc']:.4f} [{band['low']:.4f}, {band['high']:.4f}]"
            table.add_row(f"{validity['band']['pairs']} pairs {apart} apart, {kind}", shown)
        for pair, value in validity["pairs"].items():
            table.add_row(f"pair {pair}", f"{value:.4f}")
    Console().print(table)


def _end(lacking: list[str]) -> None:
    from harness.errors import CheckFailed

    if lacking:
        raise CheckFailed("\n".join(lacking))
