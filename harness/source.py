"""Source code by its meaning: a hash that a reworded comment or a renamed file leaves alone, and a constant does not.

Comments, docstrings, positions and the messages of exceptions decide no number. What a file imports from this product
counts by the content behind it, not by its name. The hash is the same under every version of Python.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.files import HOME, hash_of
from harness.memo import remembered

PACKAGES = ("harness", "models", "metrics")


def code_hash(
    roots: Iterable[Path],
    home: Path = HOME,
    others: Iterable[Path] = (),
    without: Iterable[Path] = (),
    same: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """SHA-256 over the meaning of the sources that `roots` reach by first-party imports, and the files `others`.

    `same`: {body: body that it counts as}, of files rewritten without another effect.
    """
    roots, silent = [root.resolve() for root in roots], frozenset(file.resolve() for file in without)

    def meanings() -> list[str]:
        return sorted({meaning(file, home, silent, same) for file in first_party(roots, home, silent)})

    if home == HOME and all(root.is_relative_to(HOME) for root in roots):
        places = [sorted(file.relative_to(HOME).as_posix() for file in files) for files in (roots, silent)]
        code = remembered("code", [places, sorted(same.items())], meanings)
    else:
        code = meanings()
    content = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in others}
    return hash_of({"code": code, "files": content})


def first_party(roots: Iterable[Path], home: Path, without: Iterable[Path] = ()) -> list[Path]:
    """The files that `roots` import from this product's packages, transitively, imports inside functions too.

    Not `without`, nor what only those import.
    """
    home = home.resolve()
    silent = {file.resolve() for file in without}
    waiting = [root.resolve() for root in roots]
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in found and file not in silent:
            found.add(file)
            waiting.extend(_source(file, home).imports)
    return sorted(found)


def meaning(
    file: Path,
    home: Path,
    without: frozenset[Path] = frozenset(),
    same: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """SHA-256 of what a source does: its body, and which names it takes from the bodies of other first-party files."""
    home = home.resolve()

    def counted(source: _Source) -> str:
        return same.get(source.body, source.body)

    source = _source(file.resolve(), home)
    taken = sorted(
        ("" if other in without else counted(_source(other, home)), *names) for other, *names in source.taken
    )
    return hash_of([counted(source), taken])


def body(file: Path, home: Path = HOME) -> str:
    """SHA-256 of a source's own code, without what it imports from this product."""
    return _source(file.resolve(), home.resolve()).body


class _Source:
    """One parsed file: `body` is the hash of its code without first-party imports, `imports` the files behind them,

    `taken` (file, name, local name) of each.
    """

    def __init__(self, file: Path, home: Path) -> None:
        tree = ast.parse(file.read_bytes())
        package = file.parent.relative_to(home).parts if file.is_relative_to(home) else ()
        reader = _Reader(home, package)
        tree = reader.visit(tree)
        self.imports = tuple(dict.fromkeys(reader.files))
        self.taken = tuple(reader.taken)
        self.body = hashlib.sha256(_dump(tree).encode()).hexdigest()


def _source(file: Path, home: Path) -> _Source:
    stat = file.stat()
    return _parsed(file, home, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _parsed(file: Path, home: Path, mtime: int, size: int) -> _Source:
    """`mtime` and `size` key the cache."""
    return _Source(file, home)


def _dump(node: Any) -> str:
    """A tree as text, empty fields left out: versions of Python differ in those."""
    if isinstance(node, ast.AST):
        known = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
        return f"{type(node).__name__}({', '.join(f'{name}={_dump(value)}' for name, value in known)})"
    return f"[{', '.join(map(_dump, node))}]" if isinstance(node, list) else repr(node)


class _Reader(ast.NodeTransformer):
    """Takes out of a tree what decides no number, and collects its first-party imports."""

    def __init__(self, home: Path, package: tuple[str, ...]) -> None:
        self.home, self.package = home, package
        self.files: list[Path] = []
        self.taken: list[tuple[Path, str, str]] = []

    def visit_Expr(self, node: ast.Expr) -> Any:
        """A text that stands alone is a docstring or a comment."""
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_Raise(self, node: ast.Raise) -> Any:
        """Only that something is raised counts: a finished trial has raised nothing."""
        return ast.Raise()

    def visit_If(self, node: ast.If) -> Any:
        """What only type checkers read never runs."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse:
            return None
        return self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> Any:
        left = [alias for alias in node.names if not self._take(alias.name, "", alias.asname or alias.name)]
        return ast.Import(names=left) if left else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        base = self.package[: len(self.package) - node.level + 1] if node.level else ()
        module = ".".join([*base, *([node.module] if node.module else [])])
        if module.split(".")[0] not in PACKAGES:
            return node if module != "__future__" else None
        for alias in node.names:
            self._take(module, alias.name, alias.asname or alias.name)
        return None

    def _take(self, module: str, name: str, local: str) -> bool:
        """Note a first-party import, with every package on the way to it; False for anybody else's."""
        parts = module.split(".")
        if parts[0] not in PACKAGES:
            return False
        inner = self._file([*parts, name]) if name else None
        file = inner or self._file(parts)
        for end in range(1, len(parts) + 1):
            self.files += [found] if (found := self._file(parts[:end])) else []
        self.files += [inner] if inner else []
        if file:
            self.taken.append((file, "" if inner else name, local))
        return True

    def _file(self, parts: list[str]) -> Path | None:
        stem = self.home.joinpath(*parts)
        return next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
