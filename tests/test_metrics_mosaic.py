"""Mosaics: squares of mean colour, and how many of them a recogniser needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from metrics.case import Case
from metrics.mosaic import CELLS, EVALUATORS, mosaic


def test_a_mosaic_has_squares_of_the_mean_colour_and_keeps_the_size() -> None:
    picture = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = mosaic(picture, 3)
    assert found.shape == picture.shape
    assert torch.allclose(found[:, :, :4, :4], picture[:, :, :4, :4].mean((2, 3), keepdim=True).expand(-1, -1, 4, 4))
    assert len(found[0, 0].unique()) <= 9
    assert torch.allclose(mosaic(found, 3), found)


def stripes(period: int, count: int = 4) -> Tensor:
    """(count, 3, 42, 42) pictures of stripes: a mosaic with cells of a whole period is plain grey."""
    row = (torch.arange(42) % period < period // 2).float()
    return row.expand(count, 3, 42, 42).contiguous()


def embed(images: Tensor) -> Tensor:
    """(B, E) unit vectors that see pixels: nothing but what a picture shows."""
    flat = images.mean(1).flatten(1) - images.mean((1, 2, 3))[:, None] + 1e-3
    return torch.nn.functional.normalize(flat, dim=1)


def case(strangers: int | None) -> Case:
    images = {"src": stripes(14), "dst": 0.9 * stripes(14).flip(3)}
    noise = torch.rand(strangers or 1, 3, 42, 42, generator=torch.Generator().manual_seed(1))
    return Case(
        images=images, alpha={p: torch.ones(4, 1, 42, 42) for p in images}, rec=images,
        swap={"src->dst": images["dst"], "dst->src": images["src"]}, embedder=embed,
        distractors=None if strangers is None else lambda: noise,
    )  # fmt: skip


def test_people_that_differ_within_a_cell_are_lost_in_the_mosaic_and_found_in_a_finer_one() -> None:
    found = dict(EVALUATORS["mosaic"].run(case(60)))
    assert list(found) == [f"mosaic_{cells}" for cells in CELLS]
    assert all(values.shape == (8,) and set(values) <= {0.0, 1.0} for values in found.values())
    assert found["mosaic_6"].mean() == 1.0  # two cells a period show the stripes
    assert found["mosaic_3"].mean() <= 0.5  # one cell a period is grey for both people


def test_without_other_people_there_is_nobody_to_tell_from() -> None:
    alone = case(None)
    found = dict(EVALUATORS["mosaic"].run(alone))
    assert np.isnan(found["mosaic_3"]).all() and "other people" in alone.notes["mosaic_3"]
    assert {info.bounds for info in EVALUATORS["mosaic"].infos} == {(0.0, 1.0)}


@pytest.mark.parametrize("cells", CELLS)
def test_what_is_flat_stays_flat(cells: int) -> None:
    assert torch.allclose(mosaic(torch.full((1, 3, 20, 20), 0.3), cells), torch.full((1, 3, 20, 20), 0.3))
