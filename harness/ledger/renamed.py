"""Metrics that had another name when a record was written: old ledgers stay readable and comparable."""

from __future__ import annotations

import re
from typing import Any

OLD = re.compile(r"cbe_((image_)?(rms|db|floor_rms|floor_db|sensitivity|flag)_\d|constant_latent|gain_spread)")


def name_now(metric: str) -> str:
    """What a metric is called today."""
    return metric.replace("cbe_", "checkerboard_") if OLD.fullmatch(metric) else metric


def renamed(content: Any) -> Any:
    """Content of plan.json, record.json or of the per-image values, with today's names of metrics: keys and values."""
    if isinstance(content, dict):
        return {name_now(key): renamed(value) for key, value in content.items()}
    if isinstance(content, list):
        return [renamed(value) for value in content]
    return name_now(content) if isinstance(content, str) else content
