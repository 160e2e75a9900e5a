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
    """A folder of the harness is one room, a module beside the folders is one, models and metrics are one each."""
    parts = module.split(".")
    return parts[1] if parts[0] == "harness" and len(parts) > 1 else parts[0]


USES = {module_of(file): imports(file) for file in FILES if file != HOME / "harness" / "__init__.py"}


def test_no_two_rooms_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for module, used in USES.items():
        graph.setdefault(room(module), set()).update(room(name) for name in used if room(name) != room(module))
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other: {' -> '.join(error.args[1])}")


GROUND = "errors files limits lock memo terminal"
NAMES = f"{GROUND} registry plugins catalogue options"
MAY = {  # a room, and what it may import besides itself; the rooms of a floor stand together, the lowest first
    "models": "",
    "metrics": "",
    "errors": "",
    "limits": "",
    "files": "errors",
    "lock": "errors files",
    "memo": "errors files",
    "terminal": "errors files",
    "spec": "errors",
    "source": "files memo",
    "plugins": "errors",
    "compute": "errors spec",
    "catalogue": "errors files memo plugins models",
    "registry": "catalogue errors files metrics plugins",
    "options": "catalogue limits memo registry spec models",
    "suite": f"{NAMES} spec compute metrics",
    "data": f"{GROUND} spec source",
    "photos": f"{GROUND} data models",
    "train": f"{NAMES} spec compute data models",
    "score": f"{NAMES} spec data models metrics",
    "ledger": f"{GROUND} registry metrics",
    "trials": f"{NAMES} spec compute source suite data score ledger models",
    "use": f"{NAMES} spec compute suite data train score ledger trials photos execute report models",
    "calibrate": f"{GROUND} ledger",
    "claims": f"{GROUND} registry ledger metrics",
    "execute": f"{NAMES} trials data train score ledger",
    "rounds": "trials ledger claims",
    "report": f"{GROUND} ledger claims data",
    "bench": f"{NAMES} spec compute suite execute data train score ledger models",
    "gates": f"{GROUND} spec ledger claims bench",
}


def test_every_room_has_a_row() -> None:
    assert {room(module) for module in USES} - {"cli"} == set(MAY)


@pytest.mark.parametrize("importer", MAY)
def test_a_room_imports_only_what_its_row_allows(importer: str) -> None:
    """The command line may import everything."""
    for module, used in USES.items():
        if room(module) == importer:
            wrong = {name for name in used if room(name) not in {importer, *MAY[importer].split()}}
            assert not wrong, f"{module} imports {', '.join(sorted(wrong))}"


def test_no_row_allows_what_nobody_imports() -> None:
    used = {(room(module), room(name)) for module, names in USES.items() for name in names}
    allowed = {(importer, name) for importer, names in MAY.items() for name in names.split()}
    assert {(importer, name) for importer, name in allowed - used if name not in NAMES.split()} == set()


def test_no_private_name_crosses_rooms() -> None:
    for file in FILES:
        home = room(module_of(file))
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module in MODULES and room(node.module) != home:
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{file}: {private} of {node.module}"


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
