"""What the ledger takes from a planned trial: the ledger stands below the room that plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Specification(Protocol):
    """A resolved specification that can be written as JSON."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """As plain values."""
        ...


class Planned(Protocol):
    """A trial as it was planned; `harness.trials.trial.Trial` is one."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def suite(self) -> str: ...
    @property
    def scale(self) -> str: ...
    @property
    def cell(self) -> Mapping[str, Any]: ...
    @property
    def pair(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def score_digest(self) -> str: ...
    @property
    def spec(self) -> Specification: ...
