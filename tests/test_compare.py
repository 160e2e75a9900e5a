"""Comparing trials, variants and suites: the right side wins, pairing is kept, and what cannot be compared is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command import called
from fake_ledger import trial_name, write_ledger

from harness.claims.compare import Side, compare, side
from harness.claims.simulated import table
from harness.errors import UsageError
from harness.ledger.table import Table


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("results")
    write_ledger(place / "bottleneck", tile=8)
    write_ledger(place / "other", grids=(3, 7), tile=8, suite="other")
    return place


def verdict(root: Path, a: str, b: str, metric: str) -> str:
    [line] = compare(side(a, root), side(b, root), [metric]).lines
    return line.verdict


def drawn(means: dict[str, list[float]], n: int = 6, **more: object) -> Table:
    return table(np.random.default_rng(0), means, n, [], **more)


def of(found: Table, place: int) -> Side:
    variant = found.variants[place]
    return Side("variant", variant.label, {variant.label: variant})


def test_b_is_told_against_a_in_each_metrics_own_direction(root: Path) -> None:
    assert verdict(root, "bottleneck:grid3", "bottleneck:grid7", "identity_transfer") == "worse"
    assert verdict(root, "bottleneck:grid7", "bottleneck:grid3", "identity_transfer") == "better"
    assert verdict(root, "bottleneck:grid3", "bottleneck:grid7", "leak_gap") == "worse"
    assert verdict(root, "bottleneck:grid3", "bottleneck:grid7", "kl_nats") == "higher"


def test_equal_things_are_the_same_and_say_by_which_margin(root: Path) -> None:
    found = compare(side("bottleneck", root), side("other", root), ["identity_transfer"])
    assert [line.variant for line in found.lines] == ["grid3", "grid7"]
    assert {line.verdict for line in found.lines} == {"same"}
    assert {line.margin_from for line in found.lines} == {"5 % of A"}
    assert "only in bottleneck: grid4, grid5, grid6" in found.notes


def test_two_seeds_of_a_pair_make_the_margin_the_spread_between_seeds() -> None:
    found = drawn({"identity_transfer": [0.5, 0.5]}, people=3)
    [line] = compare(of(found, 0), of(found, 1)).lines
    assert (line.margin_from, line.n, line.basis) == ("spread between seeds", 3, "pair")
    assert 0.005 < line.margin < 0.08
    few = drawn({"identity_transfer": [0.5, 0.5]}, n=3)
    assert compare(of(few, 0), of(few, 1), fraction=0.1).lines[0].margin_from == "10 % of A"


def test_a_clear_difference_inside_the_margin_is_the_same_and_a_vague_one_undecided() -> None:
    clear = drawn({"identity_transfer": [0.5, 0.51]}, n=3, effects={"identity_transfer": None})
    assert compare(of(clear, 0), of(clear, 1), fraction=0.5).lines[0].verdict == "same"
    assert compare(of(clear, 0), of(clear, 1), fraction=0.0).lines[0].verdict == "undecided"


def test_two_trials_of_one_replicate_are_compared_over_images_and_it_says_so(root: Path) -> None:
    a, b = trial_name("grid3", 0), trial_name("grid7", 0)
    folder = root / "bottleneck" / "trials"
    found = compare(side(str(folder / a), root), side(str(folder / b), root), ["identity_transfer"])
    [line] = found.lines
    assert (line.basis, line.verdict) == ("image", "worse")
    assert any("these two trainings only" in note for note in found.notes)
    assert ("model.grid", "3", "7") in found.settings


def test_other_data_in_a_replicate_is_told_and_its_images_are_not_paired() -> None:
    one, other = (drawn({"identity_transfer": [0.5, 0.7]}) for _ in range(2))
    for trial in other.variants[1].trials:
        trial.record.data["fingerprint"] = "other"  # type: ignore[index, union-attr]
    found = compare(of(one, 0), of(other, 1))
    assert "6 of 6 replicates saw other data" in found.notes[0]
    assert np.isnan(found.lines[0].improvement) and found.lines[0].verdict == "better"


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        ("bottleneck:grid9", "bottleneck:grid3", "bottleneck has no variant 'grid9'. Did you mean 'grid"),
        ("botleneck:grid3", "bottleneck:grid3", "Did you mean 'bottleneck'?"),
        ("bottleneck:grid3", "bottleneck", "a variant and a suite cannot be compared"),
        ("grid3-s", "bottleneck:grid3", "Expected more letters"),
        ("nothing", "bottleneck:grid3", "is no suite, variant or trial"),
    ],
)
def test_what_cannot_be_compared_is_told(root: Path, a: str, b: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        compare(side(a, root), side(b, root))
    assert told in str(caught.value)


def test_trials_of_different_replicates_are_not_compared(root: Path) -> None:
    folder = root / "bottleneck" / "trials"
    a, b = (side(str(folder / trial_name("grid3", seed)), root) for seed in (0, 1))
    with pytest.raises(UsageError, match=r"no replicate is done on both sides \(A: seed 0 \w+; B: seed 1 \w+\)"):
        compare(a, b)


def test_suites_without_a_common_label_are_not_compared(root: Path, tmp_path: Path) -> None:
    write_ledger(tmp_path / "far", grids=(3,), labels={3: "elsewhere"}, tile=8)
    with pytest.raises(UsageError, match="share no label"):
        compare(side("bottleneck", root), side(str(tmp_path / "far"), root))


def test_compare_prints_a_table_or_json_and_leaves_with_2_on_a_wrong_name(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", "bottleneck:grid3", "bottleneck:grid7", "--root", str(root)]
    code, out, _ = called(words, monkeypatch, capsys)
    assert code == 0 and "identity_transfer" in out and "worse" in out and "model.grid: 3 -> 7" in out
    assert out.isascii()
    code, out, _ = called([*words, "--json", "--metric", "leak_gap"], monkeypatch, capsys)
    found = json.loads(out)
    assert (found["schema_version"], found["lines"][0]["verdict"], found["lines"][0]["n"]) == (1, "worse", 3)
    code, out, err = called([*words, "--metric", "leek_gap"], monkeypatch, capsys)
    assert (code, out) == (2, "") and "Did you mean 'leak_gap'?" in err
