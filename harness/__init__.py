"""A benchmark and ablation harness for two-decoder face-swap autoencoders, with an exact ground truth.

`from harness import variant, loss, metric` gives the decorators that register one's own parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.registry import loss, metric, variant

__all__ = ["loss", "metric", "variant"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for, so that `import harness` costs nothing."""
    if name in __all__:
        from harness import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
