"""A suite: one question in YAML, loaded into frozen values; mistakes are reported as `file:line:column: what`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.compute import has_cuda
from harness.errors import UsageError, did_you_mean
from harness.files import HOME, is_file
from harness.suite.matrix import Cell, cells, relabelled, sanitised
from harness.suite.sections import SCALES, Arms, sections_of
from harness.suite.settings import Setting, anchored, distinct, flatten, resolve
from harness.suite.yamlfile import Document, Path_, Where, read

FIELDS = ("baseline", "order", "seeds", "claims", "until", "looks")  # of a Suite, as the sections call them
RESERVED = ("data", "reference")  # folders of the results root that are no suites


@dataclass(frozen=True)
class Suite:
    """A loaded suite. Settings are not yet checked against the registry: `harness.trials.trial.trials` does that.

    `cells`, `baseline`, `order`, `seeds`, `claims`, `until` and `looks` are those of the scales that have none of their
    own; `at` gives the suite as one scale has it. `until: decided` adds pairs in rounds, `looks` says when to look.
    """

    name: str
    question: str
    file: Path
    base: tuple[Setting, ...]
    cells: tuple[Cell, ...]
    baseline: str | None
    order: tuple[tuple[str, ...], ...]
    seeds: tuple[int, ...]
    claims: tuple[Mapping[str, Any], ...]
    until: str | None
    looks: tuple[int, ...]
    scales: Mapping[str, tuple[Setting, ...]]
    metrics: tuple[str, ...] | None
    metrics_at: tuple[Where, ...]
    top: Where
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rehearsal: bool = False  # whether it only shows that everything runs

    def at(self, scale: str) -> Suite:
        """The suite as a scale has it."""
        return replace(self, **self.own.get(scale, {}))

    @property
    def axes(self) -> tuple[str, ...]:
        """Dotted keys that the cells set, in order."""
        return tuple(dict.fromkeys(key for cell in self.cells for key in cell.values))

    def rank(self, label: str) -> int:
        """Which group of `order` a cell is trained in; what no group names comes last."""
        return next((i for i, group in enumerate(self.order) if label in group), len(self.order))


def load(file: Path) -> Suite:
    """Load a suite file. UsageError for anything wrong in it."""
    return from_document(read(file), file)


def from_document(document: Document, file: Path) -> Suite:
    """The suite that a parsed document describes."""
    sections = sections_of(document)
    if sections.suite in RESERVED:
        raise document.where(("suite",)).error(f"{sections.suite!r} is a reserved name. Expected another")
    top = document.where(("data",), key=True)
    base = distinct(
        [
            *flatten(document, ("base",), sections.base or {}),
            *(
                Setting(("data", *s.path), s.value, (top, *s.keys), s.where)
                for s in flatten(document, ("data",), sections.data or {})
            ),
        ]
    )
    scales: dict[str, tuple[Setting, ...]] = {}
    for name, content in sections.scales.items():
        settings = flatten(document, ("scales", name), content.settings)
        scales[name] = anchored(distinct(settings), file.parent)
    variant = next((str(s.value) for s in base if s.path == ("model", "variant")), "")
    reader = _Arms(document, file, sections, sanitised(variant) or "base", sections.metrics)
    found = reader.cells((), sections)
    try:
        whole = {key: reader.read(key, (), sections, found) for key in FIELDS}
    except UsageError:
        for (
            cell
        ) in found:  # a misspelt key of the matrix misses the baseline too: it is the cause, so it is reported first
            resolve([*base, *next(iter(scales.values()), ()), *cell.settings], top)
        raise
    return Suite(
        name=sections.suite,
        question=" ".join(sections.question.split()),
        file=file,
        base=anchored(base, file.parent),
        scales=scales,
        metrics=tuple(sections.metrics) if sections.metrics else None,
        metrics_at=tuple(document.where(("metrics", i)) for i in range(len(sections.metrics or ()))),
        top=document.where(()),
        own={name: reader.own(name, content) for name, content in sections.scales.items()},
        cells=found,
        **whole,
    )


@dataclass(frozen=True)
class _Arms:
    """Reads what is compared and asked, at the top of a suite or in a scale."""

    document: Document
    file: Path
    outer: Arms
    fallback: str  # label of a suite's only cell
    metrics: Sequence[str] | None

    def cells(self, at: Path_, given: Arms) -> tuple[Cell, ...]:
        matrix = given.matrix.model_dump() if given.matrix else {}
        found = cells(self.document, matrix, self.fallback, at)
        found = relabelled(found, given.labels or {}, self.document, at)
        return tuple(Cell(anchored(cell.settings, self.file.parent), cell.label) for cell in found)

    def read(self, key: str, at: Path_, given: Arms, found: tuple[Cell, ...]) -> Any:
        """What `given`, the section at a path, says under `key` of these cells, as a field of a Suite."""
        value, place = getattr(given, key), (*at, key)
        match key:
            case "baseline":
                return _baseline(self.document, place, value, found)
            case "order":
                return _order(self.document, place, value or (), found)
            case "seeds":
                return _seeds(self.document, place, value or 1)
            case "until":
                return value
            case "looks":
                return _looks(self.document, place, value or ())
        return _claims(self.document, place, value or (), found, self.metrics)

    def own(self, name: str, given: Arms) -> dict[str, Any]:
        """The fields that a scale has of its own. With its own matrix, what the suite asks is asked of its cells."""
        at = ("scales", name)
        if given.matrix is None and given.labels is not None:
            raise self.document.where((*at, "labels"), key=True).error("labels without a matrix. Expected both")
        found = self.cells(at, given) if given.matrix else self.cells((), self.outer)
        fields: dict[str, Any] = {"cells": found}
        for key in FIELDS:
            if getattr(given, key) is not None:
                fields[key] = self.read(key, at, given, found)
            elif given.matrix and key in ("baseline", "order", "claims"):
                try:
                    fields[key] = self.read(key, (), self.outer, found)
                except UsageError as error:
                    hint = f"The scale {name!r} has a matrix of its own: give it `{key}` of its own too"
                    raise UsageError(f"{error}. {hint}") from None
        return fields


def _claims(
    document: Document, at: Path_, given: Sequence[Any], found: tuple[Cell, ...], metrics: Sequence[str] | None
) -> tuple[dict[str, Any], ...]:
    if not given:
        return ()
    from harness.suite.claims import resolved  # looks metrics up, which a suite without claims need not wait for

    return resolved(document, given, found, metrics, at)


def _seeds(document: Document, at: Path_, given: int | list[int]) -> tuple[int, ...]:
    seeds = tuple(range(given)) if isinstance(given, int) else tuple(given)
    if len(set(seeds)) < len(seeds):
        raise document.where(at).error("a seed is there twice. Expected each once")
    return seeds


def _looks(document: Document, at: Path_, given: Sequence[int]) -> tuple[int, ...]:
    if list(given) != sorted(set(given)):
        raise document.where(at).error(f"looks cannot be {list(given)}. Expected rising numbers, as [4, 6, 8, 10]")
    return tuple(given)


def _order(
    document: Document, at: Path_, given: Sequence[Sequence[str]], found: tuple[Cell, ...]
) -> tuple[tuple[str, ...], ...]:
    labels, seen = [cell.label for cell in found], set[str]()
    for i, group in enumerate(given):
        for j, label in enumerate(group):
            if label not in labels:
                raise document.where((*at, i, j)).error(f"no cell is labelled {label!r}. {did_you_mean(label, labels)}")
            if label in seen:
                raise document.where((*at, i, j)).error(f"{label!r} is there twice. Expected each label once")
            seen.add(label)
    return tuple(tuple(group) for group in given)


def _baseline(document: Document, at: Path_, given: str | dict[str, Any] | None, found: tuple[Cell, ...]) -> str | None:
    """The label of the baseline; the first cell's when the suite names none and has several."""
    labels = [cell.label for cell in found]
    if given is None:
        return labels[0] if len(labels) > 1 else None
    if isinstance(given, str):
        if given not in labels:
            raise document.where(at).error(f"no cell is labelled {given!r}. {did_you_mean(given, labels)}")
        return given
    wanted = Cell(distinct(flatten(document, at, given)))
    axes = {key for cell in found for key in cell.values}
    for setting in wanted.settings:
        if setting.dotted not in axes:
            raise setting.key.error(f"{setting.dotted} is no axis of the matrix. {did_you_mean(setting.dotted, axes)}")
    identity = wanted.identity
    for cell in found:
        if cell.identity == identity:
            return cell.label
    raise document.where(at).error(f"no cell has these settings. Expected one of: {', '.join(labels[:40])}")


