"""Variance of people and of seeds: the components are found again, and runs that cannot tell are refused."""

import numpy as np
import pytest
from fake_ledger import write_ledger

from harness.claims.variance import components, lines
from harness.errors import UsageError
from harness.ledger.table import load


def drawn(pairs: int, seeds: int, pair_sd: float, seed_sd: float, rng: np.random.Generator) -> list[list[float]]:
    people = rng.normal(0, pair_sd, pairs)
    return [[0.5 + person + rng.normal(0, seed_sd) for _ in range(seeds)] for person in people]


def test_the_components_of_a_large_simulation_are_those_it_was_made_with() -> None:
    found = components(drawn(3000, 3, 0.06, 0.02, np.random.default_rng(0)))
    assert found.pair == pytest.approx(0.06, rel=0.05) and found.seed == pytest.approx(0.02, rel=0.05)
    assert found.share == pytest.approx(0.9, abs=0.01) and found.low < 0.9 < found.high
    assert (found.pairs, found.trials) == (3000, 9000)


def test_the_interval_of_the_share_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = [f.low <= 0.5 <= f.high for f in (components(drawn(6, 3, 0.05, 0.05, rng)) for _ in range(600))]
    assert 0.92 < np.mean(covered) < 0.98


def test_hand_made_groups_give_the_textbook_values() -> None:
    # Pair means 2, 6, 2 about 10 / 3: mean square between pairs 2 * (32 / 3) / 2, within 2; half their difference.
    found = components([[1.0, 3.0], [7.0, 5.0], [3.0, 1.0]])
    assert found.seed**2 == pytest.approx(2) and found.pair**2 == pytest.approx((32 / 3 - 2) / 2)


def test_seeds_that_differ_more_than_people_leave_nothing_to_people() -> None:
    found = components([[0.0, 1.0], [1.0, 0.0]])
    assert found.pair == 0 and found.share == 0 and found.low == 0


def test_more_people_are_worth_more_than_more_seeds() -> None:
    found = components(drawn(200, 2, 0.06, 0.02, np.random.default_rng(2)))
    assert found.error(10, 1) < found.error(5, 2)


def test_a_run_with_one_seed_a_pair_is_refused_with_what_would_do(tmp_path) -> None:
    table = load(write_ledger(tmp_path / "run", grids=(3, 7), replicates=3, tile=8))
    with pytest.raises(UsageError, match=r"two seeds on the same pair.*suites/variance\.yaml"):
        lines(table)


def test_variants_and_their_difference_have_a_line_each(tmp_path) -> None:
    table = load(write_ledger(tmp_path / "run", grids=(3, 7), replicates=6, tile=8))  # three pairs, two seeds each
    found = {line.variant: line.components for line in lines(table, ["identity_transfer"])}
    assert list(found) == ["grid 3", "grid 7", "grid 7 - grid 3"]
    assert found["grid 7 - grid 3"].mean == pytest.approx(found["grid 7"].mean - found["grid 3"].mean)
    assert {parts.trials for parts in found.values()} == {6}
