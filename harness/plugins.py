"""Where registered parts come from: modules of models/ and metrics/, other people's packages, one's own files.

Every module of `models/` may hold module-level dicts `VARIANTS` and `LOSSES`, every module of `metrics/` a dict
`EVALUATORS`: {name: object}. They are found by scanning, so a new file is a new entry. An installed package adds its
own by an entry point of the group `faceswap_bench`; a file of one's own is run by `execute`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from harness.errors import UsageError

Kind = Literal["variant", "loss", "metric"]
TABLES: dict[Kind, str] = {"variant": "VARIANTS", "loss": "LOSSES", "metric": "EVALUATORS"}
PACKAGES = ("models", "metrics")
GROUP = "faceswap_bench"


def tables(module: ModuleType) -> Iterator[tuple[Kind, str, Any]]:
    """(kind, name, object) of everything that a module's tables hold."""
    for kind, table in TABLES.items():
        for name, thing in getattr(module, table, {}).items():
            yield kind, name, thing


def own() -> Iterator[ModuleType]:
    """This product's modules that may hold tables, imported."""
    for package in PACKAGES:
        top = importlib.import_module(package)
        yield top
        for info in pkgutil.iter_modules(top.__path__, f"{package}."):
            yield importlib.import_module(info.name)


def installed() -> Iterator[tuple[Kind, str, Any]]:
    """(kind, name, object) from other people's packages. UsageError names a broken one."""
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            loaded = point.load()
        except (Exception, SystemExit) as error:  # other people's code may fail in any way; it is named
            raise UsageError(
                f"the plugin {point.name!r} ({point.value}) fails to load: {error!r}. Repair or uninstall it"
            ) from error
        if isinstance(loaded, ModuleType):
            yield from tables(loaded)


def execute(file: Path, number: int) -> ModuleType:
    """Run a Python file as a module of its own. UsageError when it is missing or fails; nothing of it stays then."""
    if file.suffix != ".py" or not file.is_file():
        raise UsageError(f"--plugin {file}: there is no such Python file")
    name = f"faceswap_plugin_{number}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # type hints and sources are looked up through it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # one's own code may fail in any way; the message names whose it is
        sys.modules.pop(name)
        raise UsageError(f"--plugin {file}: fails to load: {error!r}. Repair it") from error
    return module
