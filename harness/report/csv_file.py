"""table.csv and table.parquet from one frame: one row for each variant (or reference) and metric, then the claims."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pandas as pd

from harness.errors import EnvironmentProblem
from harness.ledger.table import Variant
from harness.report import verdicts
from harness.report.numbers import REFERENCES, Numbers
from harness.report.tables import cell

HEAD = (
    *("suite", "scale", "kind", "variant", "cells", "metric", "unit", "direction"),
    *("n", "images", "mean", "low", "high", "iqm"),
    *("baseline", "delta", "delta_low", "delta_high", "verdict", "sign_flip_p", "smallest_p"),
)
COUNTS = ("n", "images")
FIGURES = ("cells", "mean", "low", "high", "iqm", "delta", "delta_low", "delta_high", "sign_flip_p", "smallest_p")
NEEDED = "parquet needs the package pyarrow: uv pip install 'faceswap-bench[parquet]'"

Row = dict[str, Any]


def frame(numbers: Numbers, metrics: Collection[str] | None = None) -> pd.DataFrame:
    """The columns of HEAD: texts, whole numbers (COUNTS) and floats (FIGURES); what does not apply is missing.

    `metrics`: of variants and references only these.
    """
    table = numbers.table
    common = {"suite": table.suite, "scale": str(table.plan.get("scale") or "")}
    shown = [metric for metric in table.metrics() if metrics is None or metric in metrics]
    parts = (_variants(numbers, shown), _references(numbers, shown), _claims(numbers))
    rows = [{**common, **row} for row in itertools.chain.from_iterable(parts)]
    found = pd.DataFrame(rows, columns=list(HEAD))
    kinds = {name: "Int64" if name in COUNTS else "float64" if name in FIGURES else "str" for name in HEAD}
    return found.astype(kinds)


def csv_text(numbers: Numbers) -> str:
    """CSV text with a head line and \\n ends, safe to open in a spreadsheet."""
    found = frame(numbers)
    for name in HEAD:
        if name in FIGURES:
            found[name] = found[name].map(_number).astype("str")
        elif name not in COUNTS:
            found[name] = found[name].map(guard, na_action="ignore")
    return found.to_csv(index=False, lineterminator="\n")


def parquet_bytes(found: pd.DataFrame) -> bytes:
    """A frame as a Parquet file. EnvironmentProblem without pyarrow."""
    buffer = io.BytesIO()
    try:
        found.to_parquet(buffer, index=False)
    except ImportError:
        raise EnvironmentProblem(NEEDED) from None
    return buffer.getvalue()


def guard(text: object) -> str:
    """Text that a spreadsheet takes for text: a leading = + - @ tab or return gets a quote before it."""
    plain = str(text)
    return f"'{plain}" if plain[:1] in ("=", "+", "-", "@", "\t", "\r") else plain


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def _variants(numbers: Numbers, metrics: Sequence[str]) -> Iterator[Row]:
    for variant in numbers.table.variants:
        for metric in metrics:
            yield _variant(numbers, variant, metric)


def _variant(numbers: Numbers, variant: Variant, metric: str) -> Row:
    base, item = numbers.table.baseline, cell(numbers, variant, metric)
    mean = item.mean
    row = {
        "kind": "variant", "variant": variant.label, "cells": variant.latent_cells, **_facts(numbers, metric),
        "n": mean.n, "images": mean.images, "mean": mean.mean, "low": mean.low, "high": mean.high,
        "iqm": numbers.middle(variant, metric), "baseline": base.label if base else None,
    }  # fmt: skip
    if item.difference is None:
        return row
    interval, test = item.difference.interval, item.difference.test
    bounds = {"delta": interval.mean, "delta_low": interval.low, "delta_high": interval.high}
    tests = {"verdict": item.difference.verdict, "sign_flip_p": test.p, "smallest_p": test.attainable}
    return row | bounds | tests


def _references(numbers: Numbers, metrics: Sequence[str]) -> Iterator[Row]:
    for name in REFERENCES:
        for metric in metrics:
            value = numbers.reference(name, metric)
            if math.isfinite(value):
                yield {"kind": "reference", "variant": name, **_facts(numbers, metric), "mean": value}


def _claims(numbers: Numbers) -> Iterator[Row]:
    for verdict in verdicts.judged(numbers):
        yield {"kind": "claim", "variant": verdict.id, "verdict": verdict.verdict}
        for part in verdict.parts:
            yield {
                "kind": "claim part", "variant": verdict.id, "metric": part.metric, "unit": part.unit, "n": part.n,
                "delta": part.effect, "delta_low": part.low, "delta_high": part.high, "verdict": part.verdict,
                "sign_flip_p": part.p_sign, "smallest_p": part.p_attainable,
            }  # fmt: skip


def _facts(numbers: Numbers, metric: str) -> Row:
    facts = numbers.table.facts(metric)
    return {"metric": metric, "unit": facts.unit, "direction": facts.direction}
