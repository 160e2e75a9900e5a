"""`harness variance`: how much of a result is the people, and how much the seed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import UsageError


def variance(
    run: Annotated[Path, typer.Argument(help="Results of a suite that ran several seeds on the same pairs.")],
    metric: Annotated[list[str] | None, typer.Option(help="Only this metric (repeatable).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")] = False,
) -> None:
    """Variance of people and of seeds: whether more seeds on the same people would tell more, or only more people."""
    from harness import terminal
    from harness.claims.variance import METRICS, lines
    from harness.ledger.table import load

    if not run.is_dir():
        raise UsageError(f"there is no folder {run}. Expected results such as results/variance")
    table = load(run)
    found = lines(table, metric or METRICS)
    if json:
        rows = [{"metric": x.metric, "variant": x.variant, **asdict(x.components)} for x in found]
        terminal.as_json({"run": str(run), "components": rows})
        return
    shown = []
    for line in found:
        parts, facts = line.components, table.facts(line.metric)
        shown.append(
            {
                "metric": facts.words,
                "variant": line.variant,
                "mean": facts.write(parts.mean),
                "SD of people": facts.write(parts.pair),
                "SD of seeds": facts.write(parts.seed),
                "people's share": f"{parts.share:.0%} [{parts.low:.0%}, {parts.high:.0%}]",
                "10 people": facts.write(parts.error(10, 1)),
                "5 people x 2": facts.write(parts.error(5, 2)),
                "pairs": parts.pairs,
                "trials": parts.trials,
            }
        )
    terminal.table(shown)
    print("\n10 people, 5 people x 2: standard error of the mean of ten trials, of ten pairs or of five with two seeds")
