"""A suite: one question in YAML, loaded into frozen values; a mistake is told as `file:line:column: what. Expected`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UsageError, did_you_mean
from harness.files import HOME
from harness.suite.matrix import Cell, cells, relabelled, sanitised
from harness.suite.settings import Setting, anchored, distinct, explain, flatten, known_keys, resolve
from harness.suite.yamlfile import Document, Where, read

SCALES = ("quick", "standard", "paper")
RESERVED = ("data", "reference")  # folders of the results root that are no suites
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MatrixSection(_Model):
    """Which cells there are."""

    grid: dict[str, Any] | None = Field(default=None, description="{key: [values]}: all combinations")
    zip: dict[str, Any] | None = Field(default=None, description="{key: [values]}: side by side, one axis")
    include: list[dict[str, Any]] | None = Field(default=None, description="further cells")
    exclude: list[dict[str, Any]] | None = Field(default=None, description="cells to leave out")


class SuiteSections(_Model):
    """The top level of a suite file."""

    suite: Name = Field(description="name of the suite and of its results folder")
    question: str = Field(min_length=1, max_length=2000, description="what the suite answers")
    data: dict[str, Any] | None = Field(default=None, description="short for base.data")
    base: dict[str, Any] | None = Field(default=None, description="settings of all cells")
    matrix: MatrixSection | None = Field(default=None, description="the cells")
    seeds: Annotated[int, Field(ge=1, le=1000)] | Annotated[list[Seed], Field(min_length=1, max_length=1000)] = Field(
        default=1, description="number of replicates, or their seeds"
    )
    scales: dict[Literal["quick", "standard", "paper"], dict[str, Any]] | None = Field(
        default=None, description="settings (and `seeds`) of each scale"
    )
    metrics: list[str] | None = Field(default=None, min_length=1, description="evaluators; all when unset")
    baseline: str | dict[str, Any] | None = Field(default=None, description="label or cell to compare with")
    labels: dict[str, str] | None = Field(default=None, description="{generated label: label to use}")
    claims: list[dict[str, Any]] | None = Field(default=None, description="sentences that can fail, to be judged")


@dataclass(frozen=True)
class Suite:
    """A loaded suite. Settings are not yet checked against the registry: `harness.trials.trial.trials` does that."""

    name: str
    question: str
    file: Path
    base: tuple[Setting, ...]
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    scales: Mapping[str, tuple[Setting, ...]]
    scale_seeds: Mapping[str, tuple[int, ...]]
    metrics: tuple[str, ...] | None
    metrics_at: tuple[Where, ...]
    baseline: str | None
    claims: tuple[Mapping[str, Any], ...]
    top: Where

    @property
    def axes(self) -> tuple[str, ...]:
        """Dotted keys that the cells set, in order."""
        return tuple(dict.fromkeys(key for cell in self.cells for key in cell.values))


def load(file: Path) -> Suite:
    """Load a suite file. UsageError for anything wrong in it."""
    return from_document(read(file), file)


def from_document(document: Document, file: Path) -> Suite:
    """The suite that a parsed document describes."""
    if not isinstance(document.value, dict):
        raise document.where(()).error("this is no suite. Expected a mapping with `suite`, `question` and `base`")
    try:
        sections = SuiteSections.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        raise _explained(error, document) from None
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
    variant = next((str(s.value) for s in base if s.path == ("model", "variant")), "")
    matrix = sections.matrix.model_dump() if sections.matrix else {}
    found = cells(document, matrix, sanitised(variant) or "base")
    found = relabelled(found, sections.labels or {}, document)
    scales: dict[str, tuple[Setting, ...]] = {}
    scale_seeds: dict[str, tuple[int, ...]] = {}
    for name, content in (sections.scales or {}).items():
        if "seeds" in content:
            scale_seeds[name] = _scale_seeds(document, name, content)
        settings = flatten(document, ("scales", name), {k: v for k, v in content.items() if k != "seeds"})
        scales[name] = anchored(distinct(settings), file.parent)
    try:
        baseline = _baseline(document, sections.baseline, found)
    except UsageError:
        for cell in found:  # a misspelt key of the matrix misses the baseline too: it is the cause, so it is told first
            resolve([*base, *next(iter(scales.values()), ()), *cell.settings], top)
        raise
    return Suite(
        name=sections.suite,
        question=" ".join(sections.question.split()),
        file=file,
        base=anchored(base, file.parent),
        cells=tuple(Cell(anchored(cell.settings, file.parent), cell.label) for cell in found),
        seeds=_seeds(document, ("seeds",), sections.seeds),
        scales=scales,
        scale_seeds=scale_seeds,
        metrics=tuple(sections.metrics) if sections.metrics else None,
        metrics_at=tuple(document.where(("metrics", i)) for i in range(len(sections.metrics or ()))),
        baseline=baseline,
        claims=_claims(document, sections, found),
        top=document.where(()),
    )


def _explained(error: ValidationError, document: Document) -> UsageError:
    # a union reports each of its members: the one that went deepest into the value is what was meant
    first = max(error.errors(), key=lambda e: (e["type"] == "extra_forbidden", len(e["loc"])))
    place: list[str | int] = []
    value = document.value
    for part in first["loc"]:  # a union also puts the names of its members into `loc`: follow the document instead
        inside = isinstance(part, int) and part < len(value) if isinstance(value, list) else part in _keys(value)
        if not inside:
            continue
        value = value[part]
        place.append(part)
    if first["type"] in ("missing", "extra_forbidden") and (not place or place[-1] != first["loc"][-1]):
        place.append(first["loc"][-1])
    name = ".".join(str(part) for part in place)
    if first["loc"][-1] == "[key]":
        text = f"there is no scale {place[-1]!r}. {did_you_mean(str(place[-1]), SCALES)}"
        return document.where(tuple(place), key=True).error(text)
    text = explain(first, name or "the suite", known_keys(SuiteSections, place[:-1]))
    if first["type"] == "string_pattern_mismatch":
        text = f"{name} cannot be {first['input']!r}. Expected small letters, digits and . _ - (64 at most)"
    return document.where(tuple(place), key=first["type"] == "extra_forbidden").error(text)


def _keys(value: Any) -> Iterable[Any]:
    return value if isinstance(value, dict) else ()


def _seeds(document: Document, at: tuple[str, ...], given: int | list[int]) -> tuple[int, ...]:
    seeds = tuple(range(given)) if isinstance(given, int) else tuple(given)
    if len(set(seeds)) < len(seeds):
        raise document.where(at).error("a seed is there twice. Expected each once")
    return seeds


def _scale_seeds(document: Document, name: str, content: Mapping[str, Any]) -> tuple[int, ...]:
    given = content["seeds"]
    numbers = given if isinstance(given, list) else [given]
    whole = bool(numbers) and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31 for n in numbers)
    if not whole or (isinstance(given, int) and not 1 <= given <= 1000) or len(numbers) > 1000:
        at = document.where(("scales", name, "seeds"))
        raise at.error(f"seeds cannot be {given!r}. Expected a number from 1 to 1000, or a list of seeds")
    return _seeds(document, ("scales", name, "seeds"), given)


def _baseline(document: Document, given: str | dict[str, Any] | None, found: tuple[Cell, ...]) -> str | None:
    """The label of the baseline; the first cell's when the suite names none and has several."""
    labels = [cell.label for cell in found]
    if given is None:
        return labels[0] if len(labels) > 1 else None
    if isinstance(given, str):
        if given not in labels:
            raise document.where(("baseline",)).error(f"no cell is labelled {given!r}. {did_you_mean(given, labels)}")
        return given
    wanted = Cell(distinct(flatten(document, ("baseline",), given)))
    axes = {key for cell in found for key in cell.values}
    for setting in wanted.settings:
        if setting.dotted not in axes:
            raise setting.key.error(f"{setting.dotted} is no axis of the matrix. {did_you_mean(setting.dotted, axes)}")
    identity = wanted.identity
    for cell in found:
        if cell.identity == identity:
            return cell.label
    raise document.where(("baseline",)).error(f"no cell has these settings. Expected one of: {', '.join(labels[:40])}")


def _claims(document: Document, sections: SuiteSections, found: tuple[Cell, ...]) -> tuple[dict[str, Any], ...]:
    if not sections.claims:
        return ()
    from harness.suite.claims import resolved  # metrics are looked up, which a suite without claims need not wait for

    return resolved(document, sections.claims, found, sections.metrics)


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
    if path.is_file():
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
    import torch

    cuda = device != "cpu" and torch.cuda.is_available()
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
