"""docs/python.md: its blocks run in order, and give what stands below them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "python.md"
OUTPUT = re.compile(r"```text\n(.*?)```", re.DOTALL)


def plain(output: str) -> str:
    """The first line of an output: digests and numbers, which differ between machines, and widths left out."""
    words = re.sub(r"[0-9a-f]{8}", "#", output.splitlines()[0])
    return " ".join(re.sub(r"\d+(\.\d+)?", "#", words).split())


@pytest.mark.long
def test_the_page_gives_what_it_shows() -> None:
    spec = importlib.util.spec_from_file_location("python_page", PAGE.with_name("python_page.py"))
    assert spec and spec.loader
    runner = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runner)
    page = PAGE.read_text(encoding="utf-8")
    told = runner.executed(page)
    assert [plain(o) for o in OUTPUT.findall(told)] == [plain(o) for o in OUTPUT.findall(page)]
    assert CELLS.findall(told) == CELLS.findall(page) and len(OUTPUT.findall(page)) >= 8


CELLS = re.compile(r"```python\n.*?```", re.DOTALL)
