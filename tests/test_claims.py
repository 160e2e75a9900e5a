"""Verdicts: what they rest on, what leaves them undecided, and that equal records give equal ones."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_ledger import write_ledger
from simulated_claims import claim, table

from harness.claims.verdict import judge
from harness.ledger.records import Ledger
from harness.ledger.table import Table, load

M = "identity_transfer"
BETTER = {"relation": "difference", "metric": M, "a": "v0", "than": "v1", "by": 0.0, "sign": 1}
AXIS = {"in": "cells", "over": ["v0", "v1", "v2", "v3", "v4"]}
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
    assert part.p_attainable == part.p_sign == 2 / 64
    assert part.improvement is not None and part.improvement.mean > 0.9
    [few] = judge(one({M: [0.7, 0.5]}, claim(BETTER), n=3))
    assert few.parts[0].p_attainable == 0.25
    assert "sign-flip p cannot be below 0.25 with 3 replicates" in few.reason


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


def test_holm_widens_the_interval_of_each_claim_and_agrees_with_its_adjusted_p() -> None:
    alone = judge(one({M: [0.6, 0.5]}, claim(BETTER)))[0].parts[0]
    others = [claim({**BETTER, "by": b}, id=f"C{b}") for b in (0.05, 0.08, 0.1, 0.12, 0.3)]
    found = judge(one({M: [0.6, 0.5]}, claim(BETTER), *others))
    assert found[0].parts[0].level > alone.level == 0.95
    for verdict in found:
        [part] = verdict.parts
        margin = next((c["parts"][0]["by"] for c in others if c["id"] == verdict.id), 0.0)
        assert (part.low > margin or part.high < margin) == (part.p_holm <= 0.05) == (part.verdict != "undecided")


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


def test_a_correlation_has_a_sign_or_none() -> None:
    both = {M: [0.8, 0.7, 0.6, 0.5, 0.4], "leak_gap": [0.2, 0.3, 0.4, 0.5, 0.6]}
    go = {"relation": "correlation", "metric": M, "with": "leak_gap", "within": 0.3, "over": AXIS["over"]}
    kinds = [claim({**go, "is": kind}, id=kind) for kind in ("negative", "positive", "none")]
    found = judge(one(both, *kinds))
    assert [v.verdict for v in found] == ["supported", "refuted", "refuted"]
    assert -1 <= found[0].parts[0].low < found[0].parts[0].effect < found[0].parts[0].high <= -0.3


def test_a_bound_says_in_how_many_replicates_it_is_met() -> None:
    [verdict] = judge(one({M: [0.9]}, claim({"relation": "level", "metric": M, "of": "v0", "value": 0.2, "sign": 1})))
    assert verdict.verdict == "supported"
    assert "met in 6 of 6 replicates (Wilson 95 % interval 61% to 100%)" in verdict.reason


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
    assert "leak gap is no number for v0 (needs ground truth)" in verdict.reason
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
