"""`harness metrics calibrate`: what the metrics of photographs are worth, told on faces whose truth is known."""

from __future__ import annotations

import json as json_
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import RESULTS, Json, Results
from harness.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from harness.calibrate.rank import Rank
    from harness.ledger.table import Key, Outcome

AGAINST = ("swap_score", "identity_transfer", "expression_error")
KEPT = "hidden.json"  # in a trial's folder: its scores with the truth hidden


def calibrate(
    suite: Annotated[str, typer.Argument(help="A suite of built-in faces with finished trials, or its folder.")],
    against: Annotated[
        list[str] | None, typer.Option(metavar="METRIC", help=f"An exact metric, repeatable ({', '.join(AGAINST)}).")
    ] = None,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Score a suite's finished trials as if their faces were photographs, and rank its variants by each metric.

    The correlation says how far a metric that needs no truth puts the variants in the order of an exact one: 1 the same
    order from good to bad, 0 no relation, -1 the reverse. Kept weights are read; nothing is trained.
    """
    from harness import terminal
    from harness.calibrate.rank import ranks
    from harness.cli.bar import bar
    from harness.ledger.records import results_of
    from harness.ledger.table import load

    table = load(results_of(suite, results))
    exact = list(against or AGAINST)
    if unknown := [name for name in exact if not any(trial.mean(name) == trial.mean(name) for trial in table.done)]:
        raise UsageError(f"--against {unknown[0]}: no finished trial of {table.suite} has this metric")
    trials = [trial for trial in table.done if (trial.folder / "weights.safetensors").is_file()]
    if not trials:
        raise UsageError(
            f"{table.folder} holds no trained weights (committed references do not). Run the suite here first"
        )
    hidden: dict[Key, dict[str, dict[str, float]]] = {}
    features: dict[Any, dict[str, Any]] = {}
    with bar() as progress:
        for number, trial in enumerate(trials):
            progress(f"scoring {trial.name}", number, len(trials))
            hidden.setdefault(trial.key, {})[trial.label] = _scores(trial, table.folder.parent, features)
    found = ranks(table, hidden, exact)
    if not found:
        raise CheckFailed(f"{table.suite}: too few variants to rank. Expected three or more of a replicate")
    if json:
        terminal.as_json({"suite": table.suite, "trials": len(trials), "ranks": [rank.to_dict() for rank in found]})
        return
    terminal.table(_rows(found, exact))
    counts = (
        f"{_range(rank.variants for rank in found)} variants in {_range(rank.replicates for rank in found)} replicates"
    )
    print(f"rank correlation with each exact metric over {counts}, 95 % interval; 1: the same order from good to bad")


def _rows(found: list[Rank], exact: list[str]) -> list[dict[str, Any]]:
    """A row for each metric, a column for each exact one."""
    rows: dict[str, dict[str, Any]] = {}
    for rank in found:
        row = rows.setdefault(rank.metric, {"metric": rank.metric, **dict.fromkeys(exact, "")})
        bounds = f" [{rank.low:.2f}, {rank.high:.2f}]" if rank.low == rank.low else ""
        row[rank.against] = f"{rank.rho:.2f}{bounds}"
    return list(rows.values())


def _range(counts: Iterable[int]) -> str:
    few, many = min(found := set(counts)), max(found)
    return str(few) if few == many else f"{few} to {many}"


def _scores(trial: Outcome, root: Path, features: dict[Any, dict[str, Any]]) -> dict[str, float]:
    """The trial's scores with the truth hidden, kept beside its record under the code that makes them.

    `features`: of the pictures, by what they are.
    """
    import torch

    from harness import registry
    from harness.data.store import open_store
    from harness.files import HOME, write_json
    from harness.score import hidden
    from harness.source import code_hash
    from harness.use.model import load_model

    metrics = [entry.file for entry in registry.entries("metric").values()]
    version = {
        "code": code_hash([Path(hidden.__file__), *metrics], HOME),
        "record": trial.record and trial.record.sha256,
    }
    path = trial.folder / KEPT
    try:
        kept = json_.loads(path.read_bytes())
        if kept.pop("version") == version:
            return dict(kept["scores"])
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    model = load_model(trial.folder)
    store = open_store(model.spec.data, trial.seed, root)
    if not store.truth:
        raise UsageError(f"{trial.name} was trained on pictures without a truth: nothing exact to compare with")
    known = features.setdefault((store.fingerprint, model.size, model.spec.data.encoding), {})
    scores = hidden.hidden_scores(model.network, model.spec, store, torch.device(model.device), known)
    write_json(path, {"version": version, "scores": scores})
    return scores
