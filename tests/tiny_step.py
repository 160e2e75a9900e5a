"""A training step of grey pictures, for tests of single terms."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.step import Step
from models.swapper import PEOPLE, Swapper
from models.variants import grid


def step_of(number: int = 0, total: int = 10, model: Swapper | None = None, **values: Any) -> Step:
    """A step of 2 + 2 pictures of 16 px; what is not given is mid-grey, opaque and zero."""
    grey = {p: torch.full((2, 3, 16, 16), 0.5) for p in PEOPLE}
    opaque = {p: torch.ones(2, 1, 16, 16) for p in PEOPLE}
    zero = {p: torch.zeros(2, 4, 3, 3) for p in PEOPLE}
    known = {"inputs": grey, "target": grey, "alpha": opaque, "rec": grey, "mu": zero, "logvar": zero, "z": zero}
    model = model or grid(16, 3, width=4, channels=4)
    return Step(**(known | values), number=number, total=total, model=model)


def both(picture: Tensor) -> dict[str, Tensor]:
    """The same for both people."""
    return dict.fromkeys(PEOPLE, picture)
