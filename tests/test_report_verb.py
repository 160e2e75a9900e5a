"""`harness report`: of a suite by name, and of all committed suites at once, without training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command import called
from fake_ledger import CLAIMS, write_ledger

from harness.cli.options import renamed


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
    monkeypatch.chdir(root.parent)
    arguments = ["report", "--all-reference", "--format", "md,csv"]
    code, out, told = called(arguments, monkeypatch, capsys)
    assert (code, told) == (0, "")
    first, second, page, findings = out.splitlines()
    assert first.startswith("quick/bottleneck: 4 of 4 trials; ")
    assert "undecided" in first
    assert second.startswith("standard/capacity: 4 of 4 trials; ")
    assert (page, findings) == ("docs/claims.md", "docs/findings.md")
    for folder in ("quick/bottleneck", "standard/capacity"):
        assert (root / "reference" / folder / "report.md").is_file()
        assert (root / "reference" / folder / "table.csv").is_file()
        assert not (root / "reference" / folder / "report.html").exists()
    assert "The smallest grid transfers more identity" in Path(page).read_text(encoding="utf-8")


def test_a_second_rebuild_changes_no_byte(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root.parent)
    arguments = ["report", "--all-reference", "--format", "md,csv,json", "--json"]
    seen = []
    for _ in range(2):
        code, out, _ = called(arguments, monkeypatch, capsys)
        assert code == 0
        files = [Path(path) for suite in json.loads(out)["suites"] for path in suite["report"]]
        assert len(files) == 6
        seen.append([path.read_bytes() for path in (*files, root.parent / "docs" / "claims.md")])
    assert seen[0] == seen[1]


def test_the_references_of_another_folder_leave_the_checkout_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "claims.md").write_text("mine")
    shutil.copytree(root / "reference", tmp_path / "copy" / "reference")
    monkeypatch.chdir(tmp_path)
    code, out, _ = called(["report", "--all-reference", "--results", "copy", "--format", "csv"], monkeypatch, capsys)
    assert code == 0
    assert out.splitlines()[-2:] == ["copy/reference/claims.md", "copy/reference/findings.md"]
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["claims.md"]
    assert (tmp_path / "docs" / "claims.md").read_text() == "mine"


def test_what_is_damaged_is_left_out_said_and_ends_with_1(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "bottleneck"
    shutil.copytree(root / "reference" / "quick" / "bottleneck", folder)
    first, second = sorted((folder / "trials").iterdir())[:2]
    (first / "record.json").write_text((first / "record.json").read_text().replace('"seed": 0', '"seed": 1'))
    picture = next(second.glob("pictures/fixed-*.png"))
    picture.write_bytes(picture.read_bytes()[:-20])
    monkeypatch.chdir(tmp_path)
    code, out, told = called(["report", "bottleneck", "--format", "html,md"], monkeypatch, capsys)
    assert code == 1
    assert f"record.json of {first.name} is damaged: its content does not match its hash" in told
    assert f"pictures/{picture.name} of {second.name} is damaged" in told
    assert "2 damaged files left out of the report. `harness verify` says what to do" in told
    assert out.splitlines()[-2:] == ["results/bottleneck/report.html", "results/bottleneck/report.md"]
    page = (folder / "report.html").read_text()
    assert "Damaged files" in page and first.name in page
    assert "Damaged files" in (folder / "report.md").read_text()


def test_a_damaged_plan_does_not_keep_the_other_suites_from_their_reports(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        shutil.copytree(root / "reference" / "quick" / "bottleneck", tmp_path / "results" / name)
    (tmp_path / "results" / "a" / "plan.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    code, out, told = called(["report", "--format", "csv"], monkeypatch, capsys)
    assert (code, out) == (1, "results/b/table.csv\n")
    assert "results/a/plan.json: damaged" in told


@pytest.mark.parametrize("verb", ["report", "claims"])
def test_options_still_go_by_their_former_names(
    verb: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = str(root / "reference" / "quick")
    code, _, told = called(
        [verb, f"--root={place}", "--out", str(tmp_path / "there"), "--format", "json"], monkeypatch, capsys
    )
    assert code == 0, told
    assert (tmp_path / "there").exists()


def test_only_the_options_of_a_verb_are_renamed() -> None:
    assert renamed(["run", "x", "--out", "a", "--", "--out"]) == ["run", "x", "--results", "a", "--", "--out"]
    assert renamed(["metrics", "check", "--cache=a", "--out", "b"]) == ["metrics", "check", "--results=a", "--to", "b"]
    assert renamed(["data", "make", "--out", "b"]) == ["data", "make", "--out", "b"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--all-reference", "--results", "nowhere"], "no reference results under nowhere/reference"),
        (["--all-reference", "bottleneck"], "takes no suite"),
        (["--site", "x", "--to", "y"], "--site takes suites or --all-reference, and no --to"),
        (["--site", "x", "--results", "nowhere"], "Run a suite first"),
        (["--results", "nowhere"], "Run a suite first"),
        (["botleneck", "--results", "ROOT"], "Did you mean 'bottleneck'"),
        (["bottleneck", "--results", "ROOT", "--format", "pdf"], "--format pdf: not known"),
        (["bottleneck", "--results", "ROOT", "--format", ","], "Expected some of html,md,csv,json"),
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
    arguments = ["report", "bottleneck", "--results", quick, "--to", str(tmp_path), "--format", "json", "--json"]
    code, out, _ = called(arguments, monkeypatch, capsys)
    assert code == 0
    assert json.loads(out)["report"] == [str(tmp_path / "report.json")]
    assert json.loads((tmp_path / "report.json").read_bytes())["suite"] == "bottleneck"
