"""Which frames the built-in face set holds: people, poses and their regions. Its source is part of the fingerprint.

Poses are blocked by region (`harness.data.faces.sample_poses`): src trains on the interior only, dst on the interior
and the corner, nobody on the extrapolation. So src -> dst in the corner asks for an expression that dst has shown and
src has not, and the extrapolation for one that nobody has shown. Training and evaluation are equally loosely aligned.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from harness.data import faces
from harness.data.faces import ALIGNED, DISTANCE, Looseness
from harness.data.streams import generator

CORNER_TRAINING = 0.2  # share of dst's training frames
EVAL_SHARES = {"interior": 0.625, "corner": 0.1875, "extrapolation": 0.1875}  # of the matched poses: 40, 12, 12 of 64


class Frames(NamedTuple):
    """The frames of one subfolder: `identity` (I,), `poses` (N, P), `regions` N names."""

    folder: str
    person: str
    split: str
    identity: torch.Tensor
    poses: torch.Tensor
    regions: tuple[str, ...]


def people(pair: str | int, distance: tuple[float, float] = DISTANCE) -> dict[str, torch.Tensor]:
    """{"src", "dst"}: the identities, each (I,), of a named pair or of a random pair's number.

    Raises KeyError for an unknown name and ValueError for a distance at which nobody is found.
    """
    both = faces.random_pair(pair, distance) if isinstance(pair, int) else faces.pair(pair)
    return dict(zip(("src", "dst"), both, strict=True))


def plan(
    pair: str | int,
    frames: int,
    eval_frames: int,
    seed: int,
    distance: tuple[float, float] = DISTANCE,
    loose: Looseness = ALIGNED,
) -> list[Frames]:
    """The four subfolders of a face set: src, dst (training), eval/src, eval/dst (same poses, frame by frame).

    Training and evaluation poses come from different streams of `seed`. Raises as `people`.
    """
    identity = people(pair, distance)
    corner = round(CORNER_TRAINING * frames)
    shares = {"src": {"interior": frames}, "dst": {"interior": frames - corner, "corner": corner}}
    blocks = [
        Frames(person, person, "train", identity[person], *_poses(shares[person], seed, f"data/faces/{person}", loose))
        for person in ("src", "dst")
    ]
    counts = {region: round(share * eval_frames) for region, share in EVAL_SHARES.items()}
    counts["interior"] += eval_frames - sum(counts.values())
    matched = _poses(counts, seed, "eval/faces", loose)
    return blocks + [Frames(f"eval/{p}", p, "eval", identity[p], *matched) for p in ("src", "dst")]


def _poses(counts: dict[str, int], seed: int, stream: str, loose: Looseness) -> tuple[torch.Tensor, tuple[str, ...]]:
    """(N, P) poses and their N regions, region after region."""
    rng = generator(seed, stream)
    poses = [faces.sample_poses(count, rng, region, loose) for region, count in counts.items() if count > 0]
    regions = [region for region, count in counts.items() for _ in range(count)]
    return torch.cat(poses), tuple(regions)
