"""The `claims` section of a suite: checked on loading, and resolved to what plan.json keeps.

A resolved claim is plain JSON: `{id, says, source, primary, only_if: [...], parts: [relation, ...]}`, each relation
with its metric, its labels and the direction that counts as better. One claim of a suite is primary: the one that says
so, else the first. A report reads it from plan.json and needs no suite file;
what the suite file says later counts from the next run on. Claims decide no number, so no digest knows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness import registry
from harness.errors import UsageError, did_you_mean
from harness.suite.matrix import Cell
from harness.suite.settings import explain
from harness.suite.yamlfile import Document, Path_
from metrics import costs
from metrics.costs import COSTS, LOSS, STEP_SECONDS

Number = Annotated[float, Field(allow_inf_nan=False)]
Labels = Annotated[list[str], Field(min_length=3)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Compared(_Model):
    """One variant against another; a negative `by` asks only that it is not worse by more than that."""

    a: str
    than: str
    by: Number = 0.0


class Equivalent(_Model):
    """Two variants that differ by less than a margin."""

    a: str
    to: str
    within: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Faster(_Model):
    """One variant's training step against another's, timed in turns in one process; `by` 0.1: by a tenth."""

    a: str
    than: str
    by: Number = 0.0


class Monotone(_Model):
    """A trend over an axis or a cost."""

    along: str = Field(alias="in")
    direction: Literal["falls", "rises"]
    over: Labels | None = None


class Step(_Model):
    """A transition on an axis."""

    along: str = Field(alias="in")
    between: Annotated[list[Number], Field(min_length=2, max_length=2)]
    direction: Literal["falls", "rises"] | None = None
    over: Labels | None = None


class Correlation(_Model):
    """Two metrics over the variants. `within` bounds |r|: 0.3 by default for `none` and `not_...`, 0 for a sign."""

    other: str = Field(alias="with")
    kind: Literal["none", "positive", "negative", "not_positive", "not_negative"] = Field(alias="is")
    within: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    over: Labels | None = None


class Bound(_Model):
    """One variant's mean against a value."""

    of: str
    value: Number


class Condition(_Model):
    """What must hold for a claim to say anything."""

    metric: str
    of: str
    at_least: Number | None = None
    at_most: Number | None = None


class Relation(_Model):
    """A metric and exactly one relation."""

    metric: str | None = None
    better: Compared | None = None
    higher: Compared | None = None
    lower: Compared | None = None
    equivalent: Equivalent | None = None
    faster: Faster | None = None
    monotone: Monotone | None = None
    step: Step | None = None
    correlation: Correlation | None = None
    at_least: Bound | None = None
    at_most: Bound | None = None


