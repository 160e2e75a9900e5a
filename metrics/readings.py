"""What a regressor reads in the pictures of a case, once for all metrics that ask.

`regressor(images (B, 3, H, W)) -> {"pose": (B, K), "landmarks": (B, L, 2)}`, with `.pose_names` naming the K factors. A
reader of photographs names angles at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from metrics.case import DIRECTIONS, Case, as_values, target_of

EXPRESSIONS = ("smile", "mouth_open", "blink", "brow", "gaze_x", "gaze_y")
STILL = 1e-3  # standard deviation, in a factor's own unit, below which it does not vary


class Error(NamedTuple):
    """Absolute errors (2M,), both directions, and the same of the regressor on the truth itself (its floor)."""

    swap: np.ndarray
    floor: np.ndarray

    @property
    def excess(self) -> np.ndarray:
        """What the regressor itself does not explain; 0 for the exact swap."""
        return self.swap - self.floor


class Readings:
    """The regressor on the real images (kept for all cases over them), the swaps and the reconstructions."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.names = tuple(case.regressor.pose_names)

    @property
    def real(self) -> dict[str, dict[str, torch.Tensor]]:
        """{person: the reading of the real images}."""
        return self._read(self.case.images)

    @property
    def swap(self) -> dict[str, dict[str, torch.Tensor]]:
        """{direction: the reading of the swaps}."""
        return self._read(self.case.swap)

    @property
    def rec(self) -> dict[str, dict[str, torch.Tensor]]:
        """{person: the reading of the reconstructions}: read when asked for, as not every metric needs them."""
        return self._read(self.case.rec)

    @torch.no_grad()
    def _read(self, pictures: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
        return self.case.read("readings", pictures, self.case.regressor)

    def factor(self, reading: dict[str, torch.Tensor], name: str) -> np.ndarray:
        """(B,) one factor of a reading."""
        return as_values(reading["pose"][:, self.names.index(name)])

    def true(self, person: str, name: str) -> np.ndarray:
        """The known factor, or (photographs) what the regressor reads in the person's real images."""
        case = self.case
        if case.pose is not None and name in case.pose_names:
            return as_values(case.pose[:, case.pose_names.index(name)])
        return self.factor(self.real[person], name)

    def reference(self, way: str) -> str:
        """Whose real image has the pose of this swap and, if there is truth, its identity."""
        return target_of(way) if self.case.matched else way.split("->")[0]

    def error(self, name: str, swap: dict[str, dict[str, torch.Tensor]] | None = None) -> Error:
        """The error of one factor; `swap` holds readings in place of those of the case's swaps."""
        found, floors = [], []
        for way in DIRECTIONS:
            person = self.reference(way)
            truth = self.true(person, name)
            found.append(np.abs(self.factor((swap or self.swap)[way], name) - truth))
            floors.append(np.abs(self.factor(self.real[person], name) - truth))
        return Error(np.concatenate(found), np.concatenate(floors))

    def expression(self, swap: dict[str, dict[str, torch.Tensor]] | None = None) -> Error | None:
        """The mean error of the expression factors that vary here, each in units of its spread; None if none does."""
        spreads = {name: float(np.std(self.true("src", name))) for name in EXPRESSIONS}
        parts = [np.array(self.error(name, swap)) / spread for name, spread in spreads.items() if spread > STILL]
        return Error(*np.mean(parts, axis=0)) if parts else None
