"""Imports flow downward, heavy libraries wait until they are needed, and nothing is named utils."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parent.parent
FILES = sorted(file for package in ("harness", "models", "metrics") for file in (HOME / package).rglob("*.py"))


def module_of(file: Path) -> str:
    parts = file.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file) for file in FILES}


def imports(file: Path) -> set[str]:
    """First-party modules a file imports anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        found |= {name for name in names if name in MODULES}
    return found - {module_of(file)}


def room(module: str) -> str:
    """A sub-package of the harness is one room, a module is one, models and metrics are one each."""
    parts = module.split(".")
    return parts[0] if parts[0] != "harness" else ".".join(parts[:2])


USES = {module_of(file): imports(file) for file in FILES if file != HOME / "harness" / "__init__.py"}


def test_no_two_rooms_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for module, used in USES.items():
        graph.setdefault(room(module), set()).update(room(name) for name in used if room(name) != room(module))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other: {' -> '.join(error.args[1])}")


ABOVE_TRAINING = {"suite", "matrix", "settings", "trial", "records", "execute", "report", "plan", "listing", "progress"}
FORBIDDEN = {
    "models": {"harness", "metrics"},
    "metrics": {"harness"},
    "harness.errors": {"harness", "models", "metrics"},
    "harness.spec": {"harness", "models", "metrics"},
    "harness.data": {"models", "metrics", "harness.train", "harness.registry"}
    | {f"harness.{r}" for r in ABOVE_TRAINING},
    "harness.train": {"metrics", "harness.score"} | {f"harness.{r}" for r in ABOVE_TRAINING},
    "harness.score": {f"harness.{r}" for r in ABOVE_TRAINING},
    "harness.records": {"models", "metrics", "harness.data", "harness.train", "harness.execute", "harness.report"},
    "harness.report": {"models", "harness.train", "harness.execute"},
    "harness.execute": {"harness.report", "harness.suite", "harness.plan"},
}


@pytest.mark.parametrize("above", FORBIDDEN)
def test_a_room_imports_nothing_above_it(above: str) -> None:
    assert any(room(module) == above for module in USES)
    for module, used in USES.items():
        if room(module) == above:
            wrong = {
                n
                for n in used
                if room(n) != above and (room(n) in FORBIDDEN[above] or n.split(".")[0] in FORBIDDEN[above])
            }
            assert not wrong, f"{module} imports {wrong}"


def test_only_the_command_line_imports_the_command_line() -> None:
    for module, used in USES.items():
        if not module.startswith("harness.cli"):
            assert not any(name.startswith("harness.cli") for name in used), module


def test_no_room_is_called_after_nothing() -> None:
    assert not {file.name for file in FILES} & {"utils.py", "helpers.py", "common.py", "misc.py", "util.py"}


def test_the_command_line_starts_without_heavy_libraries() -> None:
    heavy = "('torch', 'numpy', 'pandas', 'pydantic', 'ruamel', 'rich')"
    code = f"import sys, harness.cli; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    assert done.stdout.strip() == ""
