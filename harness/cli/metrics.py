"""`harness metrics`: prove the metrics on pictures with known answers, and measure what each of them costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.calibrate import calibrate
from harness.cli.data import PairOption, Variation, VariationOption, people_of
from harness.cli.options import RESULTS, Json, Results
from harness.errors import CheckFailed

if TYPE_CHECKING:
    from harness.spec import Spec
    from metrics.case import Case
    from metrics.ladder import LadderRow

metrics_app = typer.Typer(
    help="Prove the metrics on pictures with known answers; measure what they cost.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
metrics_app.command()(calibrate)
HEADS = ("oracle", "copy", "mean_face")
SHOWN = ("swap_score", "identity_transfer", "off_axis", "yaw_error", "sharpness_detail_1", "checkerboard_rms_1")

Size = Annotated[int, typer.Option(min=16, max=1024, help="Image side, pixels.")]
Pairs = Annotated[int, typer.Option("--pairs", min=4, max=1000, metavar="N", help="Evaluation pairs to render.")]


@metrics_app.command()
def check(
    pair: PairOption = "far",
    variation: VariationOption = Variation.aligned,
    size: Size = 64,
    pairs: Pairs = 64,
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Your own face set, not the built-in.")] = None,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Write ladder.json and ladder.md here.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write pictures of the references, with their numbers, here.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 1 when a metric is invalid.")] = False,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Run every metric on references of known quality and say which of them can be trusted on these pictures."""
    import torch

    from harness import registry, terminal
    from harness.errors import UsageError
    from harness.score import prove

    case = _case(_spec(pair, variation.value, size, pairs, data), results)
    if not case.matched:
        raise UsageError(
            f"{data}: has no exact swaps, so no ladder can be made. Expected matched eval/src and eval/dst"
        )
    evaluators = {name: entry.object for name, entry in registry.entries("metric").items()}
    with torch.no_grad():
        rows, ends = prove.prove(case, evaluators)
    title = f"{data or f'built-in pair {pair}'}, {size} px, {case.count} pairs"
    table = [_line(row, ends) for row in rows]
    invalid = [row for row in rows if row.valid is False]
    if json:
        terminal.as_json({"data": title, "metrics": table})
    else:
        terminal.table({k: v for k, v in line.items() if k not in prove.LISTS} for line in table)
        print(f"\n{title}: {sum(row.valid is True for row in rows)} metrics proved, {len(invalid)} invalid")
        for row in invalid:
            print(f"invalid here: {row.metric}: {row.reason}")
    if to is not None:
        command = f"harness metrics check --pair {pair} --size {size} --pairs {pairs} --to {to}"
        prove.write(to, title, command if data is None else f"{command} --data {data}", table)
    if pictures is not None:
        prove.draw(case, evaluators, pictures, SHOWN)
    if invalid and strict:
        raise CheckFailed(f"{len(invalid)} metrics are invalid here: {', '.join(row.metric for row in invalid)}")


@metrics_app.command()
def cost(
    size: Size = 64,
    pairs: Pairs = 64,
    repeats: Annotated[int, typer.Option(min=1, max=99, help="Times to measure; the median counts.")] = 3,
    results: Results = RESULTS,
    json: Json = False,
) -> None:
    """Seconds per 1,000 swapped images of each metric group: one thread, features of the fixed pictures known."""
    import torch

    from harness import registry, terminal
    from harness.score import prove

    spec = _spec("far", "aligned", size, pairs, None)
    evaluators = {name: entry.object for name, entry in registry.entries("metric").items()}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = prove.costs(_untrained(spec, results), evaluators, repeats)
    finally:
        torch.set_num_threads(threads)
    if json:
        terminal.as_json({"size": size, "pairs": pairs, "repeats": repeats, "groups": rows})
    else:
        terminal.table(rows)
        print(f"\n{size} px, {pairs} pairs in both directions, one thread, median of {repeats}")


def _spec(pair: str, variation: str, size: int, pairs: int, data: Path | None) -> Spec:
    from harness.errors import UsageError
    from harness.spec import Spec

    if data is not None and not data.is_dir():
        raise UsageError(f"there is no folder {data}. Expected one with src/ and dst/")
    faces: dict[str, Any] = {
        "pair": people_of(pair),
        "variation": variation,
        "size": size,
        "frames": 16,
        "eval_frames": pairs,
    }
    if data is not None:
        faces["source"] = str(data)
    return Spec.model_validate({"data": faces, "model": {"variant": "grid"}, "loss": {"l1": 1.0}})


def _case(spec: Spec, cache: Path) -> Case:
    import torch

    from harness import terminal
    from harness.data.store import open_store
    from harness.score import case as evaluation

    store = open_store(spec.data, 0, cache, progress=terminal.Counter())
    return evaluation.reference_case(spec, store, torch.device("cpu"))


def _untrained(spec: Spec, cache: Path) -> Case:
    """A case with a model behind it: untrained weights cost as much to score as trained ones."""
    import torch

    from harness import terminal
    from harness.data.store import open_store
    from harness.options import build_model
    from harness.score import case as evaluation

    torch.manual_seed(0)
    store = open_store(spec.data, 0, cache, progress=terminal.Counter())
    return evaluation.build_case(build_model(spec).eval(), spec, store, torch.device("cpu"))


def _line(row: LadderRow, ends: dict[str, dict[str, float]]) -> dict[str, Any]:
    return {
        "metric": row.metric,
        **{name: ends[name].get(row.metric) for name in HEADS},
        "ladder": row.ladder,
        "bad end": row.values[0] if row.values else None,
        "good end": row.values[-1] if row.values else None,
        "monotone": row.monotone,
        "valid": {True: "yes", False: "invalid here", None: "not judged"}[row.valid],
        "reason": row.reason,
        "values": list(row.values),
        "controls": dict(row.controls),
    }
