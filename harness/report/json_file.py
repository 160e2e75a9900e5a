"""report.json: what the page says, as plain values for a program."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from harness.files import finite
from harness.report import verdicts
from harness.report.answer import answer, fit_transition
from harness.report.numbers import REFERENCES, Numbers
from harness.report.tables import cell, decision, failures
from harness.report.validity import validity

SCHEMA_VERSION = 1


def json_text(numbers: Numbers) -> str:
    """JSON text; what is not finite is null."""
    table = numbers.table
    found = fit_transition(numbers)
    content = {
        "schema_version": SCHEMA_VERSION,
        "suite": table.suite,
        "question": table.plan.get("question"),
        "scale": table.plan.get("scale"),
        "command": table.plan.get("command"),
        "baseline": table.baseline.label if table.baseline else None,
        "claims": [{**asdict(v), "agreement": v.agreement} for v in verdicts.judged(numbers)],
        "answer": answer(numbers),
        "validity": [asdict(check) for check in validity(numbers)],
        "failures": failures(table),
        "variants": [_variant(numbers, row) for row in decision(numbers)],
        "references": {
            name: {m: value for m in table.metrics() if math.isfinite(value := numbers.reference(name, m))}
            for name in REFERENCES
        },
        "transition": {"metric": found[0], **asdict(found[1])} if found else None,
    }
    return json.dumps(finite(content), indent=1, ensure_ascii=False) + "\n"


def _variant(numbers: Numbers, row: Any) -> dict[str, Any]:
    variant = next(v for v in numbers.table.variants if v.label == row.label)
    metrics = {}
    for name in numbers.table.metrics():
        item = cell(numbers, variant, name)
        info = item.metric
        values: dict[str, Any] = {**asdict(item.mean), "unit": info.unit, "direction": info.direction}
        if item.difference is not None:
            values["difference"] = {**asdict(item.difference.interval), "verdict": item.difference.verdict}
            values["difference"] |= {
                "sign_flip_p": item.difference.test.p,
                "smallest_p": item.difference.test.attainable,
            }
        metrics[name] = values
    return {
        "variant": row.label,
        "cells": variant.latent_cells,
        "done": row.done,
        "planned": row.planned,
        "dominated_by": row.dominated,
        "metrics": metrics,
    }
