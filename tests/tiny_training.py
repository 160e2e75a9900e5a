"""A specification that trains in a second, and its face set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.data.store import FaceStore, open_store
from harness.spec import Spec

SIZE = 16


def spec_of(**changes: dict[str, Any]) -> Spec:
    """16 px, 20 frames, batches of 6 + 6, 8 steps in fp32; sections are changed by keyword."""
    values: dict[str, dict[str, Any]] = {
        "data": {"pair": "near", "frames": 20, "eval_frames": 4, "size": SIZE, "render_supersample": 1, "repeat": 2},
        "model": {"variant": "grid", "grid": 3, "width": 4, "channels": 4, "logvar_start": -2.0},
        "loss": {"l1": 1.0, "kl": 0.01, "latent_statistics": 0.1},
        "optim": {"steps": 8, "batch": 6, "lr": 1e-2, "precision": "fp32", "schedule": "cosine"},
        "score": {"previews": 2, "preview_faces": 2},
    }
    for section, change in changes.items():
        values[section] = values[section] | change if section != "loss" else change
    return Spec.model_validate(values)


def store_in(root: Path) -> FaceStore:
    """The face set of `spec_of()`, rendered under root/data."""
    return open_store(spec_of().data, 0, root)
