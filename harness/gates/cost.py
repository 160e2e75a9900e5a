"""Gates without noise: FLOPs, parameters, operators, bytes and graph breaks against the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from harness.gates.baseline import Baselines, Lines, difference

OF_TORCH = ("operators", "bytes", "graph_breaks")  # what another version of torch may change
LOSSES = {"face_l1": 1.0, "gradient": 1.0, "dssim": 1.0, "kl": 0.005, "latent_statistics": 0.05}


class CostGate:
    """Counts are exact: any change fails until the baseline is updated and the change reviewed."""

    def __init__(self, request: pytest.FixtureRequest, baselines: Baselines, lines: Lines) -> None:
        self.request, self.baselines, self.lines = request, baselines, lines
        self.used = False

    def variant(
        self,
        name: str,
        size: int = 64,
        batch: int = 8,
        loss: Mapping[str, Any] | None = None,
        breaks: bool = False,
        **options: Any,
    ) -> dict[str, int]:
        """Count a training step of a registered variant with its builder's `options`, and check; returns the counts.

        `loss`: terms and weights, the quick scale's when none; `breaks`: count graph breaks too (seconds).
        """
        from harness.bench.counts import HostSync, count_step, graph_breaks
        from harness.spec import Spec

        self.used = True
        if not self.baselines.update:
            self.baselines.get(self.request, self.baselines.key(self.request))  # fails before seconds of counting
        terms = LOSSES if loss is None else dict(loss)
        spec = Spec.model_validate(
            {"data": {"size": size}, "model": {"variant": name, **options}, "loss": terms, "optim": {"batch": batch}}
        )
        try:
            found = count_step(spec).to_dict()
        except HostSync as error:
            pytest.fail(f"{self.baselines.key(self.request)}: {error}", pytrace=False)
        if breaks:
            found["graph_breaks"] = graph_breaks(spec)
        self.check(found)
        return found

    def check(self, values: Mapping[str, int], name: str = "") -> None:
        """Hold whole numbers against the baseline entry of this test (`name` tells several of one test apart)."""
        import torch

        self.used = True
        key, version = self.baselines.key(self.request, name), ".".join(torch.__version__.split(".")[:2])
        entry = {"kind": "cost", "torch": version, "values": dict(values)}
        if self.baselines.update:
            self.baselines.put(self.request, key, entry)
            return
        known = self.baselines.get(self.request, key)
        held = dict(known["values"])
        if known["torch"] != version:
            skipped = [k for k in OF_TORCH if k in held]
            for k in skipped:
                held[k] = values.get(k)
            self.lines.append(
                ("not held", f"{key}: {', '.join(skipped)}: counted with torch {known['torch']}, this is {version}")
            )
        if held != dict(values):
            pytest.fail(
                f"{key}: {difference({'values': held}, {'values': dict(values)})}. If it is meant: "
                "`pytest -m gate --gate-update`, and commit the reviewed change",
                pytrace=False,
            )
        self.lines.append(("pass", f"{key}: {', '.join(values)} as in the baseline"))
