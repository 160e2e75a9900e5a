"""One small registry for variants, losses and metrics.

Every module of `models/` may hold module-level dicts `VARIANTS` and `LOSSES`, every module of `metrics/` a dict
`EVALUATORS`: {name: object}. They are found by scanning, so a new file is a new entry. Other people's packages add
theirs by an entry point of the group `faceswap_bench` (a module that holds such dicts, or that uses the decorators),
and a single file of one's own is loaded by `load_plugin`.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, get_type_hints

from harness.errors import UsageError

Kind = Literal["variant", "loss", "metric"]
TABLES: dict[Kind, tuple[str, str]] = {
    "variant": ("models", "VARIANTS"),
    "loss": ("models", "LOSSES"),
    "metric": ("metrics", "EVALUATORS"),
}
GIVEN = {"variant": ("size",), "loss": (), "metric": ()}  # what the harness passes itself, so no option
T = TypeVar("T")
_added: dict[tuple[Kind, str], Any] = {}
_plugins: list[Path] = []


@dataclass(frozen=True)
class Entry:
    """A registered object. `file` and `line` say where it was written."""

    kind: Kind
    name: str
    object: Any
    file: Path
    line: int

    @property
    def origin(self) -> str:
        """`file:line` of its definition."""
        return f"{self.file}:{self.line}"

    @property
    def description(self) -> str:
        """First line of the docstring."""
        text = inspect.getdoc(_source_object(self.object)) or ""
        return text.strip().split("\n")[0]


def _source_object(thing: Any) -> Any:
    """What carries the source and the docstring: an evaluator's run function, else the thing itself."""
    return inspect.unwrap(getattr(thing, "run", thing) if not inspect.isclass(thing) else thing)


def _entry(kind: Kind, name: str, thing: Any) -> Entry:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        raise UsageError(f"{kind} name {name!r} is not usable. Expected small letters, digits and _ . - (64 at most)")
    source = _source_object(thing)
    source = source.func if isinstance(source, functools.partial) else source
    try:
        file, line = Path(inspect.getsourcefile(source) or "?"), inspect.getsourcelines(source)[1]
    except (TypeError, OSError):
        file, line = Path(getattr(source, "__module__", "?")), 0
    return Entry(kind, name, thing, file, line)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Expected one of: {', '.join(names[:40])}" if names else "There are none"


def _tables(module: ModuleType) -> Iterable[tuple[Kind, str, Any]]:
    for kind, (_, table) in TABLES.items():
        for name, thing in getattr(module, table, {}).items():
            yield kind, name, thing


def _modules(package: str) -> Iterable[ModuleType]:
    top = importlib.import_module(package)
    yield top
    for info in pkgutil.iter_modules(top.__path__, f"{package}."):
        yield importlib.import_module(info.name)


@functools.cache
def _discovered() -> dict[tuple[Kind, str], Entry]:
    """Everything found by scanning and by entry points; two different objects of one name are an error."""
    found: dict[tuple[Kind, str], Entry] = {}
    modules = [module for package in ("models", "metrics") for module in _modules(package)]
    for point in importlib.metadata.entry_points(group="faceswap_bench"):
        try:
            loaded = point.load()
        except Exception as error:  # other people's code may fail in any way; the message names whose it is
            raise UsageError(
                f"the plugin {point.name!r} ({point.value}) fails to load: {error!r}. Repair it"
            ) from error
        if isinstance(loaded, ModuleType):
            modules.append(loaded)
    for module in modules:
        for kind, name, thing in _tables(module):
            _put(found, _entry(kind, name, thing))
    return found


def _put(found: dict[tuple[Kind, str], Entry], entry: Entry) -> None:
    other = found.setdefault((entry.kind, entry.name), entry)
    if other.object is not entry.object:
        raise UsageError(
            f"two {entry.kind}s are called {entry.name!r}: {other.origin} and {entry.origin}. Rename one of them"
        )


def entries(kind: Kind) -> dict[str, Entry]:
    """All entries of a kind by name, sorted."""
    found = dict(_discovered())
    for (added_kind, name), thing in _added.items():
        _put(found, _entry(added_kind, name, thing))
    return {name: entry for (k, name), entry in sorted(found.items()) if k == kind}


def get(kind: Kind, name: str) -> Entry:
    """The entry, or a UsageError with the nearest name."""
    known = entries(kind)
    if name not in known:
        raise UsageError(f"there is no {kind} {name!r}. {did_you_mean(name, known)}")
    return known[name]


def register(kind: Kind, name: str, thing: T) -> T:
    """Add an entry from code. UsageError when the name is taken by another object."""
    if (kind, name) in _added:
        _put({(kind, name): _entry(kind, name, _added[kind, name])}, _entry(kind, name, thing))
    _entry(kind, name, thing)
    _added[kind, name] = thing
    return thing


def load_plugin(file: Path) -> None:
    """Run a Python file and register what its decorators and tables hold. The same file again does nothing.

    UsageError when it is missing, fails, or registers nothing.
    """
    file = file.resolve()
    if file in _plugins:
        return
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(f"--plugin {file}: there is no such Python file")
    before = set(_added)
    name = f"faceswap_plugin_{len(_plugins)}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints and sources are looked up through it
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # one's own code may fail in any way; the message names whose it is
        sys.modules.pop(name)
        for added in set(_added) - before:
            del _added[added]
        raise UsageError(f"--plugin {file}: fails to load: {error!r}. Repair it") from error
    for kind, key, thing in _tables(module):
        register(kind, key, thing)
    if set(_added) == before:
        raise UsageError(f"--plugin {file}: registers nothing. Expected @variant, @loss or @metric, or a table of them")
    _plugins.append(file)


def plugins() -> tuple[Path, ...]:
    """The files that `load_plugin` has loaded, in order: a trial's process loads them again."""
    return tuple(_plugins)


def variant(name: str) -> Callable[[T], T]:
    """Decorator: register a builder `fn(size, **options) -> Swapper` as a variant."""
    return lambda thing: register("variant", name, thing)


def loss(name: str) -> Callable[[T], T]:
    """Decorator: register a class whose instances are called with a training step and return a scalar."""
    return lambda thing: register("loss", name, thing)


def metric(name: str) -> Callable[[T], T]:
    """Decorator: register an evaluator."""
    return lambda thing: register("metric", name, thing)


@functools.cache
def _options_model(thing: Any, given: tuple[str, ...]) -> Any:
    """A pydantic model of the keyword parameters, or the text of what is wrong with the signature."""
    from pydantic import ConfigDict, create_model

    call = thing.__init__ if inspect.isclass(thing) else _source_object(thing)
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


def options(entry: Entry) -> dict[str, Any]:
    """Names and defaults of an entry's options (`...` for a required one)."""
    model = _options_model(entry.object, GIVEN[entry.kind])
    return {name: ... if field.is_required() else field.default for name, field in model.model_fields.items()}


def check_options(entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` checked against the builder's signature, defaults filled in, as plain JSON values.

    Raises pydantic.ValidationError, whose `loc` starts with the option's name.
    """
    model = _options_model(entry.object, GIVEN[entry.kind])
    return model.model_validate_json(json.dumps(dict(values)), strict=True).model_dump(mode="json")
