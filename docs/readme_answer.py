"""Write the answer of the bottleneck reference run into README.md, between its two marks.

uv run python docs/readme_answer.py
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pandas as pd

import harness
from harness.claims.again import agreement
from harness.claims.verdict import judge
from harness.ledger.table import load

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "README.md"
RUN = HOME / "results" / "reference" / "quick" / "bottleneck"
AGAIN = HOME / "results" / "reference" / "replication" / "bottleneck"  # with other people
MARKS = re.compile(r"(<!-- answer -->\n).*?(<!-- /answer -->)", re.DOTALL)
SHOWN = {  # metric: (heading, decimals)
    "swap_score": ("swap score ↑", 3),
    "identity_transfer": ("identity transfer ↑", 3),
    "off_axis": ("off-axis residual ↓", 3),
    "leak_gap": ("leak gap ↓", 3),
    "expression_error": ("expression error ↓", 3),
    "rec_l1_face": ("reconstruction L1, face ↓", 4),
}
ROWS = ("grid3", "grid4", "grid5", "grid6", "grid7")  # the others: in the report
REFERENCES = {"oracle": "the exact swap", "copy": "a copy of the driver", "mean_face": "the mean face"}


def number(value: float, decimals: int = 3) -> str:
    """`−0.125`; empty when undefined."""
    return "" if pd.isna(value) else f"{value:.{decimals}f}".replace("-", "−")


def interval(part: pd.Series) -> str:
    """`−0.125 [−0.181, −0.069]`, with its unit."""
    return f"{number(part['effect'])} [{number(part['low'])}, {number(part['high'])}] {part['unit']}".rstrip()


def rows(head: list[str], body: list[list[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *(f"| {' | '.join(row)} |" for row in body)]


def answer(folder: Path = RUN) -> str:
    """The square grids from 3x3 to 7x7 and the decided claims of the run in `folder`."""
    found = harness.results(folder)
    table, claims = found.table(SHOWN), found.claims()
    means = table.pivot_table(index="variant", columns="metric", values="mean", aggfunc="first")
    metrics = [metric for metric in SHOWN if metric in set(table["metric"])]
    score = table[table["metric"] == "swap_score"]
    variants = score[score["kind"] == "variant"].set_index("variant", drop=False).loc[list(ROWS)]
    baseline = variants["baseline"].iloc[0]
    head = ["grid", "pairs", *(SHOWN[metric][0] for metric in metrics), f"swap score against {baseline}, paired"]
    body = []
    for _, row in variants.iterrows():
        cells = [number(means.loc[row["variant"], metric], SHOWN[metric][1]) for metric in metrics]
        delta = ""
        if not pd.isna(row["delta"]):
            delta = f"{number(row['delta'])} [{number(row['delta_low'])}, {number(row['delta_high'])}]"
        body.append([row["variant"].removeprefix("grid"), str(row["n"]), *cells, delta])
    for name, words in REFERENCES.items():
        cells = [number(means.loc[name, metric], SHOWN[metric][1]) for metric in metrics]
        body.append([words, "", *cells, ""])
    verdicts, open_ = [], []
    for name, parts in claims.groupby("claim", sort=False):
        first = parts.iloc[0]
        if first["verdict"] == "undecided":
            open_.append(str(name))
            continue
        effects = [
            f"{part['metric'].replace('_', ' ')} {interval(part)}"
            for _, part in parts.dropna(subset=["effect", "low", "high"]).iterrows()
        ]
        verdicts.append([f"**{first['verdict']}**", f"{first['says']} ({name})", "; ".join(effects)])
    page = RUN.relative_to(PAGE.parent) / "report.md"
    asked = f"Undecided: {', '.join(open_)}; what each asks and lacks: [report]({page.as_posix()})."
    told = rows(["verdict", "claim", "effect and interval"], verdicts)
    again = repeated(folder) if folder == RUN and AGAIN.is_dir() else ""
    return "\n".join([*rows(head, body), "", *told, "", " ".join([*([asked] if open_ else []), again]).strip(), ""])


def repeated(folder: Path) -> str:
    """How many of the verdicts came out again with other people."""
    first, other = load(folder), load(AGAIN)
    return agreement(judge(first), judge(other), other).told


def filled(page: str, text: str) -> str:
    """README with the answer in its place."""
    return MARKS.sub(lambda marks: marks[1] + text + marks[2], page)


if __name__ == "__main__":
    warnings.simplefilter("error")
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), answer()), encoding="utf-8")
