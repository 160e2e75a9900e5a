"""docs/quick.md holds what the committed runs of several lengths say, and they say what the page says in words."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from harness.claims.stats import estimate_of

HOME = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return runpy.run_path(str(HOME / "docs" / "quick_table.py"))


def test_the_page_holds_the_committed_runs(page: dict[str, Any]) -> None:
    text = page["PAGE"].read_text()
    assert page["filled"](text) == text, "write it anew: uv run python docs/quick_table.py"
    for steps in page["STEPS"]:
        assert f"{steps:,}" in text and page["values"](steps).index.get_level_values("pair").nunique() == 8


def test_a_quick_training_tells_the_sign_and_not_the_size_of_a_five_times_longer_one(page: dict[str, Any]) -> None:
    """What the page says in words."""
    quick, long = (page["differences"](page["values"](steps), "swap_score") for steps in (400, 2000))
    assert quick.keys() == long.keys()
    assert sum(quick[pair] < 0 and long[pair] < 0 for pair in quick) >= len(quick) - 1
    change = estimate_of({pair: long[pair] - quick[pair] for pair in quick}).interval()
    assert change.low > 0
    assert 0.35 < sum(long.values()) / sum(quick.values()) < 0.65  # about half


def test_expressions_are_followed_as_the_page_says(page: dict[str, Any]) -> None:
    means = {
        steps: page["values"](steps)[list(page["METRICS"])].groupby("variant").mean() for steps in (400, 800, 2000)
    }
    for steps, each in means.items():
        assert (each[["rec_yaw_r2", "rec_mouth_open_r2"]] > 0.8).all(axis=None)
        assert (each["rec_blink_r2"] > 0.8).to_dict() == {"grid3": steps == 2000, "grid7": True}
        assert (each["yaw_r2"] > 0.8).all() and (each[["mouth_open_r2", "blink_r2"]] < 0.8).all(axis=None)