class Claim(Relation):
    """One sentence that can fail."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,40}$")]
    says: Annotated[str, Field(min_length=1, max_length=500)]
    source: Literal["supported", "refuted", "open"] = "supported"
    primary: bool = False
    only_if: list[Condition] = Field(default_factory=list)
    all: Annotated[list[Relation], Field(min_length=1)] | None = None


RELATIONS = [name for name in Relation.model_fields if name != "metric"]


def resolved(
    document: Document,
    given: Sequence[Any],
    cells: Sequence[Cell],
    evaluators: Sequence[str] | None,
    at: Path_ = ("claims",),
) -> tuple[dict[str, Any], ...]:
    """The claims that stand at a path of the document, resolved. UsageError with the place of the first mistake."""
    reader = _Reader(document, {cell.label: cell.values for cell in cells}, evaluators)
    found: dict[str, dict[str, Any]] = {}
    for place, values in enumerate(given):
        claim = reader.claim((*at, place), values)
        if claim["id"] in found:
            raise document.where((*at, place, "id")).error(f"a claim {claim['id']!r} is there already. Rename one")
        if claim["primary"] and any(other["primary"] for other in found.values()):
            other = next(id for id, other in found.items() if other["primary"])
            raise document.where((*at, place, "primary")).error(f"{other} is the primary claim already. Keep one")
        found[claim["id"]] = claim
    if found and not any(claim["primary"] for claim in found.values()):
        next(iter(found.values()))["primary"] = True
    return tuple(found.values())


class _Reader:
    def __init__(
        self, document: Document, cells: Mapping[str, Mapping[str, Any]], evaluators: Sequence[str] | None
    ) -> None:
        self.document, self.cells, self.evaluators = document, cells, evaluators

    def error(self, at: Path_, text: str, *, key: bool = False) -> UsageError:
        return self.document.where(at, key=key).error(text)

    def claim(self, at: Path_, values: Any) -> dict[str, Any]:
        claim = self.checked(at, values)
        own = [name for name in RELATIONS if getattr(claim, name) is not None]
        if bool(own) == (claim.all is not None) or len(own) > 1:
            raise self.error(at, f"a claim needs exactly one relation. Expected one of: {', '.join(RELATIONS)}, or all")
        parts = [self.relation((*at, "all", i), part, claim.metric) for i, part in enumerate(claim.all or ())]
        if not parts:
            parts = [self.relation(at, claim, None)]
        return {
            "id": claim.id,
            "says": " ".join(claim.says.split()),
            "source": claim.source,
            "primary": claim.primary,
            "only_if": [self.condition((*at, "only_if", i), c) for i, c in enumerate(claim.only_if)],
            "parts": parts,
        }

    def checked(self, at: Path_, values: Any) -> Claim:
        try:
            return Claim.model_validate(values)
        except ValidationError as error:
            first = max(error.errors(), key=lambda e: e["type"] == "extra_forbidden")  # a misspelt key is missed too
            loc = tuple(part for part in first["loc"] if isinstance(part, str | int))
            extra = first["type"] == "extra_forbidden"
            model = _model_at(loc[:-1])
            text = explain(first, ".".join(str(part) for part in loc) or "a claim", _keys(model))
            raise self.error((*at, *loc), text, key=extra) from None

    def condition(self, at: Path_, given: Condition) -> dict[str, Any]:
        bounds = {k: getattr(given, k) for k in ("at_least", "at_most") if getattr(given, k) is not None}
        if not bounds:
            raise self.error(at, "a condition needs a bound. Expected `at_least: NUMBER` or `at_most: NUMBER`")
        metric = self.metric((*at, "metric"), given.metric)
        return {"metric": metric, "of": self.label((*at, "of"), given.of), **bounds}

    def relation(self, at: Path_, given: Relation, outer: str | None) -> dict[str, Any]:
        named = [name for name in RELATIONS if getattr(given, name) is not None]
        if len(named) != 1:
            raise self.error(at, f"exactly one relation is needed. Expected one of: {', '.join(RELATIONS)}")
        name = named[0]
        metric = STEP_SECONDS if name == "faster" else given.metric or outer
        if metric is None:
            raise self.error(at, "metric is missing. Expected `metric: NAME` beside the relation")
        self.metric((*at, "metric"), metric)
        inner, place = getattr(given, name), (*at, name)
        match inner:
            case Compared():
                sign = {"higher": 1, "lower": -1}.get(name) or self.direction((*at, "metric"), place, metric)
                a, than = self.two(place, inner.a, "than", inner.than)
                return {"relation": "difference", "metric": metric, "a": a, "than": than, "by": inner.by, "sign": sign}
            case Equivalent():
                a, to = self.two(place, inner.a, "to", inner.to)
                return {"relation": "equivalent", "metric": metric, "a": a, "to": to, "within": inner.within}
            case Faster():
                a, than = self.two(place, inner.a, "than", inner.than)
                return {"relation": "faster", "metric": metric, "a": a, "than": than, "by": inner.by}
            case Bound():
                of, sign = self.label((*place, "of"), inner.of), 1 if name == "at_least" else -1
                return {"relation": "level", "metric": metric, "of": of, "value": inner.value, "sign": sign}
            case Monotone():
                return {
                    "relation": "monotone", "metric": metric, "direction": inner.direction,
                    **self.axis(place, inner.along, inner.over),
                }  # fmt: skip
            case Step():
                low, high = inner.between
                if not 0 < low < high:
                    raise self.error((*place, "between"), f"between cannot be [{low:g}, {high:g}]. Expected 0 < a < b")
                sign = {"rises": 1, "falls": -1, None: 0}[inner.direction]
                return {
                    "relation": "step", "metric": metric, "between": [low, high], "sign": sign,
                    **self.axis(place, inner.along, inner.over),
                }  # fmt: skip
        other = self.metric((*place, "with"), inner.other)
        within = inner.within if inner.within is not None else (0.0 if inner.kind in ("positive", "negative") else 0.3)
        over = [self.label((*place, "over", i), text) for i, text in enumerate(inner.over or self.cells)]
        if len(over) < 3:
            raise self.error(place, "a correlation needs three variants or more", key=True)
        if inner.kind == "none" and within == 0:
            raise self.error((*place, "within"), "within cannot be 0 here. Expected the size of r that counts as none")
        return {
            "relation": "correlation", "metric": metric, "with": other, "is": inner.kind, "within": within, "over": over
        }  # fmt: skip

    def two(self, at: Path_, a: str, key: str, other: str) -> tuple[str, str]:
        if a == other:
            raise self.error((*at, key), f"{a!r} is compared with itself. Expected another label")
        return self.label((*at, "a"), a), self.label((*at, key), other)

    def label(self, at: Path_, name: str) -> str:
        if name not in self.cells:
            raise self.error(at, f"no cell is labelled {name!r}. {did_you_mean(name, self.cells)}")
        return name

    def direction(self, at: Path_, place: Path_, metric: str) -> int:
        info = costs.find(metric) or registry.metric_infos()[metric]
        sign = {"higher": 1, "lower": -1}.get(info.direction)
        if sign is None:
            text = f"neither way is better for {metric!r}. Expected `higher:` or `lower:` instead of `better:`"
            raise self.error(place, text, key=True)
        return sign

    def metric(self, at: Path_, name: str) -> str:
        """The name, checked: a score, a cost, or `loss:total`, `loss:TERM`, `loss:TERM.PART`."""
        if name.startswith(LOSS):
            term, known = name.removeprefix(LOSS).split(".")[0], ["total", *registry.entries("loss")]
            if term not in known:
                raise self.error(at, f"there is no loss {term!r}. {did_you_mean(term, known)}")
        elif name not in COSTS:
            entries = registry.entries("metric")
            known_by = {info.name: key for key, entry in entries.items() for info in entry.infos}
            if name not in known_by:
                text = f"there is no metric {name!r}. {did_you_mean(name, [*known_by, *COSTS])}"
                raise self.error(at, text)
            if self.evaluators is not None and known_by[name] not in self.evaluators:
                text = (
                    f"{name!r} is not computed here: the suite's `metrics` leave out {known_by[name]!r}. Add it there"
                )
                raise self.error(at, text)
        return name

    def axis(self, at: Path_, name: str, over: Sequence[str] | None) -> dict[str, Any]:
        """`in`, `over` and, for an axis of the matrix, the values `at` which its labels stand."""
        labels = [self.label((*at, "over", i), text) for i, text in enumerate(over or ())]
        axes = {key for values in self.cells.values() for key in values}
        if name in axes:
            chosen = labels or [text for text, values in self.cells.items() if name in values]
            places = {text: self.cells[text].get(name) for text in chosen}
            wrong = [text for text, value in places.items() if not _is_number(value)]
            if wrong:
                raise self.error(
                    (*at, "in"), f"{name} is not numeric for {', '.join(wrong)}. Expected an axis of numbers"
                )
            values = list(places.values())
            if len(set(values)) < len(values):
                text = f"{name} is the same for several cells. Name one cell for each value: `over: [LABEL, ...]`"
                raise self.error((*at, "in"), text)
            if len(values) < 3:
                raise self.error((*at, "in"), f"{name} has {len(values)} values. Expected three or more")
            return {"in": name, "over": chosen, "at": places}
        if name != "cells" and name not in COSTS:
            known = [*axes, "cells", *COSTS]
            raise self.error((*at, "in"), f"{name!r} is no axis. {did_you_mean(name, known)}")
        if len(labels or self.cells) < 3:
            raise self.error(at, "an order needs three variants or more", key=True)
        return {"in": name, "over": labels or list(self.cells)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_PAIR = dict.fromkeys(("better", "higher", "lower"), Compared)
_BOUND = dict.fromkeys(("at_least", "at_most"), Bound)
_SHAPE: dict[str, type[BaseModel]] = {
    "equivalent": Equivalent,
    "faster": Faster,
    "monotone": Monotone,
    "step": Step,
    "correlation": Correlation,
}
_INNER: dict[str, type[BaseModel]] = {**_PAIR, **_BOUND, **_SHAPE, "only_if": Condition, "all": Relation}


def _model_at(loc: Iterable[str | int]) -> type[BaseModel]:
    """The model whose keys stand at this place of a claim."""
    model: type[BaseModel] = Claim
    for part in loc:
        model = _INNER.get(str(part), model)
    return model


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
