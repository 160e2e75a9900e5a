"""A plugin whose variant breaks in whatever way a suite asks for, while it is built or while it is trained."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
import time
from typing import Literal

import torch
from torch import Tensor, nn

from harness import variant
from models.swapper import Swapper
from models.variants import grid

Way = Literal["none", "raise", "shape", "nan", "exit", "leave", "interrupt", "hang", "segfault", "memory"]


class Hostile(nn.Module):
    """Passes pictures on, until its fifth call in training."""

    def __init__(self, inner: nn.Module, way: Way) -> None:
        super().__init__()
        self.inner, self.way, self.calls = inner, way, 0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        self.calls += self.training
        return y if self.calls < 5 or self.way == "none" else self.broken(y)

    def broken(self, y: Tensor) -> Tensor:
        """What happens at the fifth call."""
        if self.way == "raise":
            raise RuntimeError("this forward was meant to raise")
        if self.way == "shape":
            return y[:, :, 1:]
        if self.way == "nan":
            return y * float("nan")
        if self.way == "exit":
            sys.exit("this forward was meant to exit")
        if self.way == "leave":
            os._exit(0)
        if self.way == "interrupt":
            raise KeyboardInterrupt
        if self.way == "hang":
            time.sleep(3600)
        if self.way == "segfault":
            ctypes.string_at(0)
        size = 2**33  # 32 GiB of floats, on a machine that has less
        resource.setrlimit(resource.RLIMIT_AS, (2**34, resource.RLIM_INFINITY))
        return y + torch.zeros(size).sum()


@variant("hostile")
def hostile(size: int, way: Way = "none") -> Swapper:
    """The smallest grid, with a hostile encoder."""
    model = grid(size, grid=2, width=4, channels=4)
    model.encoder = Hostile(model.encoder, way)
    return model


@variant("unbuildable")
def unbuildable(size: int, how: Literal["raise", "exit"] = "raise") -> Swapper:
    """Cannot be built."""
    if how == "exit":
        sys.exit("this builder was meant to exit")
    raise RuntimeError("this builder was meant to raise")
