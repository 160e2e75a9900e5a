"""A benchmark and ablation harness for two-decoder face-swap autoencoders, with an exact ground truth.

`from harness import variant, loss, metric` gives the decorators that register one's own parts. `harness.run(suite)`
runs a suite, `harness.results(folder)` reads what came of it as pandas frames, `harness.load_model(trial)` gives a
trained network.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.registry import loss, metric, variant
    from harness.use.model import load_model
    from harness.use.results import results
    from harness.use.run import run

__all__ = ["load_model", "loss", "metric", "results", "run", "variant"]

_HOMES = {"load_model": "harness.use.model", "results": "harness.use.results", "run": "harness.use.run"}


def __getattr__(name: str) -> Any:
    """Loaded when asked for, so that `import harness` costs nothing."""
    if name in __all__:
        return getattr(importlib.import_module(_HOMES.get(name, "harness.registry")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
