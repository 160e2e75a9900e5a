"""Options of a registered entry: its keyword parameters, checked as a suite gives them; and what they build."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness import catalogue, limits, registry
from harness.catalogue import GIVEN
from harness.memo import remembered
from harness.registry import Entry
from harness.spec import Spec
from models import pretrained

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

    from models.swapper import Swapper


def too_large(entry: Entry, name: str, value: Any) -> bool:
    """Whether an option's value is, or holds, a number above `limits.OPTION`, unless its annotation has a bound."""
    if isinstance(value, list):
        return any(too_large(entry, name, item) for item in value)
    if not isinstance(value, int) or not limits.beyond(value, limits.OPTION):
        return False
    return not _bounded((entry.facts["options"] or {}).get(name))


def _bounded(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        return bool({"le", "lt"} & schema.keys()) or any(_bounded(value) for value in schema.values())
    return isinstance(schema, list) and any(_bounded(item) for item in schema)


def known_options(entry: Entry) -> dict[str, Any]:
    """Names and defaults of an entry's options (`...` for a required one)."""
    schemas = entry.facts["options"]
    if schemas is None:
        fields = catalogue.model_of(entry.object, GIVEN[entry.kind]).model_fields
        return {name: ... if field.is_required() else field.default for name, field in fields.items()}
    return {name: schema["default"] if schema["type"] == "default" else ... for name, schema in schemas.items()}


def check_options(entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` checked against the builder's signature, defaults filled in, as plain JSON values.

    Raises pydantic.ValidationError, whose `loc` starts with the option's name.
    """
    text, schemas = json.dumps(dict(values)), entry.facts["options"]
    if schemas is None:
        model = catalogue.model_of(entry.object, GIVEN[entry.kind])
        return model.model_validate_json(text, strict=True).model_dump(mode="json")
    return json.loads(json.dumps(_validator(json.dumps(schemas)).validate_json(text, strict=True)))


@functools.lru_cache(maxsize=256)
def _validator(schemas: str) -> SchemaValidator:
    """A checker of options from their schemas, written as JSON."""
    from pydantic_core import CoreConfig, SchemaValidator, core_schema

    fields = {
        name: core_schema.typed_dict_field(schema, required=schema["type"] != "default")
        for name, schema in json.loads(schemas).items()
    }
    config = CoreConfig(allow_inf_nan=False)
    return SchemaValidator(core_schema.typed_dict_schema(fields, extra_behavior="forbid", config=config))


def build_model(spec: Spec) -> Swapper:
    """The variant of a spec with its options, freshly initialised from torch's global generator."""
    return registry.get("variant", spec.model.variant).object(size=spec.data.size, **spec.model.options)


def settled(spec: Spec) -> Spec:
    """The spec with every open choice of its loss terms settled by the terms themselves (`Loss.resolve`)."""
    terms = {}
    for name, term in spec.loss.items():
        options = dict(term.options)
        if (loss := registry.get("loss", name)).has("resolve"):
            options = _resolved(loss, options)
        terms[name] = type(term)(weight=term.weight, **options)
    return spec.model_copy(update={"loss": terms})


def _resolved(loss: Entry, options: dict[str, Any]) -> dict[str, Any]:
    """A choice depends on the options, and on which files of weights are here."""
    if not loss.shipped:
        return loss.object.resolve(options)
    here = [name for name in pretrained.FILES if pretrained.present(name)]
    return remembered("resolve", [loss.name, options, here], lambda: loss.object.resolve(options))
