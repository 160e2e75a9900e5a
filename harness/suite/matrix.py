"""Matrix algebra: `grid` (product), `zip` (side by side), `exclude`, `include` -> labelled cells of settings."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import limits
from harness.errors import did_you_mean
from harness.suite.settings import Key, Setting, distinct, flatten
from harness.suite.yamlfile import Document, Path_, Where

MAX_LABEL = 64


@dataclass(frozen=True)
class Cell:
    """One variant of the suite: what it sets, under a readable label unique in the suite."""

    settings: tuple[Setting, ...]
    label: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """{dotted key: value}."""
        return {setting.dotted: setting.value for setting in self.settings}

    @property
    def identity(self) -> str:
        """Equal for cells that set the same."""
        return json.dumps(self.values, sort_keys=True)


def cells(document: Document, matrix: Mapping[str, Any], fallback_label: str, under: Path_ = ()) -> tuple[Cell, ...]:
    """The labelled cells of the `matrix` section under a path; one empty cell when there is none."""
    at = (*under, "matrix")
    grid = list(_axes(document, (*at, "grid"), matrix.get("grid") or {}))
    zipped = list(_axes(document, (*at, "zip"), matrix.get("zip") or {}))
    for axis in zipped[1:]:
        if len(axis) != len(zipped[0]):
            what = f"{axis[0].dotted} has {len(axis)} values and {zipped[0][0].dotted} has {len(zipped[0])}"
            raise axis[0].key.error(f"{what}. Keys of `zip` need equally many")
    distinct(axis[0] for axis in [*grid, *zipped])
    choices: list[list[tuple[Setting, ...]]] = [[(setting,) for setting in axis] for axis in grid]
    if zipped:
        choices.append(list(zip(*zipped, strict=True)))
    count = 1
    for choice in choices:
        count *= len(choice)
    include, exclude = matrix.get("include") or [], matrix.get("exclude") or []
    if limits.beyond(count + len(include), limits.MATRIX_CELLS):
        what = f"the matrix has {count + len(include)} cells. Expected at most {limits.MATRIX_CELLS}"
        raise document.where(at, key=True).error(f"{what}: split the question, or {limits.HOW}")
    found: list[Cell] = []
    if choices or not include:
        found = [Cell(tuple(itertools.chain(*row))) for row in itertools.product(*choices)]
    for i, given in enumerate(exclude):
        found = _without(document, (*at, "exclude", i), given, found)
    for i, given in enumerate(include):
        found.append(Cell(distinct(flatten(document, (*at, "include", i), given))))
    if not found:
        raise document.where(at, key=True).error("no cell is left. Expected at least one")
    seen: dict[str, Cell] = {}
    for cell in found:
        if cell.identity in seen:
            where = cell.settings[0].key if cell.settings else document.where(at, key=True)
            raise where.error(f"the cell {cell.values} is there twice. Keep one")
        seen[cell.identity] = cell
    return _labelled(found, fallback_label)


def _axes(document: Document, at: Path_, section: Any) -> Iterator[list[Setting]]:
    """Each axis as the settings of its values."""
    for axis in distinct(flatten(document, at, section)) if section else ():
        # ("loss", "kl") stays as written here, each value decides whether it is a weight
        if not isinstance(axis.value, list) or not axis.value:
            raise axis.where.error(f"{axis.dotted} needs a list of values. Expected `{axis.dotted}: [..., ...]`")
        place = _path_of(document, axis)
        settings = []
        for i, value in enumerate(axis.value):
            if isinstance(value, dict):
                raise document.where((*place, i)).error(
                    "a value cannot be a mapping here. Use `include` for such cells"
                )
            dotted = {axis.dotted: value}
            setting = next(flatten(document, (), dotted))
            settings.append(
                Setting(
                    setting.path, value, (axis.keys + axis.keys[-1:])[: len(setting.path)], document.where((*place, i))
                )
            )
        yield settings


def _path_of(document: Document, axis: Setting) -> Path_:
    """The document path whose value stands where the axis' value does."""
    return max((path for path, where in document.value_at.items() if where is axis.where), key=len, default=())


def _without(document: Document, at: Path_, given: Any, found: Iterable[Cell]) -> list[Cell]:
    unwanted = distinct(flatten(document, at, given))
    kept = []
    known: set[str] = set()
    matched = False
    for cell in found:
        values = cell.values
        known.update(values)
        same = all(s.dotted in values and _same(values[s.dotted], s.value) for s in unwanted)
        matched |= same
        if not same:
            kept.append(cell)
    for setting in unwanted:
        if setting.dotted not in known:
            raise setting.key.error(f"{setting.dotted} is no axis of the matrix. {did_you_mean(setting.dotted, known)}")
    if not matched:
        raise document.where(at).error("this `exclude` matches no cell. Expected values of the axes, or remove it")
    return kept


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one) == json.dumps(other)


def _labelled(found: Sequence[Cell], fallback: str) -> tuple[Cell, ...]:
    """The shortest of three forms that is unique over all cells."""
    for form in (1, 2, 9):
        labels = [_label(cell, form) or fallback for cell in found]
        if len(set(labels)) == len(labels):
            return tuple(Cell(cell.settings, label) for cell, label in zip(found, labels, strict=True))
    labels = [
        f"{label[:48]}-{hashlib.sha256(cell.identity.encode()).hexdigest()[:8]}"
        for label, cell in zip(labels, found, strict=True)
    ]
    return tuple(Cell(cell.settings, label) for cell, label in zip(found, labels, strict=True))


def _label(cell: Cell, form: int) -> str:
    """`grid3`, `convt`, `no-affine`; form 2 names the keys of texts too, form 9 gives keys in full."""
    label = "-".join(_part(setting.path, setting.value, form) for setting in cell.settings)
    label = sanitised(label)
    if len(label) > MAX_LABEL:
        label = f"{label[: MAX_LABEL - 9]}-{hashlib.sha256(cell.identity.encode()).hexdigest()[:8]}"
    return label


def _part(path: Key, value: Any, form: int) -> str:
    names = path[:-1] if path[0] == "loss" and path[-1] == "weight" else path
    name = "_".join(names[-form:]) if form > 2 else names[-1]
    if isinstance(value, bool):
        return name if value else f"no-{name}"
    if value is None:
        return f"no-{name}"
    if isinstance(value, str):
        return value if form == 1 else f"{name}-{value}"
    if isinstance(value, list):
        return name + "x".join(_text(item) for item in value)
    return name + _text(value)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def sanitised(text: str) -> str:
    """Only [a-z0-9._-], starting with a letter or digit."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).lstrip("._-").rstrip("-")


def relabelled(
    found: Sequence[Cell], names: Mapping[str, str], places: Document, under: Path_ = ()
) -> tuple[Cell, ...]:
    """Cells with the labels that the section `labels` under a path gives them."""
    known = [cell.label for cell in found]
    for old, new in names.items():
        at: Where = places.where((*under, "labels", old), key=True)
        if old not in known:
            raise at.error(f"no cell is labelled {old!r}. {did_you_mean(old, known)}")
        if sanitised(new) != new or not 0 < len(new) <= MAX_LABEL:
            raise places.where((*under, "labels", old)).error(
                f"{new!r} is no usable label. Expected [a-z0-9._-], {MAX_LABEL} at most"
            )
    renamed = tuple(Cell(cell.settings, names.get(cell.label, cell.label)) for cell in found)
    labels = [cell.label for cell in renamed]
    for label in labels:
        if labels.count(label) > 1:
            raise places.where((*under, "labels"), key=True).error(
                f"two cells would be called {label!r}. Expected unique labels"
            )
    return renamed
