"""Committed baselines: one JSON file beside the gates that it belongs to, changed only by `--gate-update`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.files import write_json

SCHEMA_VERSION = 1
Lines = list[tuple[str, str]]


class Baselines:
    """Every baseline file of a test run, by folder; entries by the test's name (file::test)."""

    def __init__(self, name: str, update: bool, lines: Lines) -> None:
        self.name, self.update, self.lines = name, update, lines
        self._files: dict[Path, dict[str, Any]] = {}
        self._changed: set[Path] = set()

    def path(self, request: pytest.FixtureRequest) -> Path:
        """The baseline of a test."""
        return request.path.parent / self.name

    def key(self, request: pytest.FixtureRequest, name: str = "") -> str:
        """`test_file.py::test[parameters]`, or with `/name` for a second gate of one test."""
        key = f"{request.path.name}::{request.node.name}"
        return f"{key}/{name}" if name else key

    def get(self, request: pytest.FixtureRequest, key: str) -> dict[str, Any]:
        """The committed entry. The test fails when there is none."""
        entry = self._load(self.path(request)).get(key)
        if entry is None:
            pytest.fail(
                f"{key} is not in the baseline {self.path(request)}: nothing to hold it against. "
                "`pytest -m gate --gate-update` writes it; review the change and commit it",
                pytrace=False,
            )
        return entry

    def put(self, request: pytest.FixtureRequest, key: str, entry: dict[str, Any]) -> None:
        """Take `entry` as the new baseline; written at the end of the run."""
        path = self.path(request)
        before = self._load(path).get(key)
        if before == entry:
            return
        self._load(path)[key] = entry
        self._changed.add(path)
        self.lines.append(("updated", f"{key}: {difference(before, entry)}"))

    def save(self) -> None:
        """Write the files that changed."""
        for path in sorted(self._changed):
            content = dict(sorted(self._load(path).items()))
            write_json(path, {"schema_version": SCHEMA_VERSION, "gates": content})
        self._changed.clear()

    def _load(self, path: Path) -> dict[str, Any]:
        if path not in self._files:
            self._files[path] = self._read(path)
        return self._files[path]

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_bytes())
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"schema_version is {content['schema_version']}, expected {SCHEMA_VERSION}")
            return dict(content["gates"])
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            pytest.fail(f"{path}: no baseline can be read from it ({error}). Restore it", pytrace=False)


def difference(before: dict[str, Any] | None, after: dict[str, Any]) -> str:
    """The change of an entry in one line."""
    if before is None:
        return "new: " + ", ".join(f"{k} {show(v)}" for k, v in flat(after).items())
    old, new = flat(before), flat(after)
    changed = [k for k in {**old, **new} if old.get(k) != new.get(k)]
    return ", ".join(f"{k} {show(old.get(k))} -> {show(new.get(k))}{percent(old.get(k), new.get(k))}" for k in changed)


def flat(entry: dict[str, Any]) -> dict[str, Any]:
    """`{"values": {"flops": 1}}` -> `{"flops": 1}`."""
    return {k: v for k, v in entry.items() if k != "values"} | entry.get("values", {})


def show(value: Any) -> str:
    """A figure with its thousands apart."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else f"{value}"


def percent(before: Any, after: Any) -> str:
    """` (+3.2 %)` for two numbers, else nothing."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (before, after))
    return f" ({100 * (after / before - 1):+.2f} %)" if numbers and before else ""
