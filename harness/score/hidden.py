"""Built-in faces scored as photographs are: every metric that needs no truth, with the truth hidden.

MTCNN reads them as it reads photographs. The embedder of photographs does not know drawn heads; the built-in judge
stands for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from harness import registry
from harness.data.store import FaceStore
from harness.score import recognisers, weights
from harness.score.case import build_case
from harness.score.score import mean_of, run
from harness.spec import Spec
from metrics.case import Case
from models.swapper import Swapper


def hidden(case: Case, device: torch.device, features: dict[str, Any]) -> Case:
    """The same outputs, of which nothing exact is known. `features`: what is known of the pictures so far, hidden."""
    return replace(
        case, matched=False, landmarks=None, landmark_names=(), pose=None, pose_names=(), identity=None, crowd=None,
        render=None, distractors=None, fixed=features, regressor=weights.face_finder(device),
        embedder=recognisers.embedder(device, "judge"),
    )  # fmt: skip


def hidden_scores(
    model: Swapper, spec: Spec, store: FaceStore, device: torch.device, features: dict[str, Any]
) -> dict[str, float]:
    """{metric: mean} of every evaluator on the hidden case; what is undefined there is left out.

    `features`: empty at first; the same for every model that is scored on the same pictures.
    """
    evaluators: dict[str, Any] = {name: entry.object for name, entry in registry.entries("metric").items()}
    invalid: dict[str, str] = {}
    case = hidden(build_case(model.eval(), spec, store, device), device, features)
    found = {name: float(mean_of(values)) for name, values in run(evaluators, case, invalid).items()}
    return {name: value for name, value in found.items() if name not in invalid and value == value}
