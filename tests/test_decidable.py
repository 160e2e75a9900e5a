"""Before training: what n replicates can decide, and what they cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_suite
from command import called
from simulated_claims import claim, table

from harness import registry
from harness.claims.decidable import decidable, detectable

M = "identity_transfer"
BETTER = {"relation": "difference", "metric": M, "a": "v0", "than": "v1", "by": 0.0, "sign": 1}
AXIS = {"in": "cells", "over": [f"v{i}" for i in range(5)]}
FALLS = {"relation": "monotone", "metric": M, "direction": "falls", **AXIS}
STEP = {"relation": "step", "metric": M, "between": [9, 36], "sign": 0, **AXIS}


def answers(n: int, *parts: dict[str, object], **more: object) -> list[tuple[str, str]]:
    return [(row.answer, row.text) for row in decidable([claim(*parts)], n, **more)]


def test_one_replicate_decides_nothing() -> None:
    assert {answer for answer, _ in answers(1, BETTER, FALLS, STEP)} == {"no"}


def test_three_replicates_decide_a_trend_by_pages_test_and_only_large_differences() -> None:
    (difference, why), (trend, page) = answers(3, BETTER, FALLS)
    assert difference == "large effects" and "sign-flip p at best 0.25" in why
    assert "Page's test can reach p = 1e-06" in page and trend != "no"
    assert answers(6, BETTER)[0][0] == "yes"


def test_a_trend_over_three_variants_with_two_replicates_cannot_reach_its_level() -> None:
    [(answer, why)] = answers(2, {**FALLS, "over": ["v0", "v1", "v2"]})
    assert answer == "no" and "reaches p = 0.06, 0.05 needed" in why


def test_a_step_needs_five_places() -> None:
    assert answers(6, {**STEP, "over": ["v0", "v1", "v2", "v3"]})[0][0] == "no"
    assert answers(6, STEP)[0][0] == "yes"


def test_more_claims_ask_for_larger_effects() -> None:
    alone, many = decidable([claim(BETTER)], 6)[0], decidable([claim(BETTER)] * 8, 6)[0]
    assert (alone.answer, many.answer) == ("yes", "large effects")


def test_an_earlier_ledger_gives_the_spread_in_the_metrics_unit_and_the_replicates_needed() -> None:
    clear = table(np.random.default_rng(0), {M: [0.9, 0.5]}, 6, [])
    [(answer, why)] = answers(6, BETTER, table=clear)
    assert answer == "yes" and "earlier: SD 0.0" in why
    vague = table(np.random.default_rng(0), {M: [0.53, 0.5]}, 6, [])
    [(answer, why)] = answers(3, BETTER, table=vague)
    assert answer == "no" and "replicates would do" in why


def test_the_detectable_effect_is_decided_in_four_of_five_runs() -> None:
    rng, size = np.random.default_rng(0), detectable(6, 0.05)
    draws = rng.normal(size, 1, (4000, 6))
    half = 2.5706 * draws.std(axis=1, ddof=1) / np.sqrt(6)
    assert np.mean(draws.mean(axis=1) > half) == pytest.approx(0.8, abs=0.05)


def test_a_dry_run_tells_which_claims_can_be_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)
    text = "claims: [{id: C1, says: s, metric: leak_gap, better: {a: grid3, than: grid5}}]\n"
    file = tiny_suite.write(tmp_path, tiny_suite.TEXT + text)
    words = ["run", str(file), "--dry-run", "--out", str(tmp_path / "r")]
    code, out, _ = called([*words, "--seeds", "1"], monkeypatch, capsys)
    assert code == 0 and "can these replicates decide the claims?" in out
    code, out, _ = called([*words, "--seeds", "6", "--json"], monkeypatch, capsys)
    [row] = json.loads(out)["claims"]
    assert (row["claim"], row["n"], row["decidable"]) == ("C1", 6, "yes")
