"""Mosaics: means of light in squares, and who is recognised in them."""

import pytest
import torch

from harness.data.encoding import to_linear
from harness.score.mosaic import CELLS, measure, mosaic, sheet


def test_a_mosaic_has_that_many_squares_each_the_mean_of_its_light() -> None:
    pictures = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    coarse = mosaic(pictures, 3)
    assert coarse.shape == pictures.shape
    square = coarse[:, :, 4:8, 8:12]
    assert (square == square[:, :, :1, :1]).all()
    light = to_linear(pictures, "srgb")[:, :, 4:8, 8:12].mean((2, 3))
    assert torch.allclose(to_linear(square[:, :, 0, 0], "srgb"), light, atol=1e-5)
    assert len(coarse[0, 0].unique()) == 9


def test_as_many_cells_as_pixels_change_nothing() -> None:
    pictures = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(mosaic(pictures, 16), pictures, atol=1e-5)


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
