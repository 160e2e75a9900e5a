"""The metrics on references with known answers: their table, their pictures, and the seconds they cost."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from harness.files import write_atomic
from harness.score import score
from metrics import ladder, references
from metrics.case import Case, Evaluator, mean_of

LISTS = ("values", "controls")  # of a metric's line: too much for one row
TILE, MARGIN, LINE = 128, 4, 13  # pixels: side of a shown picture, space around it, height of a line of text


def prove(
    case: Case, evaluators: Mapping[str, Evaluator], limit: int = score.LADDER_PAIRS
) -> tuple[list[ladder.LadderRow], dict[str, dict[str, float]]]:
    """The ladder's row of every metric, and {reference: {metric: mean}} for the oracle, the copy and the mean face."""
    ends = {name: _means(make(case), evaluators) for name, make in score.REFERENCES.items()}
    return ladder.check(case, evaluators, limit, rendered=True), ends


def _means(case: Case, evaluators: Mapping[str, Evaluator]) -> dict[str, float]:
    found = score.run(dict(evaluators), case, {})
    means = {name: mean_of(values) for name, values in found.items()}
    return {name: mean for name, mean in means.items() if np.isfinite(mean)}


def write(folder: Path, title: str, command: str, table: list[dict[str, Any]]) -> None:
    """ladder.json and ladder.md in `folder`: the rows, the command that made them, the reasons of what is invalid."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"schema_version": 1, "data": title, "command": command, "metrics": _rounded(table)}
    write_atomic(folder / "ladder.json", (json.dumps(content, indent=1) + "\n").encode())
    names = [name for name in table[0] if name not in (*LISTS, "reason")]
    lines = [f"# Ladder: {title}", "", f"Made by `{command}`.", "", "| " + " | ".join(names) + " |"]
    lines.append("|" + " --- |" * len(names))
    lines += ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in table]
    controls = list(dict.fromkeys(control for row in table for control in row["controls"]))
    lines += [
        "",
        "What is said on single references, where something is known of it; `undefined` where nothing is:",
        "",
    ]
    lines += ["| metric | " + " | ".join(controls) + " |", "|" + " --- |" * (len(controls) + 1)]
    for row in (row for row in table if row["controls"]):
        said = [_said(row["controls"][name]) if name in row["controls"] else "" for name in controls]
        lines.append(f"| {row['metric']} | " + " | ".join(said) + " |")
    lines += ["", "Invalid or not judged, and why:", ""]
    lines += [f"- {row['metric']}: {row['reason']}" for row in table if row["reason"]]
    write_atomic(folder / "ladder.md", ("\n".join(lines) + "\n").encode())


def _rounded(table: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [clean(inner) for inner in value]
        return (float(f"{value:.6g}") if np.isfinite(value) else None) if isinstance(value, float) else value

    return [{key: clean(value) for key, value in row.items()} for row in table]


def _said(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.4g}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def draw(case: Case, evaluators: Mapping[str, Evaluator], folder: Path, shown: tuple[str, ...]) -> list[Path]:
    """One PNG for each reference: driver, swap and truth of three pairs, with the metrics `shown` beneath."""
    made = {
        "oracle": references.oracle_case(case),
        "copy": references.copy_case(case),
        "mean_face": references.mean_face_case(case),
        "ghost": references.ghost_case(case),
        "half_face": references.half_face_case(case),
        "other_pose": references.other_pose_case(case),
        "blurred_copy": references.blurred_copy_case(case),
        "blurred": references.blurred_case(case, 2.0),
        "checkerboard": references.checkerboard_case(case, 1, 0.03),
    }
    if case.render is not None:
        made["frozen_expression"] = references.frozen_expression_case(case)
    asked = {name: group for name, group in evaluators.items() if {info.name for info in group.infos} & set(shown)}
    folder.mkdir(parents=True, exist_ok=True)
    rows = [round(k * (case.count - 1) / 3) for k in range(3)]
    paths = []
    for name, reference in made.items():
        means = _means(reference, asked)
        strip = [image for row in rows for image in (case.images["src"][row], reference.swap["src->dst"][row])]
        texts = [f"{metric}  {means[metric]:.3g}" for metric in shown if metric in means]
        paths.append(folder / f"metrics-{name}.png")
        _sheet(strip, [name.replace("_", " ") + ": driver and its swap, three times", *texts]).save(
            paths[-1], optimize=True
        )
    return paths


def _sheet(strip: list[torch.Tensor], texts: list[str]) -> Image.Image:
    step = TILE + MARGIN
    sheet = Image.new("RGB", (step * len(strip) + MARGIN, step + MARGIN + LINE * len(texts) + MARGIN), "white")
    for index, image in enumerate(strip):
        array = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
        tile = Image.fromarray(array).resize((TILE, TILE), Image.Resampling.NEAREST)
        # 64 colours: indistinguishable at this size, and the files stay small enough for a repository.
        sheet.paste(tile.quantize(64).convert("RGB"), (MARGIN + index * step, MARGIN))
    pen = ImageDraw.Draw(sheet)
    for index, text in enumerate(texts):
        pen.text((MARGIN, step + MARGIN + index * LINE), text, fill="black")
    return sheet


@torch.no_grad()
def costs(case: Case, evaluators: Mapping[str, Evaluator], repeats: int) -> list[dict[str, Any]]:
    """Seconds per 1,000 swapped images of each group: {group, median, least, most}, or why it could not run."""
    rows: list[dict[str, Any]] = []
    images = sum(len(swap) for swap in case.swap.values())
    for name, evaluator in evaluators.items():
        missing = evaluator.missing(case)
        if missing:
            rows.append({"group": name, "s per 1,000": None, "least": None, "most": None, "note": ", ".join(missing)})
            continue
        for _ in evaluator.run(case):  # what depends on the fixed pictures alone is now known, as in a second trial
            pass
        seconds = []
        for _ in range(repeats):
            fresh, began = replace(case), time.perf_counter()
            for _ in evaluator.run(fresh):
                pass
            seconds.append(1000 * (time.perf_counter() - began) / images)
        rows.append(
            {
                "group": name,
                "s per 1,000": round(statistics.median(seconds), 3),
                "least": round(min(seconds), 3),
                "most": round(max(seconds), 3),
                "note": "",
            }
        )
    return rows
