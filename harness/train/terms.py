"""The loss terms of a trial: made for its model, and what those with a network of their own bring into the loop.

What a term may have is listed in `models.step.Loss`; no term is known by its name here.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from harness import registry
from harness.spec import Spec
from models.step import Step, trait
from models.swapper import Swapper

Term = tuple[str, float, Callable[[Step], Tensor]]  # name, weight, and what computes it


def build_losses(spec: Spec, model: Swapper) -> list[Term]:
    """Every loss whose weight is not zero, made for `model` and on its device.

    ValueError when a term does not suit the model.
    """
    terms: list[Term] = []
    for name, chosen in spec.loss.items():
        if chosen.weight > 0:
            term = registry.get("loss", name).object(**chosen.options)
            trait(term, "bind")(model, spec.data.size)
            if isinstance(term, nn.Module):
                term.to(next(model.parameters()).device)
            terms.append((name, chosen.weight, term))
    return terms


def networks(terms: list[Term]) -> dict[str, nn.Module]:
    """The loss terms that have a network of their own, by name."""
    return {name: term for name, _, term in terms if isinstance(term, nn.Module)}


def own_objectives(terms: list[Term], step: Step) -> dict[str, Tensor]:
    """The objectives of these networks at this step, as `<term>.own`; one that rests is absent."""
    asked = {f"{name}.own": trait(term, "own")(step) for name, _, term in terms}
    return {name: value for name, value in asked.items() if value is not None}


def logged(terms: list[Term]) -> dict[str, float]:
    """What terms tell besides their value, as `<term>.<name>`."""
    return {f"{name}.{k}": float(v) for name, _, term in terms for k, v in trait(term, "log")().items()}
