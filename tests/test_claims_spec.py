"""Claims in a suite's file: what they resolve to, and that every mistake is told with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.suite.suite import Suite, from_document
from harness.suite.yamlfile import parse

HEAD = """\
suite: s
question: q
base: {model: {variant: grid}, loss: {l1: 1.0}}
matrix: {grid: {model.grid: [3, 5, 7]}}
"""


def loaded(claim: str, head: str = HEAD) -> Suite:
    return from_document(parse(head + "claims:\n" + claim, "s.yaml"), Path("s.yaml"))


def parts(relation: str, metric: str = "identity_transfer") -> list[dict[str, object]]:
    found = loaded(f"  - {{id: C1, says: s, metric: {metric}, {relation}}}\n").claims[0]["parts"]
    return json.loads(json.dumps(found))


def error_of(claim: str, head: str = HEAD) -> str:
    with pytest.raises(UsageError) as caught:
        loaded(claim, head)
    return str(caught.value)


def line(relation: str, metric: str = "leak_gap") -> str:
    return error_of(f"  - {{id: C1, says: s, metric: {metric}, {relation}}}\n")


def test_better_takes_the_metrics_own_direction_and_higher_none() -> None:
    assert parts("better: {a: grid3, than: grid7}")[0]["sign"] == 1
    assert parts("better: {a: grid3, than: grid7}", "leak_gap")[0]["sign"] == -1
    assert parts("better: {a: grid3, than: grid7}", '"loss:total"')[0]["sign"] == -1
    assert parts("higher: {a: grid3, than: grid7, by: 0.1}", "leak_gap") == [
        {"relation": "difference", "metric": "leak_gap", "a": "grid3", "than": "grid7", "by": 0.1, "sign": 1}
    ]
    assert "neither way is better for 'kl_nats'" in line("better: {a: grid3, than: grid7}", "kl_nats")


def test_an_axis_of_the_matrix_gives_its_labels_and_values() -> None:
    found = parts("monotone: {in: model.grid, direction: falls}")[0]
    assert (found["over"], found["at"]) == (["grid3", "grid5", "grid7"], {"grid3": 3, "grid5": 5, "grid7": 7})
    assert "at" not in parts("monotone: {in: parameters, direction: falls}")[0]


def test_a_conjunction_lends_its_metric_to_its_parts() -> None:
    claim = """\
  - id: C2
    says: It rebuilds,
      and swaps worse.
    source: open
    only_if: [{metric: rec_yaw_r2, of: grid3, at_least: 0.5}]
    metric: leak_gap
    all: [{at_most: {of: grid3, value: 0.5}}, {metric: rec_psnr, at_least: {of: grid7, value: 25}}]
"""
    found = loaded(claim).claims[0]
    assert found["says"] == "It rebuilds, and swaps worse."
    assert [part["metric"] for part in found["parts"]] == ["leak_gap", "rec_psnr"]
    assert found["only_if"] == [{"metric": "rec_yaw_r2", "of": "grid3", "at_least": 0.5}]


@pytest.mark.parametrize(
    ("relation", "at", "text"),
    [
        ("better: {a: grid3, than: grid6}", "grid6", "no cell is labelled 'grid6'. Did you mean 'grid"),
        ("better: {a: grid3, then: grid7}", "then", "there is no key 'better.then'. Did you mean 'than'?"),
        ("bettre: {a: grid3, than: grid7}", "bettre", "there is no key 'bettre'. Did you mean 'better'?"),
        ("better: {a: grid3, than: grid3}", "grid3}", "compared with itself"),
        ("better: {a: grid3, than: grid7, by: much}", "much", "by cannot be 'much'"),
        ("equivalent: {a: grid3, to: grid7}", "{a: grid3, to", "within is missing"),
        ("monotone: {in: cels, direction: falls}", "cels", "'cels' is no axis. Did you mean 'cells'?"),
        ("monotone: {in: cells, direction: fall}", "fall}", "Did you mean 'falls'?"),
        ("monotone: {in: cells, direction: falls, over: [grid3, grid5, grit7]}", "grit7", "Did you mean 'grid7'?"),
        ("step: {in: cells, between: [36, 9]}", "[36, 9]", "Expected 0 < a < b"),
        ("correlation: {with: 'loss:totl', is: none}", "'loss:totl'", "there is no loss 'totl'. Did you mean 'total'?"),
        ("correlation: {with: leak_gap, is: some}", "some", "Expected 'none', 'positive', 'negative'"),
        ("at_least: {of: grid3, value: yes please}", "yes please", "value cannot be 'yes please'"),
        ("better: {a: grid3, than: grid7}, at_least: {of: grid3, value: 1}", "id: C1", "exactly one relation"),
        ("source: supported", "id: C1", "exactly one relation"),
    ],
)
def test_a_mistake_is_told_with_its_place(relation: str, at: str, text: str) -> None:
    column = f"  - {{id: C1, says: s, metric: leak_gap, {relation}}}".index(at) + 1
    told = line(relation)
    assert told.startswith(f"s.yaml:6:{column if at != 'id: C1' else column - 1}: ")
    assert text in told


def test_metrics_are_known_and_computed_by_the_suite() -> None:
    assert "Did you mean 'leak_gap'?" in line("better: {a: grid3, than: grid7}", "leek_gap")
    told = error_of(
        "  - {id: C1, says: s, metric: rec_psnr, better: {a: grid3, than: grid7}}\n", HEAD + "metrics: [identity]\n"
    )
    assert "leave out 'reconstruction'" in told


def test_speed_is_claimed_without_a_metric() -> None:
    [part] = loaded("  - {id: C1, says: s, faster: {a: grid3, than: grid7, by: 0.1}}\n").claims[0]["parts"]
    assert part == {"relation": "faster", "metric": "step_seconds", "a": "grid3", "than": "grid7", "by": 0.1}
    assert "compared with itself" in error_of("  - {id: C1, says: s, faster: {a: grid3, than: grid3}}\n")


def test_one_claim_is_primary_the_first_when_none_says_so() -> None:
    one = "  - {id: C1, says: s, metric: leak_gap, better: {a: grid3, than: grid7}}\n"
    other = one.replace("C1", "C2").replace("says: s", "says: s, primary: true")
    assert [c["primary"] for c in loaded(one + other).claims] == [False, True]
    assert [c["primary"] for c in loaded(one + one.replace("C1", "C2")).claims] == [True, False]
    third = other.replace("C2", "C3")
    told = error_of(one + other + third)
    assert told.startswith(f"s.yaml:8:{third.index('true') + 1}: C2 is the primary claim already")


def test_two_claims_of_one_id_are_an_error() -> None:
    one = "  - {id: C1, says: s, metric: leak_gap, better: {a: grid3, than: grid7}}\n"
    assert error_of(one + one).startswith("s.yaml:7:10: a claim 'C1' is there already")


def test_an_axis_with_one_value_for_several_cells_asks_for_labels() -> None:
    head = HEAD.replace("{model.grid: [3, 5, 7]}", "{model.grid: [3, 5, 7], model.upsample: [resize, convt]}")
    claim = "  - {id: C1, says: s, metric: leak_gap, monotone: {in: model.grid, direction: rises}}\n"
    assert "Name one cell for each value" in error_of(claim, head)
    text = "  - {id: C1, says: s, metric: leak_gap, monotone: {in: model.upsample, direction: rises}}\n"
    assert "is not numeric for" in error_of(text, head)
