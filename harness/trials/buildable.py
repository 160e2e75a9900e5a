"""What a spec's model will be, before anything is trained: whether it can be built, and how large it is.

A builder is asked once for each state of the sources (`harness.memo`): asking costs seconds of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness import limits, registry
from harness.errors import UsageError
from harness.memo import remembered
from harness.spec import Spec


def parameters(spec: Spec) -> int:
    """Number of parameters of a model that can be built."""
    return int(_told(spec)["parameters"])


def check_buildable(spec: Spec, error: Callable[[str], UsageError]) -> None:
    """A size that a variant cannot have, or a loss that its model cannot serve, is an `error` before any training."""
    told = _told(spec)
    if told["problem"]:
        raise error(told["problem"])
    rows, columns = told["grid"]
    if limits.beyond(rows * columns, limits.LATENT_CELLS):
        excess = f"{rows} x {columns} latent cells. Expected at most {limits.LATENT_CELLS}"
    elif limits.beyond(told["parameters"], limits.PARAMETERS):
        excess = f"{told['parameters']:.3g} parameters. Expected at most {limits.PARAMETERS:.0e}"
    else:
        return
    raise error(f"the variant {spec.model.variant!r} has {excess}; {limits.HOW}")


def _told(spec: Spec) -> dict[str, Any]:
    """{problem, parameters, grid}: what building tells; of parts of one's own, and of surprises, nothing is kept."""
    losses = {name: term for name, term in spec.loss.items() if term.weight > 0}
    bound = {name: term.options for name, term in losses.items() if registry.get("loss", name).has("bind")}
    parts = [registry.get("variant", spec.model.variant), *(registry.get("loss", name) for name in bound)]
    if not all(part.shipped for part in parts):
        return _ask(spec, bound)
    key = [spec.model.model_dump(mode="json"), spec.data.size, bound]
    try:
        return remembered("buildable", key, lambda: _ask(spec, bound, surprises=False))
    except _Surprise as surprise:
        return surprise.told


class _Surprise(Exception):
    """A part failed as no part announces it: perhaps it is the machine's fault, and not to be remembered."""

    def __init__(self, told: dict[str, Any]) -> None:
        super().__init__()
        self.told = told


def _ask(spec: Spec, bound: dict[str, dict[str, Any]], surprises: bool = True) -> dict[str, Any]:
    from harness.options import build_model
    from models.anatomy import undrawn

    told: dict[str, Any] = {"problem": "", "parameters": 0, "grid": [0, 0]}
    what = f"the variant {spec.model.variant!r} cannot be built"
    try:
        with undrawn():
            model = build_model(spec)
            told["parameters"] = sum(parameter.numel() for parameter in model.parameters())
            told["grid"] = list(getattr(model, "latent_shape", (0, 0, 0))[1:])
            for name, options in bound.items():
                what = f"the loss {name!r} does not fit {spec.model.variant!r}"
                registry.get("loss", name).object(**options).bind(model, spec.data.size)
    except ValueError as problem:
        told["problem"] = f"{what}: {_first_line(problem)}"
    except (Exception, SystemExit) as problem:  # a part may be anybody's, and fail in any way
        told["problem"] = f"{what}: {type(problem).__name__}: {_first_line(problem)}"
        if not surprises:
            raise _Surprise(told) from None
    return told


def _first_line(problem: BaseException) -> str:
    return str(problem).split("\n")[0][:300]
