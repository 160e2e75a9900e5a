"""What registered parts say of themselves, as plain values: enough to list, check and plan with them.

The parts that come with the product are known from an earlier start of it (`harness.memo`), so that no module of theirs
need be imported before something is trained, scored or drawn.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from harness import plugins
from harness.errors import UsageError
from harness.files import HOME
from harness.memo import remembered
from harness.plugins import TABLES, Kind

GIVEN = {"variant": ("size",), "loss": (), "metric": ()}  # what the harness passes itself, so no option
TRAITS = ("resolve", "preflight", "unfit", "bind")  # optional parts of a loss that planning asks for


def shipped() -> list[dict[str, Any]]:
    """The facts of every part that comes with the product, with the `module` and the `key` where it is found."""
    return remembered("catalogue", [], _read)


def _read() -> list[dict[str, Any]]:
    found: dict[tuple[Kind, str], tuple[Any, dict[str, Any]]] = {}
    for module in plugins.own():
        for kind, name, thing in plugins.tables(module):
            file, line = origin_of(thing)
            place = {"module": module.__name__, "file": _at_home(file), "line": line}
            other, facts = found.setdefault(
                (kind, name), (thing, {"kind": kind, "name": name, **place, **facts_of(kind, thing)})
            )
            if other is not thing:
                first = f"{facts['file']}:{facts['line']}"
                raise UsageError(f"two {kind}s are called {name!r}: {first} and {file}:{line}. Rename one of them")
    return [facts for _, facts in found.values()]


def _at_home(file: Path) -> str:
    """A path that means the same wherever the product lies."""
    return file.relative_to(HOME).as_posix() if file.is_relative_to(HOME) else str(file)


def load(module: str, kind: Kind, name: str) -> Any:
    """The object itself."""
    import importlib

    return getattr(importlib.import_module(module), TABLES[kind])[name]


def source_of(thing: Any) -> Any:
    """What carries the source, the signature and the docstring: an evaluator's run function, else the thing itself."""
    return inspect.unwrap(getattr(thing, "run", thing) if not inspect.isclass(thing) else thing)


def origin_of(thing: Any) -> tuple[Path, int]:
    """File and line where a part was written; line 0 when its source is not to be had."""
    source = source_of(thing)
    source = source.func if isinstance(source, functools.partial) else source
    try:
        return Path(inspect.getsourcefile(source) or "?"), inspect.getsourcelines(source)[1]
    except (TypeError, OSError):
        return Path(getattr(source, "__module__", "?")), 0


def facts_of(kind: Kind, thing: Any) -> dict[str, Any]:
    """description; `options`, or the `infos` of a metric; of a loss the `traits` that it has, and what it `reads`."""
    text = (inspect.getdoc(source_of(thing)) or "").strip().split("\n")[0]
    facts: dict[str, Any] = {"description": text}
    if kind == "metric":
        return facts | {"infos": [info.plain() for info in thing.infos]}
    facts["options"] = options_of(thing, GIVEN[kind])
    if kind == "loss":
        facts["traits"] = [name for name in TRAITS if _has(thing, name)]
        facts["reads"] = [_at_home(Path(file)) for file in getattr(thing, "reads", ())]
    return facts


def _has(loss: Any, name: str) -> bool:
    """Whether a loss brings a trait of its own, not the default that it may have inherited."""
    from models.step import Loss

    own = inspect.getattr_static(loss, name, None)
    return own is not None and own is not inspect.getattr_static(Loss, name)


def options_of(thing: Any, given: tuple[str, ...]) -> dict[str, Any] | None:
    """{option: its schema} of the keyword parameters, as plain values for pydantic_core; None where a type is no plain
    one. UsageError for a signature that cannot be checked.
    """
    fields = model_of(thing, given).__pydantic_core_schema__["schema"]["fields"]
    try:
        return json.loads(json.dumps({name: _plain(field["schema"]) for name, field in fields.items()}))
    except (TypeError, ValueError):
        return None


@functools.cache
def model_of(thing: Any, given: tuple[str, ...]) -> Any:
    """A pydantic model of the keyword parameters. UsageError for a signature that cannot be checked."""
    from pydantic import ConfigDict, create_model

    call = thing.__init__ if inspect.isclass(thing) else source_of(thing)
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


def _plain(schema: Any) -> Any:
    """A schema without what only pydantic's own classes need. Functions stay, and then it cannot be written as JSON."""
    if isinstance(schema, Mapping):
        return {key: _plain(value) for key, value in schema.items() if key not in ("metadata", "ref")}
    return [_plain(item) for item in schema] if isinstance(schema, list | tuple) else schema
