"""A scale of a suite may have a matrix, labels, seeds, an order and claims of its own."""

from __future__ import annotations

import pytest
import tiny_suite
from tiny_suite import error_of, loaded

from harness.errors import UsageError
from harness.trials.trial import in_order, trials

pytestmark = pytest.mark.usefixtures("tiny_variant")

SCALED = (
    tiny_suite.TEXT
    + """\
claims: [{id: C1, says: s, metric: leak_gap, higher: {a: grid5, than: grid3}}]
"""
)


def with_paper(section: str) -> str:
    return SCALED.replace("baseline:", f"  paper: {section}\nbaseline:")


def test_a_scale_may_have_its_own_matrix_labels_seeds_order_and_claims() -> None:
    own = (
        "{matrix: {grid: {data.size: [16, 32]}}, labels: {size16: small}, baseline: small, seeds: [5, 6, 7], "
        "order: [[size32]], claims: [{id: P1, says: p, metric: leak_gap, lower: {a: size32, than: small}}]}"
    )
    suite = loaded(with_paper(own))
    paper, quick = suite.at("paper"), suite.at("quick")
    assert [cell.label for cell in paper.cells] == ["small", "size32"] and paper.axes == ("data.size",)
    assert (paper.baseline, paper.seeds, paper.order) == ("small", (5, 6, 7), (("size32",),))
    assert [claim["id"] for claim in paper.claims] == ["P1"]
    assert (quick.baseline, quick.seeds, quick.axes) == ("grid5", (0, 1), ("model.grid",))
    found = trials(suite, "paper")
    assert [(t.label, t.seed) for t in in_order(found, paper)][:4] == [("size32", s) for s in (5, 6, 7)] + [
        ("small", 5)
    ]
    assert [t.label for t in found[:2]] == ["small", "size32"]
    assert {t.spec.data.size for t in trials(suite, "quick")} == {64}


def test_a_scale_with_its_own_matrix_is_asked_the_suites_claims_where_they_fit() -> None:
    kept = loaded(with_paper("{matrix: {grid: {model.grid: [3, 5, 7]}}}")).at("paper")
    assert kept.baseline == "grid5" and [claim["id"] for claim in kept.claims] == ["C1"]
    with pytest.raises(UsageError, match=r"grid5.*The scale 'paper' has a matrix of its own: give it `claims`"):
        loaded(with_paper("{matrix: {grid: {model.grid: [3, 7]}}, baseline: grid7}"))
    with pytest.raises(UsageError, match=r"give it `baseline` of its own too"):
        loaded(with_paper("{matrix: {grid: {data.size: [16, 32]}}}"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{matrix: {gird: {}}}", "there is no key 'scales.paper.matrix.gird'. Did you mean 'grid'?"),
        ("{martix: {grid: {}}}", "there is no key 'martix'"),
        ("{labels: {grid3: a}}", "labels without a matrix"),
        ("{order: [[grid4]]}", "no cell is labelled 'grid4'. Did you mean 'grid5'"),
        ("{order: [[grid3], [grid3]]}", "'grid3' is there twice"),
        ("{seeds: many}", "scales.paper.seeds cannot be 'many'. Expected a number from 1 to 1000, or a list of seeds"),
        ("{claims: [{id: X}]}", "says is missing"),
    ],
)
def test_mistakes_in_a_scale_are_told_with_their_place(section: str, message: str) -> None:
    told = error_of(with_paper(section))
    assert message in told
    line = next(i for i, text in enumerate(with_paper(section).splitlines(), 1) if "paper" in text)
    assert told.startswith(f"s.yaml:{line}:")
