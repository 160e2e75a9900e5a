"""From dotted settings with their places to a checked `Spec`; every mistake is reported with the place of its cause."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness import limits, registry
from harness.errors import UsageError, did_you_mean
from harness.files import is_folder
from harness.options import check_options, known_options, too_large
from harness.spec import LossTerm, ModelSpec, Spec
from harness.suite.yamlfile import Document, Path_, Where, parse

Key = tuple[str, ...]


@dataclass(frozen=True)
class Setting:
    """One leaf of a specification: `path` is ("optim", "lr"); `keys` are its parts' places, `where` the value's."""

    path: Key
    value: Any
    keys: tuple[Where, ...]
    where: Where

    @property
    def key(self) -> Where:
        """The place of the last part."""
        return self.keys[-1] if self.keys else self.where

    @property
    def dotted(self) -> str:
        return ".".join(self.path)


def flatten(
    document: Document, at: Path_, value: Any, under: Key = (), keys: tuple[Where, ...] = ()
) -> Iterator[Setting]:
    """Settings of the (nested or dotted) mapping that stands at path `at` of the document. A list is a leaf."""
    if isinstance(value, dict) and (value or not under):
        for key, inner in value.items():
            parts = tuple(key.split("."))
            place = document.where((*at, key), key=True)
            if not all(parts):
                raise place.error(f"the key {key!r} has an empty part. Expected a key such as `optim.lr`")
            starts = [sum(len(part) + 1 for part in parts[:i]) for i in range(len(parts))]
            places = tuple(place.shifted(start) for start in starts)
            yield from flatten(document, (*at, key), inner, (*under, *parts), (*keys, *places))
        return
    if len(under) == 2 and under[0] == "loss" and _is_number(value):
        under, keys = (*under, "weight"), (*keys, keys[-1])
    yield Setting(under, value, keys, document.where(at))


def distinct(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    """The settings, none given twice: `a.b: 1` beside `a: {b: 2}` is an error."""
    seen: dict[Key, Setting] = {}
    for setting in settings:
        if setting.path in seen:
            raise setting.key.error(f"{setting.dotted} is set twice (also at {seen[setting.path].key}). Keep one")
        seen[setting.path] = setting
    return tuple(seen.values())


def from_options(texts: Sequence[str]) -> tuple[Setting, ...]:
    """`--set key=value`, the value read as YAML. A later one wins over an earlier one."""
    found: dict[Key, Setting] = {}
    for text in texts:
        where = Where(f"--set {text}")
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", key.strip()):
            raise where.error("not readable. Expected KEY=VALUE such as optim.lr=1e-4")
        document = parse(value, where.source, at_lines=False) if value.strip() else Document(where.source, value="")
        document.key_at.clear()
        document.value_at.clear()
        document.value_at[()] = where
        for setting in flatten(document, (), {key.strip(): document.value}):
            found[setting.path] = setting
    return tuple(found.values())


def anchored(settings: Iterable[Setting], folder: Path) -> tuple[Setting, ...]:
    """The settings with a relative `data.source` read from `folder`, absolute."""
    return tuple(
        replace(setting, value=os.path.abspath(folder / setting.value))
        if setting.path == ("data", "source")
        and isinstance(setting.value, str)
        and setting.value not in ("builtin", "")
        else setting
        for setting in settings
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def resolve(layers: Iterable[Setting], fallback: Where) -> Spec:
    """The `Spec` of these settings, later ones winning, all names and values checked, all defaults filled in.

    `loss.NAME: null` takes the term out. UsageError names the place of the setting at fault, `fallback` for one that
    is missing.
    """
    tree: dict[str, Any] = {}
    origin: dict[Key, Setting] = {}
    for setting in layers:
        origin[setting.path] = setting
        node = tree
        for part in setting.path[:-1]:
            if not isinstance(node.get(part), dict):
                node[part] = {}
            node = node[part]
        if setting.value is None and len(setting.path) == 2 and setting.path[0] == "loss":
            node.pop(setting.path[-1], None)
        else:
            node[setting.path[-1]] = setting.value
    places = _Places(origin, fallback)
    try:
        spec = Spec.model_validate_json(json.dumps(tree), strict=True)
    except ValidationError as error:
        raise places.error(error, Spec) from None
    source = spec.data.source
    if source != "builtin" and not is_folder(Path(source)):
        what = f"there is no folder {source!r}. Expected `builtin`, or a folder with src/ and dst/"
        raise places.at(("data", "source")).error(what)
    variant = places.get("variant", spec.model.variant, ("model", "variant"))
    options = places.options(variant, spec.model.options, ("model",))
    loss = {}
    for name, term in spec.loss.items():
        of_term = places.options(places.get("loss", name, ("loss", name)), term.options, ("loss", name))
        loss[name] = LossTerm(weight=term.weight, **of_term)
    return spec.model_copy(update={"model": ModelSpec(variant=spec.model.variant, **options), "loss": loss})


@dataclass(frozen=True)
class _Places:
    """Finds the setting that an error is about."""

    origin: Mapping[Key, Setting]
    fallback: Where

    def at(self, path: Key, *, key: bool = False) -> Where:
        for end in range(len(path), 0, -1):
            for known, setting in reversed(list(self.origin.items())):
                if known == path[:end] or (end == len(path) and known[:end] == path):
                    return setting.keys[end - 1] if key else setting.where
        return self.fallback

    def get(self, kind: registry.Kind, name: str, path: Key) -> registry.Entry:
        try:
            return registry.get(kind, name)
        except UsageError as error:
            raise self.at(path, key=kind == "loss").error(str(error)) from None

    def options(self, entry: registry.Entry, values: dict[str, Any], under: Key) -> dict[str, Any]:
        known = known_options(entry)
        for name in values:
            if name not in known:
                what = f"the {entry.kind} {entry.name!r} has no option {name!r}"
                raise self.at((*under, name), key=True).error(f"{what}. {did_you_mean(name, known)}")
            if too_large(entry, name, values[name]):
                what = f"{'.'.join((*under, name))} cannot be {values[name]!r}. Expected at most {limits.OPTION}"
                raise self.at((*under, name)).error(f"{what}; {limits.HOW}")
        try:
            return check_options(entry, values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])  # what follows are members of a union, or places inside a list
            if first["type"] != "missing":
                first["input"] = values[name]
            alike = {e["msg"]: explain(e, "", known) for e in error.errors() if e["loc"][0] == name}
            text = explain(first, ".".join((*under, name)), known)
            text += "".join(f" or{other.partition('Expected')[2]}" for other in list(alike.values())[1:])
            raise self.at((*under, name)).error(text) from None

    def error(self, error: ValidationError, model: type[BaseModel]) -> UsageError:
        first = max(error.errors(), key=lambda e: e["type"] == "extra_forbidden")  # a misspelt key is missed as well
        path = tuple(str(part) for part in first["loc"])
        known = known_keys(model, path[:-1])
        text = explain(first, ".".join(path), known)
        if first["type"] == "extra_forbidden" and (leaf := _leaf_named(path[-1])):
            text = f"there is no key {'.'.join(path)!r}. Did you mean {leaf!r}?"
        return self.at(path, key=first["type"] == "extra_forbidden").error(text)


def known_keys(model: Any, path: Sequence[str | int]) -> list[str]:
    """Names of the fields at this path of a pydantic model; empty where keys are free."""
    for part in path:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        members = get_args(field.annotation) or (field.annotation,) if field else ()
        model = next((m for m in members if m is not type(None)), None)
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return []
    return list(model.model_fields)


def _leaf_named(name: str) -> str:
    """`optim.lr` for `lr`: a key given without its section."""
    for section in ("optim", "data", "score", "data.augment"):
        if name in known_keys(Spec, section.split(".")):
            return f"{section}.{name}"
    return ""


def explain(error: ErrorDetails, name: str, known: Iterable[str]) -> str:
    """One pydantic error in plain words: what is wrong, and what was expected."""
    given = _in_yaml(error["input"])
    match error["type"]:
        case "extra_forbidden":
            return f"there is no key {name!r}. {did_you_mean(name.split('.')[-1], known)}"
        case "missing" if isinstance(error["loc"][-1], int):
            return f"{name.rpartition('.')[0]} cannot be {given}: it has too few values"
        case "missing":
            return f"{name} is missing. Expected `{name}: ...`"
        case "literal_error":
            expected = error["ctx"]["expected"]
            near = did_you_mean(str(error["input"]), re.findall(r"'([^']*)'", expected))
            tail = f". {near}" if near.startswith("Did") else ""
            return f"{name} cannot be {given}. Expected {expected}{tail}"
    if error["msg"].startswith("Value error, "):
        return f"{name} cannot be {given}: {error['msg'].removeprefix('Value error, ')}"
    return f"{name} cannot be {given}. Expected {_expected(error)}"


_KINDS = {
    "model_type": "a mapping", "dict_type": "a mapping", "list_type": "a list", "tuple_type": "a list",
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "bool_type": "true or false", "string_type": "a text", "finite_number": "a finite number",
    "greater_than": "a number above {gt}", "greater_than_equal": "{ge} or more", "less_than": "a number below {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "{min_length} entries or more", "too_long": "{max_length} entries or fewer",
    "string_too_short": "at least {min_length} letters", "string_too_long": "at most {max_length} letters",
}  # fmt: skip


def _in_yaml(value: Any) -> str:
    """A value as a suite would have it, at most 60 letters."""
    text = str(value).lower() if isinstance(value, bool) else "null" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _expected(error: ErrorDetails) -> str:
    """What a value should have been, in the words of a suite."""
    words = _KINDS.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else error["msg"].removeprefix("Input should be ")
