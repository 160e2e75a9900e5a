"""The registry of variants, losses and metrics: a name, the object, and where it was written.

Entries come from `harness.plugins` and from the decorators below. What options an entry takes: `harness.options`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from harness import catalogue, plugins
from harness.errors import UsageError, did_you_mean
from harness.files import HOME
from harness.plugins import Kind
from metrics.info import MetricInfo

__all__ = [
    "Entry", "Kind", "entries", "get", "load_plugin", "loaded_plugins", "loss", "metric", "metric_infos",
    "register", "variant",
]  # fmt: skip

T = TypeVar("T")
_added: dict[tuple[Kind, str], Any] = {}
_plugins: list[Path] = []


class Entry:
    """A registered part. `file` and `line` say where it was written; the object is imported when it is asked for.

    `shipped`: it comes with the product, so that its facts follow from the product's sources.
    """

    def __init__(self, kind: Kind, name: str, thing: Any, file: Path, line: int) -> None:
        self.kind, self.name, self.file, self.line, self.shipped = kind, name, file, line, False
        self._module = ""
        if thing is not None:
            self.object = thing

    @classmethod
    def known(cls, facts: Mapping[str, Any]) -> Entry:
        """An entry of the catalogue, its module not imported."""
        entry = cls(facts["kind"], facts["name"], None, HOME / facts["file"], facts["line"])
        entry.shipped, entry._module, entry.facts = True, facts["module"], facts
        return entry

    @functools.cached_property
    def object(self) -> Any:
        """What was registered: a builder, a loss class or an evaluator."""
        return catalogue.load(self._module, self.kind, self.name)

    @functools.cached_property
    def facts(self) -> Mapping[str, Any]:
        """What the part says of itself: `harness.catalogue.facts_of`."""
        return catalogue.facts_of(self.kind, self.object)

    @property
    def origin(self) -> str:
        """`file:line` of its definition."""
        return f"{self.file}:{self.line}"

    @property
    def description(self) -> str:
        """First line of the docstring."""
        return str(self.facts["description"])

    @property
    def infos(self) -> tuple[MetricInfo, ...]:
        """The metrics that an evaluator yields."""
        return tuple(MetricInfo.of(info) for info in self.facts["infos"])

    @property
    def reads(self) -> tuple[Path, ...]:
        """Files whose content decides a loss."""
        return tuple(HOME / file for file in self.facts["reads"])

    def has(self, trait: str) -> bool:
        """Whether a loss brings this trait of its own, such as `resolve` or `bind`."""
        return trait in self.facts["traits"]


def _entry(kind: Kind, name: str, thing: Any) -> Entry:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,63}", name):
        raise UsageError(f"{kind} name {name!r} is not usable. Expected small letters, digits and _ . - (64 at most)")
    return Entry(kind, name, thing, *catalogue.origin_of(thing))


@functools.cache
def _shipped() -> dict[tuple[Kind, str], Entry]:
    found: dict[tuple[Kind, str], Entry] = {}
    for facts in catalogue.shipped():
        found[facts["kind"], facts["name"]] = Entry.known(facts)
    for kind, name, thing in plugins.installed():
        _put(found, _entry(kind, name, thing))
    return found


def _put(found: dict[tuple[Kind, str], Entry], entry: Entry) -> None:
    """Add an entry; two different objects of one name are an error."""
    other = found.setdefault((entry.kind, entry.name), entry)
    if other is not entry and other.object is not entry.object:
        raise UsageError(
            f"two {entry.kind}s are called {entry.name!r}: {other.origin} and {entry.origin}. Rename one of them"
        )


def entries(kind: Kind) -> dict[str, Entry]:
    """All entries of a kind by name, sorted."""
    found = dict(_shipped())
    for (added_kind, name), thing in _added.items():
        _put(found, _entry(added_kind, name, thing))
    return {name: found[k, name] for k, name in sorted(found) if k == kind}


def metric_infos() -> dict[str, Any]:
    """{metric: its MetricInfo}, over all evaluators."""
    return {info.name: info for entry in entries("metric").values() for info in entry.infos}


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
