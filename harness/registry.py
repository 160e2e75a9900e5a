"""The registry of variants, losses and metrics: a name, the object, and where it was written.

Entries come from `harness.plugins` and from the decorators below. What options an entry takes: `harness.options`.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness import plugins
from harness.errors import UsageError, did_you_mean
from harness.plugins import Kind

__all__ = [
    "Entry", "Kind", "entries", "get", "load_plugin", "loaded_plugins", "loss", "metric", "metric_infos",
    "register", "variant",
]  # fmt: skip

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
        text = inspect.getdoc(source_of(self.object)) or ""
        return text.strip().split("\n")[0]


def source_of(thing: Any) -> Any:
    """What carries the source, the signature and the docstring: an evaluator's run function, else the thing itself."""
    return inspect.unwrap(getattr(thing, "run", thing) if not inspect.isclass(thing) else thing)


def _entry(kind: Kind, name: str, thing: Any) -> Entry:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        raise UsageError(f"{kind} name {name!r} is not usable. Expected small letters, digits and _ . - (64 at most)")
    source = source_of(thing)
    source = source.func if isinstance(source, functools.partial) else source
    try:
        file, line = Path(inspect.getsourcefile(source) or "?"), inspect.getsourcelines(source)[1]
    except (TypeError, OSError):
        file, line = Path(getattr(source, "__module__", "?")), 0
    return Entry(kind, name, thing, file, line)


@functools.cache
def _shipped() -> dict[tuple[Kind, str], Entry]:
    found: dict[tuple[Kind, str], Entry] = {}
    for kind, name, thing in plugins.shipped():
        _put(found, _entry(kind, name, thing))
    return found


def _put(found: dict[tuple[Kind, str], Entry], entry: Entry) -> None:
    """Add an entry; two different objects of one name are an error."""
    other = found.setdefault((entry.kind, entry.name), entry)
    if other.object is not entry.object:
        raise UsageError(
            f"two {entry.kind}s are called {entry.name!r}: {other.origin} and {entry.origin}. Rename one of them"
        )


def entries(kind: Kind) -> dict[str, Entry]:
    """All entries of a kind by name, sorted."""
    found = dict(_shipped())
    for (added_kind, name), thing in _added.items():
        _put(found, _entry(added_kind, name, thing))
    return {name: entry for (k, name), entry in sorted(found.items()) if k == kind}


def metric_infos() -> dict[str, Any]:
    """{metric: its MetricInfo}, over all evaluators."""
    return {info.name: info for entry in entries("metric").values() for info in entry.object.infos}


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


def variant(name: str) -> Callable[[T], T]:
    """Decorator: register a builder `fn(size, **options) -> Swapper` as a variant."""
    return lambda thing: register("variant", name, thing)


def loss(name: str) -> Callable[[T], T]:
    """Decorator: register a class whose instances are called with a training step and return a scalar."""
    return lambda thing: register("loss", name, thing)


def metric(name: str) -> Callable[[T], T]:
    """Decorator: register an evaluator."""
    return lambda thing: register("metric", name, thing)


def load_plugin(file: Path) -> None:
    """Run a Python file and register what its decorators and tables hold. The same file again does nothing.

    UsageError when it is missing, fails, or registers nothing; nothing of it is registered then.
    """
    file = file.resolve()
    if file in _plugins:
        return
    before = dict(_added)
    try:
        for kind, name, thing in plugins.tables(plugins.execute(file, len(_plugins))):
            register(kind, name, thing)
        if _added.keys() == before.keys():
            raise UsageError(
                f"--plugin {file}: registers nothing. Expected @variant, @loss or @metric, or a table of them"
            )
    except UsageError:
        _added.clear()
        _added.update(before)
        raise
    _plugins.append(file)


def loaded_plugins() -> tuple[Path, ...]:
    """The files that `load_plugin` has loaded, in order: a trial's process loads them again."""
    return tuple(_plugins)
