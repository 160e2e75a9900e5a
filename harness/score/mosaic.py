"""How many cells does a mosaic need before somebody can be recognised in it?

The source's picture for a small latent: a face of 3x3 squares is anonymous, one of 7x7 is recognised by those who know
the person. Here both are measured on people whom no recogniser was trained on, as rank-1 identification: whose face is
nearest, among all of them, in other poses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, normalize

from harness.data.faces import ALIGNED, Looseness, identity_split, sample_identities, sample_poses
from harness.data.streams import generator
from harness.score import recognisers
from harness.score.recogniser_data import Pool, render_pool
from metrics.mosaic import mosaic

CELLS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 32, 64)


@dataclass(frozen=True)
class Row:
    """Shares of pictures identified, with 95 % intervals over people. `seen`: by the judge, who knows sharp pictures;

    `known`: by someone who knows these people's mosaics, the nearest mean mosaic in pixel values.
    """

    cells: int
    seen: tuple[float, float, float]
    known: tuple[float, float, float]


def measure(
    cells: Sequence[int] = CELLS, people: int = 100, each: int = 4, seed: int = 0, loose: Looseness = ALIGNED
) -> list[Row]:
    """One row for each of `cells`: `people` of the judging split, `each` poses to know them by, as many to ask of."""
    identities = sample_identities(people, identity_split(recognisers.HELD_OUT))
    poses = sample_poses(people * 2 * each, generator(seed, "eval/mosaic"), "interior", loose)
    pool = render_pool(identities, poses.reshape(people, 2 * each, -1))
    return [_row(pool, count, each) for count in cells]


@torch.no_grad()
def _row(pool: Pool, cells: int, each: int) -> Row:
    sharp = pool.pictures()
    coarse = mosaic(sharp, cells)
    judge = recognisers.embedder()
    known, asked = (_by_person(values, each) for values in (judge(sharp), judge(coarse)))
    faces = normalize(known[0].mean(1), dim=-1)
    seen = _shares((asked[1] @ faces.T).argmax(-1))
    squares = _by_person(adaptive_avg_pool2d(coarse, cells).flatten(1), each)
    nearest = torch.cdist(squares[1].flatten(0, 1), squares[0].mean(1)).argmin(-1)
    return Row(cells, seen, _shares(nearest.reshape(-1, each)))


def _by_person(values: Tensor, each: int) -> tuple[Tensor, Tensor]:
    """(people * 2 * each, K) -> the first and the other `each` rows of every person, (people, each, K) both."""
    rows = values.reshape(-1, 2 * each, values.shape[-1])
    return rows[:, :each], rows[:, each:]


def _shares(answers: Tensor) -> tuple[float, float, float]:
    """Answers (people, each) as indices of people -> the share that is right, and its 95 % interval over people."""
    right = (answers == torch.arange(len(answers))[:, None]).double().mean(1)
    mean = float(right.mean())
    reach = 1.96 * float(right.std()) / math.sqrt(len(right))
    return mean, max(0.0, mean - reach), min(1.0, mean + reach)


def sheet(people: int = 4, cells: Sequence[int] = (2, 3, 4, 5, 6, 7, 16), size: int = 64) -> Tensor:
    """(3, H, W) in sRGB: one row for each person, the picture and its mosaics."""
    identities = sample_identities(people, identity_split(recognisers.HELD_OUT))
    poses = sample_poses(people, generator(0, "eval/mosaic"), "interior", ALIGNED)
    pictures = render_pool(identities, poses[:, None]).pictures()
    shown = [interpolate(x, (size, size), mode="nearest") for x in (*(mosaic(pictures, n) for n in cells), pictures)]
    return torch.cat([torch.cat([*row], 2) for row in zip(*shown, strict=True)], 1)
