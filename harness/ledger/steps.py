"""steps.json of a suite's folder: training steps of some variants, timed in turns, under the hash of its content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.files import read_json, verified, write_hashed_json

STEPS = "steps.json"
SCHEMA_VERSION = 1


def read_steps(folder: Path) -> dict[str, Any]:
    """What was measured; empty when nothing was. Damaged when the file is not what was written."""
    try:
        return verified(read_json(folder / STEPS))
    except (FileNotFoundError, NotADirectoryError):
        return {}


def write_steps(folder: Path, values: Mapping[str, Any]) -> None:
    """Write steps.json."""
    write_hashed_json(folder / STEPS, {"schema_version": SCHEMA_VERSION, **values})