def known_suites() -> dict[str, Path]:
    """Suites that can be named without a path: ./suites, then the installed ones, then the repository's."""
    found: dict[str, Path] = {}
    for folder in (Path("suites"), HOME / "harness" / "suites", HOME / "suites"):
        for file in sorted(folder.glob("*.yaml")):
            found.setdefault(file.stem, file)
    return dict(sorted(found.items()))


def find(name: str) -> Path:
    """The file of a suite given by path or by bare name."""
    path = Path(name)
    if is_file(path):
        return path
    if path.suffix in (".yaml", ".yml") or len(path.parts) != 1:
        raise UsageError(f"there is no suite file {name!r}. {did_you_mean(path.stem, known_suites())}")
    known = known_suites()
    if name not in known:
        raise UsageError(f"there is no suite {name!r}. {did_you_mean(name, known)}")
    return known[name]


def choose_scale(suite: Suite, wanted: str, device: str) -> tuple[str, str]:
    """(scale, why). `auto` takes quick without a CUDA device and standard with one."""
    if wanted != "auto":
        if wanted not in SCALES or (suite.scales and wanted not in suite.scales):
            known = list(suite.scales) or list(SCALES)
            raise UsageError(
                f"--scale: the suite {suite.name!r} has no scale {wanted!r}. {did_you_mean(wanted, known)}"
            )
        return wanted, "asked for"
    cuda = device == "cuda" or (device == "auto" and has_cuda())
    choice, why = ("standard", "a CUDA device is there") if cuda else ("quick", "no CUDA device is used")
    if suite.scales and choice not in suite.scales:
        other = next(scale for scale in SCALES if scale in suite.scales)
        return other, f"{why}, and the suite has no scale {choice!r}"
    return choice, why


def layers(suite: Suite, cell: Cell, scale: str, overrides: tuple[Setting, ...]) -> Iterator[Setting]:
    """All settings of a cell in rising priority: base, scale, cell, command line."""
    yield from suite.base
    yield from suite.scales.get(scale, ())
    yield from cell.settings
    yield from overrides
