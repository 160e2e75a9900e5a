"""Mosaics of a crowd: who is recognised in them, by a recogniser and by their colours."""

import pytest

from harness.score.mosaic import CELLS, measure, sheet


@pytest.mark.long
def test_sharp_faces_are_recognised_and_one_square_is_anonymous_to_the_judge() -> None:
    one, sharp = measure((1, 64), people=24, each=2)
    assert one.seen[0] < 0.3 and sharp.seen[0] > 0.95
    assert one.known[0] < sharp.known[0]
    for share in (one.seen, one.known, sharp.known):
        assert 0 <= share[1] <= share[0] <= share[2] <= 1


def test_the_sheet_has_a_row_for_each_person_and_a_column_for_each_mosaic() -> None:
    assert sheet(people=2, cells=(3, 7), size=32).shape == (3, 64, 96)
    assert 3 in CELLS and 7 in CELLS
