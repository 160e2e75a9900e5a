"""Where trials run. `run_plan` takes trials, runs what is not done yet, and returns their records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.execute.run import Interruption, run_plan

__all__ = ["Interruption", "run_plan"]


def __getattr__(name: str) -> Any:
    """Import the runner when it is asked for: a cluster's desk does without all that it needs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness.execute import run

    return getattr(run, name)
