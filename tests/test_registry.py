"""The registry: parts are found where they are written, and mistakes name both sides."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
import tiny_suite
from pydantic import Field, ValidationError

import harness
from harness import registry
from harness.errors import UsageError, did_you_mean
from harness.options import check_options, known_options


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing registered from code before, nothing after."""
    monkeypatch.setattr(registry, "_added", {})


def test_shipped_parts_are_found_with_their_origin_and_description() -> None:
    grid = registry.get("variant", "grid")
    assert grid.file.name == "variants.py"
    assert grid.origin.endswith(f"variants.py:{grid.line}")
    assert "def grid(" in grid.file.read_text().splitlines()[grid.line - 1]
    assert len(grid.description) > 20
    assert {"kl", "l1"} <= set(registry.entries("loss"))
    for name, entry in registry.entries("metric").items():
        assert entry.object.infos, name
        assert entry.file.parent.name == "metrics"


def test_every_shipped_option_has_a_checkable_default() -> None:
    for kind in ("variant", "loss"):
        for entry in registry.entries(kind).values():
            defaults = {name: value for name, value in known_options(entry).items() if value is not ...}
            assert set(check_options(entry, {})) == set(defaults), entry.origin


def test_decorators_register_and_a_collision_names_both_origins(empty: None) -> None:
    harness.variant("mine")(tiny_suite.build)
    assert registry.get("variant", "mine").origin.startswith(str(Path(tiny_suite.__file__)))
    harness.variant("mine")(tiny_suite.build)  # the same again is no collision

    def other(size: int) -> None:
        """Another."""

    with pytest.raises(UsageError, match=r"two variants are called 'mine': .*tiny_suite\.py:\d+ and .*test_registry"):
        harness.variant("mine")(other)


def test_a_name_taken_by_a_shipped_part_is_a_collision(empty: None) -> None:
    harness.variant("grid")(tiny_suite.build)
    with pytest.raises(UsageError, match=r"two variants are called 'grid': .*variants\.py:\d+ and .*tiny_suite\.py"):
        registry.entries("variant")


def test_unusable_names_are_refused(empty: None) -> None:
    with pytest.raises(UsageError, match="not usable"):
        harness.loss("../Evil name")(tiny_suite.build)
    with pytest.raises(AttributeError, match="no attribute"):
        harness.nothing  # noqa: B018


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"there is no variant 'gird'\. Did you mean 'grid'\?"):
        registry.get("variant", "gird")
    assert did_you_mean("zzz", ["a", "b"]) == "Expected one of: a, b"
    assert did_you_mean("zzz", []) == "There are none"


def test_options_are_checked_against_the_signature() -> None:
    def build(
        size: int, required: int, rate: Annotated[float, Field(gt=0)] = 1.0, sizes: tuple[int, int] = (1, 2)
    ) -> None:
        """A builder."""

    entry = registry._entry("variant", "x", build)
    assert known_options(entry) == {"required": ..., "rate": 1.0, "sizes": [1, 2]}
    assert check_options(entry, {"required": 3, "sizes": [4, 5]}) == {
        "required": 3,
        "rate": 1.0,
        "sizes": [4, 5],
    }
    wrong: list[dict[str, Any]] = [
        {},
        {"required": "3"},
        {"required": True},
        {"required": 1, "rate": 0},
        {"required": 1, "x": 1},
    ]
    for values in wrong:
        with pytest.raises(ValidationError):
            check_options(entry, values)


def test_a_builder_with_free_keywords_is_refused() -> None:
    def build(size: int, **anything: Any) -> None:
        """Cannot be checked."""

    with pytest.raises(UsageError, match="'anything'"):
        known_options(registry._entry("variant", "x", build))


class Point:
    name, value = "theirs", "theirs.module"

    def __init__(self, loaded: Any) -> None:
        self.loaded = loaded

    def load(self) -> Any:
        if isinstance(self.loaded, Exception):
            raise self.loaded
        return self.loaded


@pytest.mark.parametrize("broken", [False, True])
def test_other_peoples_modules_come_in_by_entry_point(monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    module = ModuleType("theirs")
    module.VARIANTS = {"theirs": tiny_suite.build}  # type: ignore[attr-defined]
    point = Point(ImportError("no such thing") if broken else module)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == "faceswap_bench" else [])
    registry._shipped.cache_clear()
    try:
        if broken:
            with pytest.raises(UsageError, match=r"the plugin 'theirs'.*fails to load"):
                registry.entries("variant")
        else:
            assert registry.get("variant", "theirs").object is tiny_suite.build
    finally:
        registry._shipped.cache_clear()
