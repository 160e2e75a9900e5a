"""docs/statistics.md and docs/questions.md hold what their scripts make, and simulated rates keep their promise."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from harness.claims.stats import wilson

DOCS = Path(__file__).resolve().parent.parent / "docs"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_questions_names_every_claim_of_the_suites() -> None:
    found = script("questions_table")
    assert found.PAGE.read_text() == found.page(), "write it anew: python docs/questions_table.py"


def test_intervals_of_new_people_cover_and_counted_replicates_do_not() -> None:
    found = script("statistics_tables")
    assert 0.92 <= found.coverage(10, 10, 500) <= 0.98
    assert 0.92 <= found.coverage(3, 12, 500) <= 0.98
    assert found.coverage(3, 12, 500, by_pair=False) < 0.85


@pytest.mark.long
@pytest.mark.parametrize("pairs", [3, 4, 6, 10])
def test_intervals_cover_93_to_97_percent(pairs: int) -> None:
    assert 0.93 <= script("statistics_tables").coverage(pairs, pairs, 8000) <= 0.97


@pytest.mark.long
@pytest.mark.parametrize(("pairs", "looks"), [(3, ()), (4, ()), (6, ()), (10, ()), (10, (4, 6, 8, 10))])
@pytest.mark.parametrize("suite", [0, 1])
def test_a_suite_errs_in_at_most_five_percent_of_its_runs(suite: int, pairs: int, looks: tuple[int, ...]) -> None:
    found, runs = script("statistics_tables"), 400
    claims, means = list(found.SUITES.values())[suite]
    for rate in found.false_suites(claims, means, pairs, runs, looks):
        assert wilson(round(rate * runs), runs, 0.999)[0] <= 0.05


def test_the_tables_are_filled_between_their_marks() -> None:
    found = script("statistics_tables")
    page = found.PAGE.read_text()
    assert all(page.count(f"<!-- {name} -->") == page.count(f"<!-- end of {name} -->") == 1 for name in found.TABLES)
    with ThreadPoolExecutor(1) as pool:
        made = found.coverages(5, pool)
    assert len(made) == 5 and made[0].startswith("| 95 % interval")
