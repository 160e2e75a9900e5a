"""The page of verdicts: every claim of the source, generated, and inert."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from command import called
from fake_ledger import write_ledger

from harness.claims.simulated import claim
from harness.claims.verdict import judge
from harness.ledger.records import Ledger
from harness.ledger.table import load
from harness.report.claim_page import page

GRIDS = [f"grid{g}" for g in (3, 4, 5, 6, 7)]
TREND = {
    "relation": "monotone", "metric": "identity_transfer", "direction": "falls", "in": "model.grid", "over": GRIDS,
    "at": {name: place for place, name in enumerate(GRIDS)},
}  # fmt: skip
LOSS = {"relation": "correlation", "metric": "identity_transfer", "with": "loss:total", "is": "none", "within": 0.3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = write_ledger(tmp_path / "results" / "bottleneck", tile=8)
    claims = [claim(TREND, id="C5.trend", says="It <b>falls</b> | so."), claim(LOSS, id="C3", source="open")]
    Ledger(place).write_plan({**(Ledger(place).plan() or {}), "claims": claims})
    return place


def test_the_page_lists_every_claim_of_the_source_and_changes_nothing_on_the_next_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [tmp_path / "one.md", tmp_path / "two.md"]
    for file in pages:
        code, _, err = called(["claims", "--root", str(folder.parent), "--out", str(file)], monkeypatch, capsys)
        assert code == 0 and "2 claims" in err
    text = pages[0].read_text(encoding="utf-8")
    assert text == pages[1].read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| C\d", line)]
    assert [row.split(" | ")[0] for row in rows] == ["| C3", "| C5.trend"]
    absent = ", ".join(f"C{n}" for n in range(1, 19) if n not in (3, 5))
    assert f"Asked in no suite of this page: {absent}." in text
    assert "**supported** | identity transfer −0.2" in rows[1] and rows[1].endswith("| 3 |")
    assert "<b>" not in text.replace("\\<b\\>", "")
    assert all(row.replace("\\|", "").count("|") == 8 for row in rows)


def test_a_run_with_other_people_stands_beside_and_counts_no_claim_twice(folder: Path, tmp_path: Path) -> None:
    claims = tuple(dict(one) for one in (Ledger(folder).plan() or {})["claims"])
    other = write_ledger(tmp_path / "replication" / "bottleneck", tile=8, claims=claims, people=("p7", "p8", "p9"))
    first, again = ((table, judge(table)) for table in map(load, (folder, other)))
    text = page([first, again])
    assert text.startswith(page([first])[:60])  # the same tally
    (row,) = (line for line in text.splitlines() if line.startswith("| C5.trend"))
    assert row.endswith("| 3 | supported (n = 3) |")
    assert (
        "Run again with 3 other pairs of people: of 1 decided claim 1 is decided there, too, 1 of them the same way."
        in text
    )
    turned = [replace(one, verdict="refuted") for one in again[1] if one.verdict == "supported"]
    assert "0 of them the same way." in page([first, (again[0], turned)])
    assert "with other people" not in page([first])
    same_people = write_ledger(tmp_path / "d" / "bottleneck", tile=8, claims=claims)
    table = load(same_people)
    assert len([line for line in page([first, (table, judge(table))]).splitlines() if "| C5.trend" in line]) == 2


def test_the_same_as_json(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = called(["claims", str(folder), "--format", "json"], monkeypatch, capsys)
    found = json.loads(out)
    assert (code, found["schema_version"], found["suites"][0]["suite"]) == (0, 1, "bottleneck")
    first, second = found["suites"][0]["claims"]
    assert (first["verdict"], first["parts"][0]["n"], first["agreement"]) == ("supported", 3, "as the source says")
    assert second["parts"][0]["p_attainable"] is None


def test_no_results_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = called(["claims", "--root", str(tmp_path)], monkeypatch, capsys)
    assert code == 2 and "Run a suite first" in err
