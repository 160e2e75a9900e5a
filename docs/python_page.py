"""Runs the blocks of docs/python.md like a notebook and writes what each gives below it:

uv run python docs/python_page.py
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "python.md"
CELL = re.compile(r"```python\n(.*?)```\n(?:\n```text\n.*?```\n)?", re.DOTALL)


def main() -> None:
    """Write docs/python.md anew."""
    PAGE.write_text(executed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def executed(page: str) -> str:
    """The page with the output of each block below it. Raises what a block raises."""
    known: dict[str, Any] = {}
    with _clone(), pd.option_context("display.width", 120, "display.max_columns", 12, "display.max_colwidth", 30):
        return CELL.sub(lambda cell: _with_output(cell[1], known), page)


def _with_output(code: str, known: dict[str, Any]) -> str:
    """A block as it stands, and what it gives: its last expression's value."""
    *body, last = ast.parse(code).body
    shown = isinstance(last, ast.Expr)
    with contextlib.redirect_stderr(io.StringIO()):
        exec(compile(ast.Module(body if shown else [*body, last], []), str(PAGE), "exec"), known)
        value = eval(compile(ast.Expression(last.value), str(PAGE), "eval"), known) if shown else None
    output = "" if value is None else f"\n```text\n{_text(value)}\n```\n"
    return f"```python\n{code}```\n{output}"


def _text(value: Any) -> str:
    return "\n".join(line.rstrip() for line in repr(value).splitlines())


@contextlib.contextmanager
def _clone() -> Iterator[None]:
    """A folder that looks like the clone's root, in which a run may write."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("results", "suites"):
            Path(folder, name).symlink_to(HOME / name)
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
