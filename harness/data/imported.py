"""What an import of photographs (`harness.photos`) noted of a folder, as far as others read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.data.listing import PEOPLE


def import_settings(folder: Path) -> dict[str, Any]:
    """The settings by which the pictures of a folder were imported; empty when they were not, or it cannot be told."""
    for person in PEOPLE:
        try:
            with (folder / "import" / f"{person}.jsonl").open(encoding="utf-8") as stream:
                head = json.loads(stream.readline())
            return dict(head["settings"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return {}


def crop_factor(folder: Path) -> float | None:
    """The crop factor of the template; None for a folder that was not aligned here."""
    settings = import_settings(folder)
    return float(settings["crop"]) if settings.get("align") == "mtcnn" else None
