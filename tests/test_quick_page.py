"""docs/quick.md holds what the committed runs of several lengths say, and they say what the page says in words."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return runpy.run_path(str(HOME / "docs" / "quick_table.py"))


def test_the_page_holds_the_committed_runs(page: dict[str, Any]) -> None:
    text = page["PAGE"].read_text()
    assert page["filled"](text) == text, "write it anew: uv run python docs/quick_table.py"
    for steps in page["STEPS"]:
        assert f"{steps:,}" in text and page["values"](steps).index.get_level_values("pair").nunique() == 4


def test_a_quick_training_tells_the_sign_and_the_size_of_a_five_times_longer_one(page: dict[str, Any]) -> None:
    """Each pair of people the same sign, and in the mean no further apart than a picture shows (0.1)."""
    quick, long = (page["differences"](page["values"](steps), "swap_score") for steps in (400, 2000))
    assert quick.keys() == long.keys()
    assert all(quick[pair] < 0 and long[pair] < 0 for pair in quick)
    assert abs(sum(long[pair] - quick[pair] for pair in quick) / len(quick)) < 0.1
