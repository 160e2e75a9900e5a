"""What would decide an open claim, and the answer as a person would say it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_ledger import CLAIMS, _row, write_ledger

from harness.claims.verdict import judge
from harness.files import hash_of
from harness.ledger.records import Ledger
from harness.ledger.table import Table, load
from harness.report import clearest, details, lead, sheets
from harness.report.numbers import Numbers
from harness.report.outlook import command, outlooks


def _planned(folder: Path, **changes: Any) -> Table:
    ledger = Ledger(folder)
    plan = dict(ledger.plan() or {})
    plan.pop("sha256", None)
    ledger.write_plan({**plan, **changes})
    return load(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("results") / "bottleneck", grids=(3, 7), tile=8, claims=CLAIMS)


def test_an_open_claim_names_pairs_minutes_and_a_command(folder: Path) -> None:
    table = load(folder)
    found = outlooks(table, judge(table))
    assert list(found) == ["C3"]
    one = found["C3"]
    assert one.more == one.pairs - 3 > 0
    each = (48 + 3) + (48 + 7)  # seconds of one pair, of both variants, as the ledger says
    assert one.minutes == pytest.approx(one.more * each / 60)
    assert one.command == f"harness run bottleneck --scale quick --seeds {one.pairs}"
    assert f"about {one.more} more pairs" in one.text


def test_as_many_pairs_as_named_decide_where_effect_and_spread_stay(folder: Path) -> None:
    from scipy import stats

    table = load(folder)
    (part,) = judge(table)[2].parts
    pairs = outlooks(table, judge(table))["C3"].pairs
    spread = (part.high - part.low) / 2 / stats.t.ppf(part.level, part.n - 1) * math.sqrt(part.n)
    t = abs(part.effect - part.margin) / spread * math.sqrt(pairs)
    assert stats.t.sf(t, pairs - 1) <= 0.025  # the hardest level of Holm's two other claims
    assert stats.t.sf(t / math.sqrt(pairs) * math.sqrt(4), 3) > 0.025


@pytest.mark.parametrize(
    ("given", "until", "expected"),
    [
        ("harness run a.yaml --seeds 4 --scale quick", None, "harness run a.yaml --scale quick --seeds 9"),
        ("harness run a.yaml --seeds=4 --set 'x=[1, 2]'", None, "harness run a.yaml --set 'x=[1, 2]' --seeds 9"),
        ("first\nharness run a.yaml", None, "harness run a.yaml --seeds 9"),
        ("harness run a.yaml --until-decided --budget 45m --max-pairs 6", {"looks": [4, 6]},
         "harness run a.yaml --until-decided --max-pairs 9"),
        ("python own.py", None, ""),
    ],
)  # fmt: skip
def test_the_command_is_the_runs_own_with_more_pairs(given: str, until: Any, expected: str, tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "a", grids=(3, 7), replicates=1, tile=8)
    assert command(_planned(folder, command=given, until=until or {}), 9) == expected


def _said(table: Table) -> lead.Lead:
    numbers, found = Numbers(table), judge(table)
    return lead.lead(numbers, found, outlooks(table, found), clearest.pair(numbers))


def test_the_answer_says_the_verdict_the_best_the_cost_and_what_is_open(folder: Path) -> None:
    said = _said(load(folder))
    assert said.found.startswith("The smallest grid transfers more identity than the largest. Best by swap")
    assert "0 is no swap, 1 the exact swap" in said.found and "; worst: grid7 (" in said.found
    assert said.cost == (
        "Cost: beside grid7, grid3 takes as many parameters, 16% less arithmetic and 9% less training time."
    )
    assert said.unknown.startswith("Not known: C3. About ")


def test_a_training_time_that_says_how_busy_the_machine_was_is_no_cost(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "e", grids=(3, 7), tile=8)
    file = next(folder.glob("trials/grid7-s0*/record.json"))
    record = json.loads(file.read_text())
    record.pop("sha256")
    record["cost"]["wall_s"]["train"] *= 20
    file.write_text(json.dumps({**record, "sha256": hash_of(record)}))
    assert _said(load(folder)).cost == ("Cost: beside grid7, grid3 takes as many parameters and 16% less arithmetic.")


def test_a_refuted_claim_is_not_so_and_a_contradiction_to_the_source_is_said(folder: Path, tmp_path: Path) -> None:
    claims = [{**CLAIMS[1], "source": "supported"}]
    again = write_ledger(tmp_path / "b", grids=(3, 7), tile=8, claims=tuple(claims))
    said = _said(load(again))
    assert said.found.startswith("Not so: “The largest grid has a transfer of at least 0.9”.")
    assert said.found.endswith("This contradicts the source material on C2.")
    assert said.unknown == "Every claim of the suite is decided."


def test_a_rehearsal_answers_nothing(folder: Path) -> None:
    assert _said(_planned(folder, rehearsal=True)) == lead.Lead(lead.REHEARSED)
    _planned(folder, rehearsal=False)  # for the others


def test_where_nothing_swaps_the_answer_says_so_and_names_no_winner(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "c", grids=(3, 7), tile=8)
    for path in folder.glob("trials/*/record.json"):
        record = json.loads(path.read_text())
        record.pop("sha256")
        record["scores"]["swap_score"]["mean"] -= 2
        path.write_text(json.dumps({**record, "sha256": hash_of(record)}))
    found = _said(load(folder)).found
    assert found.startswith("None of them swaps here: even grid3 is beaten by answers that need no swap")
    assert "Best" not in found


def test_a_variant_that_lacks_hard_replicates_does_not_win_by_its_mean(tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "f", grids=(3, 4, 7), replicates=4, tile=8, missing=frozenset({(4, 0)}))
    for path in folder.glob("trials/*/record.json"):
        record = json.loads(path.read_text())
        record.pop("sha256")
        hard = 0.9 if record["seed"] == 0 else 0.0  # people that swap badly whatever the variant
        better = {"grid3": 0.1, "grid4": 0.05, "grid7": -0.3}[record["label"]]
        record["scores"]["swap_score"]["mean"] = 0.5 - hard + better + 0.001 * record["seed"]
        path.write_text(json.dumps({**record, "sha256": hash_of(record)}))
    numbers = Numbers(load(folder))
    means = {v.label: numbers.mean(v, "swap_score").mean for v in numbers.table.variants}
    assert means["grid4"] > means["grid3"]
    assert _said(load(folder)).found.startswith("Best by swap score: grid3 (")


def test_equal_variants_have_no_winner(tmp_path: Path) -> None:
    said = _said(load(write_ledger(tmp_path / "d", grids=(3, 4), tile=8)))
    assert said.found.startswith("By swap score no variant is clearly ahead: from ")


def test_the_picture_shows_what_the_primary_claim_compares_on_the_median_face(folder: Path) -> None:
    table = load(folder)
    chosen = clearest.pair(Numbers(table))
    assert chosen is not None
    assert (chosen.one.label, chosen.other.label) == ("grid3", "grid7")
    assert chosen.rule == "the two variants that the primary claim compares"
    shown = clearest.case(table, chosen)
    assert shown is not None and "of 12 fixed faces" in shown.rule
    apart = sorted(clearest._apart(rows) for _, _, rows in clearest._faces(chosen))
    again = next(r for key, name, r in clearest._faces(chosen) if (key, name) == (shown.replicate, shown.face))
    assert clearest._apart(again) == apart[5]


def test_without_claims_the_ends_of_the_axis_are_shown(tmp_path: Path) -> None:
    table = load(write_ledger(tmp_path / "e", grids=(3, 5, 7), tile=8))
    chosen = clearest.pair(Numbers(table))
    assert chosen is not None and chosen.rule == "the two ends of the axis"


def test_where_the_faces_themselves_vary_each_variant_stands_beside_its_own_truth(tmp_path: Path) -> None:
    """As in a suite of distances: one person's truth beside another person's swap would show a failure that is none."""
    folder = write_ledger(tmp_path / "bottleneck", grids=(3, 7), tile=16, claims=CLAIMS)
    shared = load(folder)
    together = sheets.sheets(shared)
    assert together is not None and together.columns == ("driver", "exact truth", "grid3", "grid7")
    for trial in next(v for v in shared.variants if v.label == "grid7").trials:
        for face in range(4):
            _row(trial.folder / "pictures" / f"fixed-{face}.png", 7, 40 + face, 16)
    table = load(folder)
    chosen = clearest.pair(Numbers(table))
    assert chosen is not None
    shown = clearest.case(table, chosen)
    assert shown is not None
    captions = [caption.partition(":")[0] for caption in shown.tiles]
    assert captions == [
        "source of grid3", "grid3", "exact truth of grid3", "source of grid7", "grid7", "exact truth of grid7"
    ]  # fmt: skip
    for label in ("grid3", "grid7"):
        trial = next(v for v in table.variants if v.label == label).done[shown.replicate]
        row = details.tiles(trial.pictures[shown.face])
        assert np.array_equal(shown.tiles[label], row[2])
        assert np.array_equal(shown.tiles[f"exact truth of {label}"], row[5])
    apart = sheets.sheets(table)
    assert apart is not None
    assert apart.columns == ("exact truth of grid3", "grid3", "exact truth of grid7", "grid7")
