"""Nothing that a name contains comes alive: not as HTML, not as Markdown, not as a formula."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from fake_ledger import write_ledger

from harness.report import build
from harness.report.csv_file import guard

HOSTILE = {3: "<script>alert(1)</script>", 4: "[red]x[/red]", 5: "=cmd()", 6: "a|b`c`*d*", 7: "$\\alpha$"}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    question = '<img src=x onerror="alert(1)"> & does {{ 7 * 7 }} matter?'
    return write_ledger(tmp_path_factory.mktemp("h") / "h", labels=HOSTILE, question=question, suite="=cmd()", tile=8)


def test_names_that_look_like_html_stay_text(hostile: Path, tmp_path: Path) -> None:
    text = build([hostile], tmp_path, {"html"})[0].read_text(encoding="utf-8")
    assert text.count("<script>") == 1  # the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<img src=x" not in text
    assert "{{ 7 * 7 }}" in text


def test_names_that_look_like_markdown_stay_text(hostile: Path, tmp_path: Path) -> None:
    text = build([hostile], tmp_path, {"md"})[0].read_text(encoding="utf-8")
    assert "<script" not in text.replace("\\<script", "")
    assert "\\[red\\]x\\[/red\\]" in text
    assert "a\\|b\\`c\\`\\*d\\*" in text
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if "red" in line and line[0] == "|"}
    assert widths  # and each of these lines has as many cells as its head
    for block in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


def test_names_that_look_like_formulas_are_guarded_in_the_csv(hostile: Path, tmp_path: Path) -> None:
    with open(build([hostile], tmp_path, {"csv"})[0], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["suite"] for row in rows} == {"'=cmd()"}
    assert "'=cmd()" in {row["variant"] for row in rows}
    for text in ("=1", "+1", "-1", "@x", "\tx", "\rx"):
        assert guard(text) == f"'{text}"
    assert guard("grid-3") == "grid-3"
