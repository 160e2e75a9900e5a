"""`harness export`: finished trials for other people's viewers, and their networks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RESULTS, Results
from harness.errors import UsageError

Folder = Path | None


def export(
    what: Annotated[
        str,
        typer.Argument(metavar="SUITE|TRIAL", help="A suite (name, file or results' folder); a trial for a network."),
    ],
    tensorboard: Annotated[
        Folder,
        typer.Option(metavar="DIR", help="Write a suite's event files under DIR. Needs the package tensorboard."),
    ] = None,
    mlflow: Annotated[
        Folder,
        typer.Option(metavar="DIR", help="Write a suite into the MLflow store in DIR. Needs the package mlflow."),
    ] = None,
    parquet: Annotated[
        Folder, typer.Option(metavar="DIR", help="Write a suite's tables as Parquet. Needs the extra parquet.")
    ] = None,
    onnx: Annotated[
        Folder, typer.Option(metavar="DIR", help="Write a trial's encoder and decoders as ONNX. Needs the extra onnx.")
    ] = None,
    torch: Annotated[
        Folder, typer.Option(metavar="DIR", help="Write them as safetensors, with the lines that load them.")
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.py", help="A file of your own with the trial's variant.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Export a suite's curves, scores, tables and pictures for viewers, or a trial's network for other programs."""
    viewers, networks = (tensorboard, mlflow, parquet), (onnx, torch)
    if not any((*viewers, *networks)):
        raise UsageError(
            "nothing to write. Expected --tensorboard DIR, --mlflow DIR or --parquet DIR; "
            "of a trial --onnx DIR or --torch DIR"
        )
    if any(viewers) and any(networks):
        raise UsageError(
            "--tensorboard, --mlflow and --parquet take a suite, --onnx and --torch a trial: one after the other"
        )
    if any(viewers):
        _for_viewers(what, tensorboard, mlflow, parquet, results)
    else:
        _for_programs(what, onnx, torch, plugin or [], results)


def _for_viewers(suite: str, tensorboard: Folder, mlflow: Folder, parquet: Folder, results: Path) -> None:
    from harness.ledger import export as exports
    from harness.ledger.records import results_of
    from harness.ledger.table import load
    from harness.terminal import count

    table = load(results_of(suite, results))
    if tensorboard is not None:
        written = exports.to_tensorboard(table, tensorboard)
        print(f"{count(written, 'trial')} in {tensorboard}: tensorboard --logdir {tensorboard}")
    if mlflow is not None:
        written = exports.to_mlflow(table, mlflow)
        print(f"{count(written, 'new trial')} in {mlflow}: mlflow ui --backend-store-uri {mlflow}")
    if parquet is not None:
        from harness.use.results import Results, to_parquet

        print(*to_parquet(Results(table.folder), parquet), sep="\n")


def _for_programs(trial: str, onnx: Folder, torch: Folder, plugins: list[Path], results: Path) -> None:
    from harness.use.model import load_model

    model = load_model(trial, root=results, device="cpu", plugins=plugins)
    if onnx is not None:
        from harness.use.to_onnx import to_onnx

        print(*to_onnx(model, onnx), sep="\n")
    if torch is not None:
        from harness.use.to_torch import to_torch

        print(*to_torch(model, torch), sep="\n")
