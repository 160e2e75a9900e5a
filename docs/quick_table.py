"""Fill the table of docs/quick.md from trainings of 200 to 2,000 steps.

    uv run python docs/quick_table.py [--from FOLDER]

--from: first take the figures out of the runs in FOLDER/<steps>/bottleneck, into results/reference/steps.json.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pandas as pd

from harness.claims.stats import estimate_of
from harness.ledger.records import Ledger

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "quick.md"
FIGURES = HOME / "results" / "reference" / "steps.json"
STEPS, QUICK = (200, 400, 800, 2000), 400
CELLS = ("grid3", "grid7")
FOLLOWED = {"yaw": "yaw_r2", "mouth": "mouth_open_r2", "blink": "blink_r2"}
METRICS = ("swap_score", *(f"{who}{metric}" for metric in FOLLOWED.values() for who in ("", "rec_")))
MARKS = re.compile(r"(<!-- steps -->\n).*?(<!-- /steps -->)", re.DOTALL)


def number(value: float, decimals: int = 3) -> str:
    """With a real minus sign."""
    return f"{value:.{decimals}f}".replace("-", "−")


def taken(runs: Path) -> dict[str, object]:
    """The figures of the runs in `runs`: {steps: one row for each trial}, and where they were made."""
    rows: dict[str, list[dict[str, object]]] = {}
    for steps in STEPS:
        ledger = Ledger(runs / str(steps) / "bottleneck")
        records = [record for record in ledger.records() if record.status == "done" and record.label in CELLS]
        rows[str(steps)] = [
            {
                "variant": record.label,
                "pair": record.pair,
                "digest": record.digest,
                "weights_sha256": record.cost["weights_sha256"],
                **{metric: record.scores[metric]["mean"] for metric in METRICS},
            }
            for record in sorted(records, key=lambda record: (record.pair, record.label))
        ]
        made = {name: record.environment[name] for record in records for name in ("cpu", "git")}
        made["precision"] = {record.cost["precision"] for record in records}.pop()
    return {"schema_version": 1, "made": made, "steps": rows}


def values(steps: int) -> pd.DataFrame:
    """(pair, variant) x metric of the runs of so many steps."""
    return pd.DataFrame(json.loads(FIGURES.read_text())["steps"][str(steps)]).set_index(["pair", "variant"])


def differences(found: pd.DataFrame, metric: str) -> dict[tuple[int, str], float]:
    """7x7 less 3x3 of each pair of people."""
    wide = found[metric].unstack("variant")
    return {(0, str(pair)): float(gap) for pair, gap in (wide["grid7"] - wide["grid3"]).items()}


def interval(gaps: dict[tuple[int, str], float]) -> str:
    """Mean and 95 % interval over pairs of people."""
    found = estimate_of(gaps).interval()
    return f"{number(found.mean)} [{number(found.low)}, {number(found.high)}]"


def lines(head: list[str], rows: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def table() -> str:
    """How far 3x3 and 7x7 lie apart at each length, and what of the expression is followed."""
    found = {steps: values(steps) for steps in STEPS}
    quick = differences(found[QUICK], "swap_score")
    apart, followed = [], []
    for steps, each in found.items():
        means = each[list(METRICS)].groupby("variant").mean()
        gaps = differences(each, "swap_score")
        shared = {pair: gaps[pair] - quick[pair] for pair in gaps if pair in quick}
        same = sum(gaps[pair] * quick[pair] > 0 for pair in shared)
        scores = [number(means.loc[cell, "swap_score"]) for cell in CELLS]
        change = ["", ""] if steps == QUICK else [interval(shared), f"{same} of {len(shared)}"]
        apart.append([f"{steps:,}", str(len(gaps)), *scores, interval(gaps), *change])
        for kind, name in (("", "swap"), ("rec_", "rebuilt")):
            seen = [number(means.loc[cell, f"{kind}{m}"], 2) for m in FOLLOWED.values() for cell in CELLS]
            followed.append([f"{steps:,}", name, *seen])
    gap = lines(["steps", "pairs", "swap score 3x3", "swap score 7x7", "7x7 − 3x3, paired",
                 f"less that of {QUICK} steps", "pairs of the same sign"], apart)  # fmt: skip
    cells = [f"{name} {cell[-1]}x{cell[-1]}" for name in FOLLOWED for cell in CELLS]
    return "\n".join([*gap, "", "R²:", "", *lines(["steps", "picture", *cells], followed)]) + "\n"


def filled(page: str) -> str:
    """The page with the table written anew between its marks."""
    return MARKS.sub(lambda marks: f"{marks[1]}{table()}{marks[2]}", page)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--from"]:
        FIGURES.write_text(json.dumps(taken(Path(sys.argv[2])), indent=1) + "\n")
    PAGE.write_text(filled(PAGE.read_text()))
