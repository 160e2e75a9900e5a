"""Before training: what n replicates can decide, and what they cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_suite
from command import called
from scipy import stats as student

from harness import registry
from harness.claims.prospects import detectable, pairs_needed, prospects, steps_found
from harness.claims.simulated import claim, table

M = "identity_transfer"
BETTER = {"relation": "difference", "metric": M, "a": "v0", "than": "v1", "by": 0.0, "sign": 1}
AXIS = {"in": "cells", "over": [f"v{i}" for i in range(5)]}
FALLS = {"relation": "monotone", "metric": M, "direction": "falls", **AXIS}
STEP = {"relation": "step", "metric": M, "between": [9, 36], "sign": 0, **AXIS}


def answers(n: int, *parts: dict[str, object], **more: object) -> list[tuple[str, str]]:
    return [(row.answer, row.text) for row in prospects([claim(*parts)], (n,), **more)]


def test_one_replicate_decides_nothing() -> None:
    assert {answer for answer, _ in answers(1, BETTER, FALLS, STEP)} == {"no"}


def test_three_pairs_decide_only_large_differences_and_six_smaller_ones() -> None:
    (difference, why), (trend, _) = answers(3, BETTER, FALLS)
    assert (difference, trend) == ("large effects", "large effects") and "SD of the paired differences" in why
    assert answers(6, BETTER)[0][0] == "yes"


def test_a_trend_over_three_variants_with_two_pairs_reaches_its_level_only_as_the_primary_claim() -> None:
    short = {**FALLS, "over": ["v0", "v1", "v2"]}
    assert answers(2, short)[0][0] == "large effects"  # 1/36
    second = prospects([claim(BETTER), claim(BETTER, id="C2"), claim(short, id="C3")], (2,))[2]
    assert second.answer == "no" and "reaches p = 0.028, 0.025 needed" in second.text


def test_a_step_needs_five_places_and_says_how_often_steps_are_found() -> None:
    assert answers(6, {**STEP, "over": ["v0", "v1", "v2", "v3"]})[0][0] == "no"
    [(answer, why)] = answers(3, STEP)
    assert answer != "yes"  # of steps of three times the noise, three pairs find one in eight
    assert steps_found(5, 3, 3.0) < 0.3 < steps_found(5, 3, 6.0) and "of steps of 3 noise SD" in why
    assert steps_found(9, 8, 6.0) > 0.7


def test_more_claims_ask_for_larger_effects() -> None:
    alone, many = prospects([claim(BETTER)], (6,))[0], prospects([claim(BETTER)] * 8, (6,))[1]
    assert (alone.answer, many.answer) == ("yes", "large effects")


def test_an_earlier_ledger_gives_the_spread_in_the_metrics_unit_and_the_replicates_needed() -> None:
    clear = table(np.random.default_rng(0), {M: [0.9, 0.5]}, 6, [])
    [(answer, why)] = answers(6, BETTER, table=clear)
    assert answer == "yes" and "earlier: SD 0.0" in why
    vague = table(np.random.default_rng(0), {M: [0.53, 0.5]}, 6, [])
    [(answer, why)] = answers(3, BETTER, table=vague)
    assert answer == "no" and "pairs would do" in why


@pytest.mark.parametrize("n", [3, 6, 10])
def test_the_detectable_effect_is_decided_in_four_of_five_runs(n: int) -> None:
    rng, size = np.random.default_rng(0), detectable(n, 0.05)
    draws = rng.normal(size, 1, (20_000, n))
    bound = draws.mean(axis=1) - student.t.isf(0.05, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
    assert np.mean(bound > 0) == pytest.approx(0.8, abs=0.01)


def test_the_pairs_needed_are_those_at_which_half_of_the_runs_are_decided() -> None:
    looks = (4, 6, 8, 10)
    assert [pairs_needed(effect, looks, 0.05) for effect in (4.0, 1.2, 0.1)] == [4, 6, 10]
    assert pairs_needed(2.0, looks, 0.05) < pairs_needed(2.0, looks, 0.005)


def test_a_dry_run_tells_which_claims_can_be_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)
    text = "claims: [{id: C1, says: s, metric: leak_gap, better: {a: grid3, than: grid5}}]\n"
    file = tiny_suite.write(tmp_path, tiny_suite.TEXT + text)
    words = ["run", str(file), "--dry-run", "--out", str(tmp_path / "r")]
    code, out, _ = called([*words, "--seeds", "1"], monkeypatch, capsys)
    assert code == 0 and "can these pairs decide the claims?" in out
    code, out, _ = called([*words, "--seeds", "6", "--json"], monkeypatch, capsys)
    [row] = json.loads(out)["claims"]
    assert (row["claim"], row["n"], row["decidable"]) == ("C1", 6, "yes")
