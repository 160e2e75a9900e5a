"""Fill the table of docs/quick.md from runs of 200 to 2,000 steps; with --picture also draw their swaps.

    uv run python docs/quick_table.py [--picture]

Reads results/reference/steps/<steps>/bottleneck. The picture needs the trials' own pictures, which are not committed:
run the commands of the page first.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

import harness
from harness.claims.stats import estimate_of

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "quick.md"
PICTURE = HOME / "docs" / "pictures" / "quick.png"
RUNS = HOME / "results" / "reference" / "steps"
STEPS, QUICK = (200, 400, 800, 2000), 400
CELLS = ("grid3", "grid7")
FOLLOWED = {"yaw": "yaw_r2", "mouth": "mouth_open_r2", "blink": "blink_r2"}
MARKS = re.compile(r"(<!-- steps -->\n).*?(<!-- /steps -->)", re.DOTALL)
FACE, ZOOM, MARGIN = "fixed-1.png", 2, 100


def number(value: float, decimals: int = 3) -> str:
    """With a real minus sign."""
    return f"{value:.{decimals}f}".replace("-", "−")


def values(steps: int) -> pd.DataFrame:
    """(pair, variant) x metric of the run of so many steps."""
    frame = harness.results(RUNS / str(steps) / "bottleneck").frame()
    done = frame[(frame["status"] == "done") & frame["variant"].isin(CELLS)]
    return done.pivot_table(index=["pair", "variant"], columns="metric", values="value")


def differences(found: pd.DataFrame, metric: str) -> dict[tuple[int, str], float]:
    """7x7 less 3x3 of each pair of people."""
    wide = found[metric].unstack("variant")
    return {(0, str(pair)): float(gap) for pair, gap in (wide["grid7"] - wide["grid3"]).items()}


def interval(gaps: dict[tuple[int, str], float]) -> str:
    """Mean and 95 % interval over pairs of people."""
    found = estimate_of(gaps).interval()
    return f"{number(found.mean)} [{number(found.low)}, {number(found.high)}]"


def table() -> str:
    """A row for each length: how well 3x3 and 7x7 swap, how far apart they are, what of the expression is followed."""
    found = {steps: values(steps) for steps in STEPS}
    quick = differences(found[QUICK], "swap_score")
    head = ["steps", "swap score 3x3", "7x7", "7x7 − 3x3, paired", f"that less the one of {QUICK} steps",
            *(f"R² of {name}: swap 3x3, 7x7; rebuilt 3x3, 7x7" for name in FOLLOWED)]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for steps, each in found.items():
        means = each.groupby("variant").mean()
        gaps = differences(each, "swap_score")
        change = "" if steps == QUICK else interval({key: gaps[key] - quick[key] for key in gaps})
        followed = []
        for metric in FOLLOWED.values():
            swaps, rebuilt = (
                [number(means.loc[cell, name], 2) for cell in CELLS] for name in (metric, f"rec_{metric}")
            )
            followed.append(f"{', '.join(swaps)}; {', '.join(rebuilt)}")
        scores = [number(means.loc[cell, "swap_score"]) for cell in CELLS]
        lines.append(f"| {' | '.join([f'{steps:,}', *scores, interval(gaps), change, *followed])} |")
    pairs = len(quick)
    return "\n".join([*lines, "", f"{pairs} pairs of people, the same in every row; 95 % intervals over pairs."]) + "\n"


def filled(page: str) -> str:
    """The page with the table written anew between its marks."""
    return MARKS.sub(lambda marks: f"{marks[1]}{table()}{marks[2]}", page)


def draw() -> None:
    """One face of one pair: a row for each grid and length."""
    rows = []
    for cell in CELLS:
        for steps in STEPS:
            (folder,) = (RUNS / str(steps) / "bottleneck" / "trials").glob(f"{cell}-s0-*")
            picture = Image.open(folder / "pictures" / FACE).convert("RGB")
            size = (picture.width * ZOOM, picture.height * ZOOM)
            rows.append((f"{cell[-1]}x{cell[-1]}, {steps:,}", picture.resize(size, Image.Resampling.LANCZOS)))
    width, height = rows[0][1].size
    sheet = Image.new("RGB", (width + MARGIN, height * len(rows)), "black")
    for k, (label, picture) in enumerate(rows):
        sheet.paste(picture, (MARGIN, k * height))
        ImageDraw.Draw(sheet).text((8, k * height + height // 2 - 6), label, fill="white")
    sheet.quantize(256).save(PICTURE, optimize=True)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
    if "--picture" in sys.argv[1:]:
        draw()
