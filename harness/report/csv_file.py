"""table.csv: a line a variant (or reference) and metric, then the claims; safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import math

from harness.report import verdicts
from harness.report.numbers import REFERENCES, Numbers
from harness.report.tables import cell

HEAD = (
    *("suite", "scale", "kind", "variant", "cells", "metric", "unit", "direction"),
    *("n", "images", "mean", "low", "high", "iqm"),
    *("baseline", "delta", "delta_low", "delta_high", "verdict", "sign_flip_p", "smallest_p"),
)


def guard(text: object) -> str:
    """Text that a spreadsheet takes for text: a leading = + - @ tab or return gets a quote before it."""
    plain = str(text)
    return f"'{plain}" if plain[:1] in ("=", "+", "-", "@", "\t", "\r") else plain


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def csv_text(numbers: Numbers) -> str:
    """CSV text with a head line and \\n ends."""
    table = numbers.table
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    base = table.baseline.label if table.baseline else ""
    common = [guard(table.suite), guard(table.plan.get("scale") or "")]
    for variant in table.variants:
        for metric in table.metrics():
            info, item = table.facts(metric), cell(numbers, variant, metric)
            mean, difference = item.mean, item.difference
            start = [
                *common,
                "variant",
                guard(variant.label),
                _number(variant.latent_cells),
                guard(metric),
                guard(info.unit),
            ]
            values = [mean.mean, mean.low, mean.high, numbers.middle(variant, metric)]
            row = [*start, info.direction, mean.n, mean.images, *map(_number, values), guard(base)]
            if difference is not None:
                interval, test = difference.interval, difference.test
                row += [*map(_number, (interval.mean, interval.low, interval.high)), difference.verdict]
                row += [_number(test.p), _number(test.attainable)]
            writer.writerow(row + [""] * (len(HEAD) - len(row)))
    for name in REFERENCES:
        for metric in table.metrics():
            value = numbers.reference(name, metric)
            if math.isfinite(value):
                info = table.facts(metric)
                row = [
                    *common,
                    "reference",
                    name,
                    "",
                    guard(metric),
                    guard(info.unit),
                    info.direction,
                    "",
                    "",
                    _number(value),
                ]
                writer.writerow(row + [""] * (len(HEAD) - len(row)))
    for verdict in verdicts.judged(numbers):
        head = [*common, "claim", guard(verdict.id), "", "", "", ""]
        writer.writerow([*head, *[""] * (len(HEAD) - len(head) - 3), verdict.verdict, "", ""])
        for part in verdict.parts:
            start = [
                *common,
                "claim part",
                guard(verdict.id),
                "",
                guard(part.metric),
                guard(part.unit),
                "",
                str(part.n),
            ]
            values = [part.effect, part.low, part.high]
            row = [*start, *[""] * (HEAD.index("delta") - len(start)), *map(_number, values), part.verdict]
            writer.writerow([*row, _number(part.p_sign), _number(part.p_attainable)])
    return out.getvalue()
