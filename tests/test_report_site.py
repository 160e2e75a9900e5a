"""The site over several suites, the page of claims and the page of findings."""

from __future__ import annotations

import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from fake_ledger import CLAIMS, write_ledger

from harness.claims.verdict import judge
from harness.ledger.table import load
from harness.report.claim_page import page
from harness.report.findings import write_findings
from harness.report.site import build_site


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("results")
    first = write_ledger(place / "quick" / "bottleneck", grids=(3, 7), tile=8, claims=CLAIMS)
    second = write_ledger(
        place / "quick" / "capacity", grids=(3, 5), labels={3: "../<b>", 5: "..-b"}, tile=8, suite="capacity"
    )
    return [first, second, write_ledger(place / "standard" / "bottleneck", grids=(3, 7), replicates=1, tile=8)]


@pytest.fixture(scope="module")
def site(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    assert build_site(folders, out)[0] == out / "index.html"
    return out


def _addresses(path: Path) -> list[str]:
    found = re.findall(r'<a [^>]*href="([^"]*)"', path.read_text(encoding="utf-8"))
    return [unquote(unescape(address)) for address in found if not address.startswith("#")]


def test_every_link_of_every_page_leads_to_a_file_of_the_site(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 12
    for path in pages:
        for address in _addresses(path):
            assert (path.parent / address).resolve().is_file(), f"{path.relative_to(site)}: {address}"
            assert (path.parent / address).resolve().is_relative_to(site)


def test_the_index_reaches_every_page(site: Path) -> None:
    seen, waiting = set(), [(site / "index.html").resolve()]
    while waiting:
        path = waiting.pop()
        if path in seen or path.suffix != ".html":
            continue
        seen.add(path)
        waiting += [(path.parent / address).resolve() for address in _addresses(path)]
    assert seen == {path.resolve() for path in site.rglob("*.html")}


def test_a_site_around_its_results_leaves_their_reports_where_they_are(folders: list[Path], tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    shutil.copytree(folders[1], reference / "quick" / "capacity")
    written = build_site([reference / "quick" / "capacity"], reference)
    assert reference / "quick" / "capacity" / "report.html" in written
    assert not (reference / "capacity").exists()
    assert "quick/capacity/report.html" in _addresses(reference / "index.html")
    assert "../../index.html" in _addresses(reference / "quick" / "capacity" / "report.html")
    assert all((p.parent / a).is_file() for p in reference.rglob("*.html") for a in _addresses(p))


def test_the_index_tells_question_answer_picture_date_and_scale(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    cards = text.split('<section class="card"')[1:]
    assert len(cards) == 3
    assert "How does identity transfer change" in cards[0] and "The smallest grid transfers" in cards[0]
    assert cards[0].count("<img") == 5 and "2025-01-01" in cards[0] and "quick" in cards[0]
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


def test_suites_of_one_name_are_told_apart_by_their_scale(site: Path) -> None:
    assert {path.parent.name for path in site.glob("*/report.html")} == {
        "quick-bottleneck", "capacity", "standard-bottleneck"
    }  # fmt: skip


def test_a_metrics_page_has_its_meaning_every_suite_and_who_is_beaten(site: Path) -> None:
    text = (site / "metrics" / "identity-transfer.html").read_text(encoding="utf-8")
    assert text.count("<table") == 3 and "Higher is better" in text
    row = re.search(r">grid7</a></th>(.*?)</tr>", text)
    assert row is not None and "mean face" in row[1]  # 0.67 against the mean face's 0.91
    assert "exact swap 1.000" in text


def test_names_with_the_same_letters_get_pages_of_their_own(site: Path) -> None:
    titles = {re.search(r"<h1>(.*?)</h1>", p.read_text())[1] for p in (site / "variants").glob("*.html")}  # type: ignore[index]
    assert titles == {"grid3", "grid7", "../&lt;b&gt;", "..-b"}


@pytest.mark.long
def test_the_same_records_give_the_same_site(folders: list[Path], site: Path, tmp_path: Path) -> None:
    for path in build_site(folders, tmp_path):
        assert path.read_bytes() == (site / path.relative_to(tmp_path)).read_bytes()


def test_the_findings_tell_question_answer_evidence_cost_and_command(folders: list[Path], tmp_path: Path) -> None:
    path, *pictures = write_findings([load(folder) for folder in folders], tmp_path / "findings.md", "harness x")
    text = path.read_text(encoding="utf-8")
    assert [picture.name for picture in pictures] == [
        "finding-quick-bottleneck.webp", "finding-quick-capacity.webp", "finding-standard-bottleneck.webp"
    ]  # fmt: skip
    assert text.count("\n## ") == 3
    first = text.split("\n## ")[1]
    for words in (
        "**The smallest",
        "](pictures/finding-quick-bottleneck.webp)",
        "From left to right: source, target",
    ):
        assert words in first
    assert "yes (identity transfer 0.258" in first and "of at least 0.9”: no" in first
    assert "makes [red] no =cmd() difference”: open (" in first.replace("\\", "") and " more pairs" in first
    assert "- Open" not in first and "- Cost: beside grid7" in first and "- How sure: scale quick, 3 pairs" in first
    assert "\n      harness run bottleneck --scale quick\n" in first


def test_the_page_of_claims_is_short_and_its_commands_can_be_copied(folders: list[Path]) -> None:
    found = [(table, judge(table)) for table in map(load, folders[:1])]
    text = page(found)
    assert "3 claims: 1 supported, 1 refuted, 1 undecided." in text
    commands = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert commands[0].startswith("harness claims ") and "\\" not in "".join(commands)
    assert commands[1].startswith("harness run bottleneck --scale quick --seeds ")
    rows = [line for line in text.splitlines() if line.startswith("| C")]
    assert len(rows) == 3 and rows[0].count("supported") == 2
    assert "undecided here" not in text and "Asked in no suite of this page: C4, C5" in text
