"""A finished trial on disk whose network was never trained, for the tests of what is done with trained models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness.ledger.records import Ledger, Record
from harness.options import build_model
from harness.spec import Spec
from harness.train.checkpoint import write_weights


def spec_of(**data: Any) -> Spec:
    """A grid of 2 x 2 cells for pictures of 32 pixels."""
    model = {"variant": "grid", "grid": 2, "width": 4, "channels": 8} | data.pop("model", {})
    return Spec.model_validate(
        {"data": {"size": 32, **data}, "model": model, "loss": {"l1": {"weight": 1.0}}, "optim": {"steps": 1}}
    )


def write(root: Path, spec: Spec | None = None, suite: str = "tiny", **changes: Any) -> Record:
    """The record of the trial, with its weights beside it, under root/suite."""
    spec = spec or spec_of()
    torch.manual_seed(0)
    network = build_model(spec)
    for module in network.modules():  # as after training: statistics that are not those of the start
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
    ledger, name = Ledger(root / suite), "grid-s0-0123abcd"
    folder = ledger.trial_folder(name)
    folder.mkdir(parents=True)
    known: dict[str, Any] = {
        "name": name, "label": "grid", "seed": 0, "status": "done", "suite": suite, "scale": "quick", "pair": "far",
        "digest": "0123abcd" * 8, "score_digest": "d" * 64, "spec": spec.model_dump(mode="json"),
        "data": {"source": spec.data.source, "synthetic": True, "truth": True},
        "cost": {"weights_sha256": write_weights(folder / "weights.safetensors", network.state_dict())},
    }  # fmt: skip
    ledger.write_plan({"suite": suite, "scale": "quick", "trials": [{k: known[k] for k in ("name", "label", "seed")}]})
    return ledger.write(Record(**{**known, **changes}))
