"""Verdicts: what they rest on, what leaves them undecided, and that equal records give equal ones."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_ledger import write_ledger

from harness.claims.simulated import claim, table
from harness.claims.verdict import judge
from harness.ledger.records import Ledger
from harness.ledger.table import Table, load

M = "identity_transfer"
BETTER = {"relation": "difference", "metric": M, "a": "v0", "than": "v1", "by": 0.0, "sign": 1}
AXIS = {"in": "cells", "over": ["v0", "v1", "v2", "v3", "v4"]}
LEVEL = {"relation": "level", "metric": M, "of": "v0", "value": 0.5, "sign": 1}
FALLS = {"relation": "monotone", "metric": M, "direction": "falls", **AXIS}


def one(means: dict[str, list[float]], *claims: dict[str, object], n: int = 6, seed: int = 0) -> Table:
    return table(np.random.default_rng(seed), means, n, claims)


def without(found: Table, name: str, replicate: int, **changes: object) -> Table:
    """The table with one trial changed."""

    def changed(variant):
        trials = tuple(replace(t, **changes) if (t.label, t.seed) == (name, replicate) else t for t in variant.trials)
        return replace(variant, trials=trials)

    return replace(found, variants=tuple(changed(v) for v in found.variants))


def test_a_verdict_carries_its_effect_interval_n_and_what_the_sign_flip_can_say() -> None:
    [verdict] = judge(one({M: [0.7, 0.5]}, claim(BETTER)))
    [part] = verdict.parts
    assert (verdict.verdict, verdict.agreement) == ("supported", "as the source says")
    assert (part.verdict, part.n) == ("supported", 6)
    assert part.low < part.effect < part.high and part.effect == pytest.approx(0.2, abs=0.06)
    assert part.p == part.p_holm < 0.05
    assert part.p_attainable == part.p_sign == 1 / 64
    assert part.improvement is not None and part.improvement.mean > 0.9
    [few] = judge(one({M: [0.7, 0.5]}, claim(BETTER), n=3))
    assert few.parts[0].p_attainable == 0.125
    assert "sign-flip p cannot be below 0.12 with 3 pairs" in few.reason


def test_the_other_side_of_the_margin_refutes_and_around_it_nothing_is_decided() -> None:
    found = one(
        {M: [0.7, 0.5]},
        claim(BETTER, id="right"),
        claim({**BETTER, "sign": -1}, id="wrong"),
        claim({**BETTER, "by": 0.2}, id="edge"),
        claim({**BETTER, "by": 0.5}, id="less"),
    )
    assert [v.verdict for v in judge(found)] == ["supported", "refuted", "undecided", "refuted"]


def test_a_negative_margin_asks_only_that_it_is_not_worse_by_more() -> None:
    near, far = claim({**BETTER, "by": -0.4}), claim({**BETTER, "by": -0.05}, id="C2")
    found = judge(one({M: [0.5, 0.7]}, near, far))
    assert [v.verdict for v in found] == ["supported", "refuted"]
    assert "identity transfer is not lower for v0 than for v1 by more than 0.4: supported" in found[0].reason


def test_equivalence_is_supported_inside_its_margins_and_refuted_outside() -> None:
    same = {"relation": "equivalent", "metric": M, "a": "v0", "to": "v1"}
    near, far, margin = (
        claim({**same, "within": 0.4}, id="near"),
        claim({**same, "within": 0.02}, id="far"),
        claim({**same, "within": 0.2}, id="margin"),
    )
    assert [v.verdict for v in judge(one({M: [0.7, 0.5]}, near, far, margin))] == ["supported", "refuted", "undecided"]


def test_the_primary_claim_has_the_full_level_and_the_others_share_it_by_holm() -> None:
    margins = (0.0, 0.05, 0.08, 0.1, 0.12)
    claims = [claim({**BETTER, "by": by}, id=f"C{by}") for by in margins]
    found = judge(one({M: [0.6, 0.5]}, *claims, claim({**BETTER, "by": 0.3}, id="first", primary=True)))
    first, rest = found[-1], found[:-1]
    assert (first.verdict, first.primary, first.parts[0].level) == ("refuted", True, 0.95)
    assert {v.verdict for v in rest} >= {"undecided"} and min(v.parts[0].level for v in rest) > 0.95
    for verdict, margin in zip(rest, margins, strict=True):
        [part] = verdict.parts
        assert (part.low > margin or part.high < margin) == (part.p_holm <= 0.05) == (part.verdict != "undecided")


def test_while_the_primary_claim_is_open_nothing_else_is_decided() -> None:
    open_ = claim({**BETTER, "by": 0.2}, id="C1")  # the truth stands at its margin
    first, second = judge(one({M: [0.7, 0.5]}, open_, claim(BETTER, id="C2")))
    assert (first.verdict, second.verdict, second.parts[0].verdict) == ("undecided", "undecided", "supported")
    assert second.reason.startswith("the primary claim C1 is open, and is decided first")
    assert judge(one({M: [0.7, 0.5]}, open_, claim(BETTER, id="C2", primary=True)))[1].verdict == "supported"


def test_replicates_that_share_their_people_count_once() -> None:
    found = table(np.random.default_rng(0), {M: [0.7, 0.5]}, 12, [claim(BETTER)], people=3)
    [part] = judge(found)[0].parts
    assert (part.n, part.verdict) == (3, "supported")
    assert "12 replicates of 3 pairs" in part.reason
    alone = table(np.random.default_rng(0), {M: [0.7, 0.5]}, 4, [claim(BETTER)], people=1)
    [part] = judge(alone)[0].parts
    assert part.n == 4 and "4 seeds" in part.reason and "it speaks of these two only" in part.reason


def test_a_bound_decides_at_the_level_of_one_side() -> None:
    """t = 2.5 with 3 degrees of freedom: one-sided p = 0.044, two-sided 0.088."""
    found = table(np.random.default_rng(0), {M: [0.5]}, 4, [claim(LEVEL)])
    values = 0.5 + 0.025 + np.array([-0.5, 0.5, -0.5, 0.5]) * 0.02 * np.sqrt(3)
    for trial, value in zip(found.trials, values, strict=True):
        trial.record.scores[M]["mean"] = float(value)  # type: ignore[index, union-attr]
    [verdict] = judge(found)
    assert verdict.parts[0].p == pytest.approx(0.0439, abs=2e-4)
    assert verdict.verdict == "supported" and 0.5 < verdict.parts[0].low < 0.502


def test_a_conjunction_needs_all_its_parts_and_falls_with_one() -> None:
    means = {M: [0.9, 0.5, 0.5]}
    other = {**BETTER, "a": "v0", "than": "v2"}
    same = {**BETTER, "a": "v1", "than": "v2"}
    worse = {**BETTER, "a": "v2", "than": "v0"}
    found = judge(one(means, claim(BETTER, other, id="a"), claim(BETTER, same, id="b"), claim(BETTER, worse, id="c")))
    assert [v.verdict for v in found] == ["supported", "undecided", "refuted"]
    assert len(found[2].parts) == 2 and found[2].parts[0].verdict == "supported"


def test_a_trend_rests_on_pages_test_and_its_slope_and_falls_with_a_step_back() -> None:
    steady, back = [0.7, 0.65, 0.6, 0.55, 0.5], [0.9, 0.3, 0.7, 0.3, 0.1]
    assert judge(one({M: steady}, claim(FALLS)))[0].verdict == "supported"
    assert judge(one({M: steady[::-1]}, claim(FALLS)))[0].verdict == "refuted"
    [verdict] = judge(one({M: back}, claim(FALLS)))
    assert verdict.verdict == "refuted"
    assert "the step from v1 to v2 goes the other way" in verdict.reason


def test_a_step_is_found_between_its_bounds_and_a_ramp_is_none() -> None:
    step = {"relation": "step", "metric": M, "between": [9, 36], "sign": -1, **AXIS}
    late, rising = {**step, "between": [30, 49]}, {**step, "sign": 1}
    cliff = {M: [0.8, 0.8, 0.4, 0.4, 0.4]}
    claims = [claim(step, id="a"), claim(late, id="b"), claim(rising, id="c")]
    found = judge(one(cliff, *claims))
    assert [v.verdict for v in found] == ["supported", "refuted", "refuted"]
    assert 16 <= found[0].parts[0].low <= found[0].parts[0].high <= 25
    assert judge(one({M: [0.9, 0.75, 0.65, 0.6, 0.5]}, claim(step)))[0].verdict == "refuted"


def test_a_correlation_has_a_sign_or_none_and_may_be_asked_not_to_have_one() -> None:
    both = {M: [0.8, 0.7, 0.6, 0.5, 0.4], "leak_gap": [0.2, 0.3, 0.4, 0.5, 0.6]}
    go = {"relation": "correlation", "metric": M, "with": "leak_gap", "within": 0.3, "over": AXIS["over"]}
    kinds = ("negative", "positive", "none", "not_positive", "not_negative")
    found = judge(one(both, *(claim({**go, "is": kind}, id=kind) for kind in kinds)))
    assert [v.verdict for v in found] == ["supported", "refuted", "refuted", "supported", "refuted"]
    assert -1 <= found[0].parts[0].low < found[0].parts[0].effect < found[0].parts[0].high <= -0.3


def test_a_correlation_is_the_mean_of_fishers_z_of_each_replicate() -> None:
    go = {"relation": "correlation", "metric": M, "with": "leak_gap", "within": 0.0, "over": AXIS["over"]}
    found = one({M: [0.5] * 5, "leak_gap": [0.5] * 5}, claim({**go, "is": "negative"}), n=3)
    weights = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    for place, variant in enumerate(found.variants):
        for trial, noise in zip(variant.trials, (1.0, 0.5, 0.2), strict=True):
            wiggle = noise * (1.0, -2.0, 2.0, -2.0, 1.0)[place]  # orthogonal to the weights
            trial.record.scores[M]["mean"] = float(weights[place])  # type: ignore[index, union-attr]
            trial.record.scores["leak_gap"]["mean"] = float(-weights[place] + wiggle)  # type: ignore[index, union-attr]
    [verdict] = judge(found)
    each = [-1 / np.sqrt(1 + 1.4 * noise**2) for noise in (1.0, 0.5, 0.2)]  # 14 / 10: ratio of the sums of squares
    assert verdict.parts[0].effect == pytest.approx(np.tanh(np.mean(np.arctanh(each))), abs=1e-6)
    assert verdict.verdict == "supported"


def test_a_bound_says_in_how_many_replicates_it_is_met() -> None:
    [verdict] = judge(one({M: [0.9]}, claim({"relation": "level", "metric": M, "of": "v0", "value": 0.2, "sign": 1})))
    assert verdict.verdict == "supported"
    assert "met in 6 of 6 pairs (Wilson 95 % interval 61% to 100%)" in verdict.reason


def test_an_unmet_condition_leaves_a_claim_undecided() -> None:
    void = claim(BETTER, only_if=[{"metric": M, "of": "v1", "at_least": 0.9}])
    [verdict] = judge(one({M: [0.7, 0.5]}, void))
    assert verdict.verdict == "undecided"
    assert verdict.reason.startswith("void condition: identity transfer of v1 is 0.")
    assert "at least 0.9 needed" in verdict.reason
    met = claim(BETTER, only_if=[{"metric": M, "of": "v1", "at_least": 0.2, "at_most": 0.8}])
    assert judge(one({M: [0.7, 0.5]}, met))[0].verdict == "supported"


@pytest.mark.parametrize(("status", "told"), [("diverged", "diverged"), ("missing", "not run yet")])
def test_a_failed_or_absent_trial_leaves_a_claim_undecided(status: str, told: str) -> None:
    found = without(one({M: [0.7, 0.5, 0.5]}, claim(BETTER)), "v1", 2, status=status, record=None)
    [verdict] = judge(found)
    assert verdict.verdict == "undecided"
    assert f"1 of 6 trials of v1: {told}" in verdict.reason
    elsewhere = without(one({M: [0.7, 0.5, 0.5]}, claim(BETTER)), "v2", 2, status=status, record=None)
    assert judge(elsewhere)[0].verdict == "supported"


def test_an_invalid_metric_leaves_a_claim_undecided_with_its_reason() -> None:
    found = one({M: [0.7, 0.5]}, claim({**BETTER, "metric": "leak_gap"}))
    for trial in found.trials:
        trial.record.invalid["leak_gap"] = "needs ground truth"  # type: ignore[index, union-attr]
    [verdict] = judge(found)
    assert (verdict.verdict, verdict.parts[0].n) == ("undecided", 0)
    assert "leak gap is undefined for v0 (needs ground truth)" in verdict.reason
    assert math.isnan(verdict.parts[0].p_holm)


def test_one_replicate_decides_nothing() -> None:
    [verdict] = judge(one({M: [0.9, 0.1]}, claim(BETTER), n=1))
    assert verdict.verdict == "undecided"
    assert "two are the least that have a spread" in verdict.reason


def test_the_plans_claims_are_judged_and_equal_records_give_equal_verdicts(tmp_path: Path) -> None:
    folders = [write_ledger(tmp_path / name / "bottleneck", tile=8) for name in ("one", "two")]
    trend = {"relation": "monotone", "metric": M, "direction": "falls", "in": "model.grid"}
    grids = [f"grid{g}" for g in (3, 4, 5, 6, 7)]
    claims = [
        claim({**trend, "over": grids, "at": {name: i for i, name in enumerate(grids)}}),
        claim({"relation": "correlation", "metric": M, "with": "loss:total", "is": "none", "within": 0.3}, id="C3"),
        claim({**BETTER, "a": "parameters"}, id="C9"),
    ]
    for folder in folders:
        assert judge(load(folder)) == []
        Ledger(folder).write_plan({**(Ledger(folder).plan() or {}), "claims": claims})
    first, second = (judge(load(folder)) for folder in folders)
    assert repr(first) == repr(second)
    assert first[0].verdict == "supported"
    assert [v.id for v in first] == ["C1", "C3", "C9"]
    assert "the plan has no variant parameters" in first[2].reason


def test_a_zero_spread_difference_is_decided_by_its_side() -> None:
    cells = {"relation": "difference", "metric": "latent_cells", "a": "v1", "than": "v0", "by": 0.0, "sign": 1}
    found = judge(one({M: [0.5, 0.5]}, claim(cells), claim({**cells, "by": 7.0}, id="C2")))
    assert [v.verdict for v in found] == ["supported", "undecided"]
    assert (found[0].parts[0].low, found[0].parts[0].high) == (7.0, 7.0)


def test_looks_are_judged_on_the_first_pairs_and_the_first_that_decides_stays() -> None:
    rng, looks = np.random.default_rng(0), (4, 6, 8, 10)
    found = table(rng, {M: [0.8, 0.5]}, 10, [claim(BETTER)], looks=looks)
    [verdict] = judge(found)
    assert (verdict.verdict, verdict.look, verdict.parts[0].n) == ("supported", 4, 4)
    assert "look 1 of 4, 4 pairs" in verdict.reason
    for name in ("v0", "v1"):
        for seed in range(4, 10):  # whatever comes later: the looks before it are the same
            found = without(found, name, seed, status="missing", record=None)
    assert repr(judge(found)) == repr([verdict])


def test_a_look_is_reached_when_all_its_trials_are_there() -> None:
    claims = [claim({**BETTER, "by": 0.3})]
    found = table(np.random.default_rng(0), {M: [0.8, 0.5]}, 8, claims, looks=(4, 6, 8, 10))
    assert judge(found)[0].look == 8
    assert judge(without(found, "v1", 7, status="missing", record=None))[0].look == 6
    assert judge(found.first(3))[0].reason.startswith("no look yet: v0, v1 at 4 pairs are needed")
    lost = judge(without(found, "v1", 5, status="diverged", record=None))[0]
    assert lost.verdict == "undecided" and "1 of 8 trials of v1: diverged" in lost.reason


def test_the_bounds_of_a_look_are_those_of_its_level() -> None:
    """At 10 of 10 pairs and 5 % one-sided the published boundary of the last look is t = 2.50."""
    found = table(np.random.default_rng(0), {M: [0.8, 0.5]}, 10, [claim({**BETTER, "by": 0.3})], looks=(4, 6, 8, 10))
    [part] = judge(found)[0].parts
    values = [a.mean(M) - b.mean(M) for a, b in zip(*(v.trials for v in found.variants), strict=True)]
    error = np.std(values, ddof=1) / np.sqrt(10)
    assert (part.high - part.effect) / error == pytest.approx(2.50, abs=0.02)
