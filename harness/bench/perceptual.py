"""LPIPS as a loss for measurements: with or without the published weights, eager or compiled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from harness import registry
from models import pretrained
from models.lpips import LPIPS, Net
from models.perceptual import LpipsLoss

NAME = "lpips-measured"
Backend = Literal["none", "inductor", "aot_eager", "eager"]


class MeasuredLpips(LpipsLoss):
    """The term `lpips`, compiled as one graph by `backend`; `random`: without the published weights.

    A graph break is an error, and so is a shape that would need the graph anew.
    """

    def __init__(self, net: Net = "vgg", backend: Backend = "none", random: bool = False):
        self.distance = LPIPS(net, random=random)
        if backend != "none":
            self.distance.compile(fullgraph=True, dynamic=False, backend=backend)

    def of(self, rec: Tensor, target: Tensor) -> Tensor:
        with torch._dynamo.config.patch(error_on_recompile=True):
            return super().of(rec, target)


@contextmanager
def registered() -> Iterator[str]:
    """The name under which `MeasuredLpips` is a loss within the block."""
    registry.register("loss", NAME, MeasuredLpips)
    try:
        yield NAME
    finally:
        registry._added.pop(("loss", NAME))


def weights_are_random() -> bool:
    """Whether LPIPS-VGG can only be measured with a random trunk here."""
    return not pretrained.present("vgg")
