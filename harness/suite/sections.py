"""The sections of a suite file, as pydantic models, and their mistakes in plain words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import UsageError, did_you_mean
from harness.suite.settings import explain, known_keys
from harness.suite.yamlfile import Document

SCALES = ("quick", "standard", "large", "paper")
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Group = Annotated[list[str], Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MatrixSection(_Model):
    """Which cells there are."""

    grid: dict[str, Any] | None = Field(default=None, description="{key: [values]}: all combinations")
    zip: dict[str, Any] | None = Field(default=None, description="{key: [values]}: side by side, one axis")
    include: list[dict[str, Any]] | None = Field(default=None, description="further cells")
    exclude: list[dict[str, Any]] | None = Field(default=None, description="cells to leave out")


class Arms(_Model):
    """What is compared and asked: at the top of a suite, and where a scale has its own."""

    matrix: MatrixSection | None = Field(default=None, description="the cells")
    labels: dict[str, str] | None = Field(default=None, description="{generated label: label to use}")
    baseline: str | dict[str, Any] | None = Field(default=None, description="label or cell to compare with")
    order: list[Group] | None = Field(default=None, description="labels in groups: those trained first, then the next")
    seeds: Annotated[int, Field(ge=1, le=1000)] | Annotated[list[Seed], Field(min_length=1, max_length=1000)] | None = (
        Field(default=None, description="number of replicates, or their seeds")
    )
    claims: list[dict[str, Any]] | None = Field(default=None, description="sentences that can fail, to be judged")
    until: Literal["decided"] | None = Field(default=None, description="add pairs in rounds until claims are decided")
    looks: Annotated[list[Annotated[int, Field(ge=2, le=1000)]], Field(min_length=1, max_length=20)] | None = Field(
        default=None, description="numbers of pairs at which claims are looked at, the last the most"
    )


class ScaleSection(Arms):
    """A scale: settings of all cells, by section, and what it asks otherwise than the suite."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, by section or dotted key."""
        return dict(self.model_extra or {})


class SuiteSections(Arms):
    """The top level of a suite file."""

    suite: Name = Field(description="name of the suite and of its results folder")
    question: str = Field(min_length=1, max_length=2000, description="what the suite answers")
    data: dict[str, Any] | None = Field(default=None, description="short for base.data")
    base: dict[str, Any] | None = Field(default=None, description="settings of all cells")
    scales: dict[Literal["quick", "standard", "large", "paper"], ScaleSection] = Field(
        default_factory=dict, description="settings of each scale, and its own matrix, seeds and claims"
    )
    metrics: list[str] | None = Field(default=None, min_length=1, description="evaluators; all when unset")


def sections_of(document: Document) -> SuiteSections:
    """The sections of a parsed document. UsageError with the place of the first mistake."""
    if not isinstance(document.value, dict):
        raise document.where(()).error("this is no suite. Expected a mapping with `suite`, `question` and `base`")
    try:
        return SuiteSections.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        raise _explained(error, document) from None


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
    model, inner = (ScaleSection, place[2:-1]) if place[:1] == ["scales"] else (SuiteSections, place[:-1])
    text = explain(first, name or "the suite", known_keys(model, inner))
    if place[-1:] == ["seeds"]:
        text = f"{name} cannot be {first['input']!r}. Expected a number from 1 to 1000, or a list of seeds"
    if first["type"] == "string_pattern_mismatch":
        text = f"{name} cannot be {first['input']!r}. Expected small letters, digits and . _ - (64 at most)"
    return document.where(tuple(place), key=first["type"] == "extra_forbidden").error(text)


def _keys(value: Any) -> Iterable[Any]:
    return value if isinstance(value, dict) else ()
