"""Options of a registered entry: its keyword parameters, checked as a suite gives them; and what they build."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from harness import limits, registry
from harness.errors import UsageError
from harness.registry import Entry
from harness.spec import Spec

if TYPE_CHECKING:
    from models.swapper import Swapper

GIVEN = {"variant": ("size",), "loss": (), "metric": ()}  # what the harness passes itself, so no option


@functools.cache
def _model(thing: Any, given: tuple[str, ...]) -> Any:
    """A pydantic model of the keyword parameters. UsageError for a signature that cannot be checked."""
    from pydantic import ConfigDict, create_model

    call = thing.__init__ if inspect.isclass(thing) else registry.source_of(thing)
    hints = get_type_hints(call, include_extras=True) if inspect.isfunction(call) else {}
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(thing).parameters.items():
        if name in given:
            continue
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise UsageError(f"the parameter {name!r} of {thing!r} cannot be checked. Name each option with a default")
        fields[name] = (hints.get(name, Any), ... if parameter.default is parameter.empty else parameter.default)
    config = ConfigDict(extra="forbid", protected_namespaces=(), allow_inf_nan=False)
    return create_model("options", __config__=config, **fields)


def too_large(entry: Entry, name: str, value: Any) -> bool:
    """Whether an option's value is, or holds, a number above `limits.OPTION`, unless its annotation has a bound."""
    if isinstance(value, list):
        return any(too_large(entry, name, item) for item in value)
    if not isinstance(value, int) or not limits.beyond(value, limits.OPTION):
        return False
    field = _model(entry.object, GIVEN[entry.kind]).model_fields[name]
    return not any(hasattr(bound, "le") or hasattr(bound, "lt") for bound in field.metadata)


def known_options(entry: Entry) -> dict[str, Any]:
    """Names and defaults of an entry's options (`...` for a required one)."""
    model = _model(entry.object, GIVEN[entry.kind])
    return {name: ... if field.is_required() else field.default for name, field in model.model_fields.items()}


def check_options(entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` checked against the builder's signature, defaults filled in, as plain JSON values.

    Raises pydantic.ValidationError, whose `loc` starts with the option's name.
    """
    model = _model(entry.object, GIVEN[entry.kind])
    return model.model_validate_json(json.dumps(dict(values)), strict=True).model_dump(mode="json")


def build_model(spec: Spec) -> Swapper:
    """The variant of a spec with its options, freshly initialised from torch's global generator."""
    return registry.get("variant", spec.model.variant).object(size=spec.data.size, **spec.model.options)


def settled(spec: Spec) -> Spec:
    """The spec with every open choice of its loss terms settled by the terms themselves (`Loss.resolve`)."""
    from models.step import trait

    terms = {}
    for name, term in spec.loss.items():
        options = trait(registry.get("loss", name).object, "resolve")(dict(term.options))
        terms[name] = type(term)(weight=term.weight, **options)
    return spec.model_copy(update={"loss": terms})
