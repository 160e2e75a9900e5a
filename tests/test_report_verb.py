"""`harness report`: of a suite by name, and of all committed suites at once, without training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import called
from fake_ledger import CLAIMS, write_ledger


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results/reference with two suites at two scales, and a folder that is no suite."""
    place = tmp_path_factory.mktemp("checkout")
    (place / "docs").mkdir()
    reference = place / "results" / "reference"
    write_ledger(reference / "quick" / "bottleneck", grids=(3, 7), replicates=2, tile=8, claims=CLAIMS)
    write_ledger(reference / "standard" / "capacity", grids=(3, 5), replicates=2, tile=8, suite="capacity")
    (reference / "quick" / "ladder" / "far").mkdir(parents=True)
    return place / "results"


def test_all_reference_rebuilds_every_suite_and_the_page_of_claims(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", "--all-reference", "--root", str(root), "--format", "md,csv"]
    code, out, told = called(arguments, monkeypatch, capsys)
    assert (code, told) == (0, "")
    first, second, page = out.splitlines()
    assert first.startswith("quick/bottleneck: 4 of 4 trials; ")
    assert "undecided" in first
    assert second.startswith("standard/capacity: 4 of 4 trials; ")
    for folder in ("quick/bottleneck", "standard/capacity"):
        assert (root / "reference" / folder / "report.md").is_file()
        assert (root / "reference" / folder / "table.csv").is_file()
        assert not (root / "reference" / folder / "report.html").exists()
    assert Path(page) == root.parent / "docs" / "claims.md"
    assert "The smallest grid transfers more identity" in Path(page).read_text(encoding="utf-8")


def test_a_second_rebuild_changes_no_byte(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", "--all-reference", "--root", str(root), "--format", "md,csv,json", "--json"]
    seen = []
    for _ in range(2):
        code, out, _ = called(arguments, monkeypatch, capsys)
        assert code == 0
        files = [Path(path) for suite in json.loads(out)["suites"] for path in suite["report"]]
        assert len(files) == 6
        seen.append([path.read_bytes() for path in (*files, root.parent / "docs" / "claims.md")])
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--all-reference", "--root", "nowhere"], "no reference results under nowhere/reference"),
        (["--all-reference", "bottleneck"], "takes no suite"),
        (["--root", "nowhere"], "Run a suite first"),
        (["botleneck", "--root", "ROOT"], "Did you mean 'bottleneck'"),
        (["bottleneck", "--root", "ROOT", "--format", "pdf"], "--format pdf: not known"),
        (["bottleneck", "--root", "ROOT", "--format", ","], "Expected some of html,md,csv,json"),
    ],
)
def test_mistakes_are_told_in_one_line(
    root: Path, arguments: list[str], text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = str(root / "reference" / "quick")
    code, _, told = called(["report", *(quick if a == "ROOT" else a for a in arguments)], monkeypatch, capsys)
    assert code == 2
    assert text in told
    assert len(told.strip().splitlines()) == 1


def test_a_suite_is_reported_by_name_as_json_lines(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = str(root / "reference" / "quick")
    arguments = ["report", "bottleneck", "--root", quick, "--out", str(tmp_path), "--format", "json", "--json"]
    code, out, _ = called(arguments, monkeypatch, capsys)
    assert code == 0
    assert json.loads(out)["report"] == [str(tmp_path / "report.json")]
    assert json.loads((tmp_path / "report.json").read_bytes())["suite"] == "bottleneck"
