"""`harness export`: finished trials for other people's viewers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RESULTS, Results
from harness.errors import UsageError


def export(
    suite: Annotated[str, typer.Argument(help="Name of a suite, its file, or its results' folder.")],
    tensorboard: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write event files under DIR. Needs the package tensorboard.")
    ] = None,
    mlflow: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write into the MLflow store in DIR. Needs the package mlflow.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Export a suite's curves, scores, hyperparameters and pictures for TensorBoard or MLflow, from its ledger."""
    if tensorboard is None and mlflow is None:
        raise UsageError("nothing to write. Expected --tensorboard DIR or --mlflow DIR")
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
