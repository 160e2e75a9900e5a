"""Matched "faces" for the metric tests: coloured blobs whose shape is the person and whose place is the pose."""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.case import Case

POSE_NAMES = ("yaw", "pitch", "roll", "smile", "mouth_open", "blink", "brow", "gaze_x", "gaze_y")


def poses(count: int, seed: int = 0) -> Tensor:
    """(count, 9) factors in [-1, 1]; yaw, pitch and roll are in degrees up to 40."""
    factors = torch.rand(count, len(POSE_NAMES), generator=torch.Generator().manual_seed(seed)) * 2 - 1
    factors[:, :3] *= 40
    return factors


def faces(person: int, pose: Tensor, size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, 3, S, S), alphas (B, 1, S, S), landmarks (B, 5, 2): left eye, right eye, nose, two mouth corners."""
    look = torch.Generator().manual_seed(100 + person)
    colours = 0.15 + 0.8 * torch.rand(4, 3, generator=look)
    shape = torch.rand(4, generator=look)
    axis = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    turn, nod = pose[:, 0] / 400, pose[:, 1] / 400
    points = torch.tensor([[0.36, 0.42], [0.64, 0.42], [0.5, 0.55], [0.42, 0.7], [0.58, 0.7]])
    landmarks = points + torch.stack([turn, nod], dim=-1)[:, None]

    def blob(centre: Tensor, wide: Tensor | float, high: Tensor | float, soft: float = 0.12) -> Tensor:
        across = (x - centre[:, 0, None, None]) / torch.as_tensor(wide).reshape(-1, 1, 1)
        down = (y - centre[:, 1, None, None]) / torch.as_tensor(high).reshape(-1, 1, 1)
        return torch.sigmoid((1 - (across**2 + down**2).sqrt()) / soft)[:, None]

    middle = torch.tensor([0.5, 0.5]) + torch.stack([turn, nod], dim=-1) * 0.3
    alpha = torch.clamp(blob(middle, 0.3 + 0.06 * shape[0], 0.36 + 0.06 * shape[1], 0.02) * 1.02, max=1)
    image = colours[0].reshape(1, 3, 1, 1).expand(len(pose), 3, size, size)
    mouth = landmarks[:, 3:].mean(1)
    for patch, colour in (
        (blob(landmarks[:, 0], 0.06 + 0.04 * shape[2], 0.04 * (1.3 + pose[:, 5])), colours[1]),
        (blob(landmarks[:, 1], 0.06 + 0.04 * shape[2], 0.04 * (1.3 + pose[:, 5])), colours[1]),
        (blob(landmarks[:, 2], 0.04, 0.05 + 0.04 * shape[3]), colours[2]),
        (blob(mouth, 0.1 + 0.03 * pose[:, 3], 0.04 + 0.02 * pose[:, 4]), colours[3]),
    ):
        image = image * (1 - patch) + colour.reshape(1, 3, 1, 1) * patch
    return image * alpha, alpha, landmarks


def matched_case(count: int = 16, size: int = 64, **options) -> Case:
    """The oracle: swaps are the exact truth, reconstructions the exact images."""
    pose = poses(count)
    made = {"src": faces(0, pose, size), "dst": faces(1, pose, size)}
    images = {person: parts[0] for person, parts in made.items()}
    return Case(
        images=images,
        alpha={person: parts[1] for person, parts in made.items()},
        swap={"src->dst": images["dst"], "dst->src": images["src"]},
        rec=dict(images),
        matched=True,
        landmarks={person: parts[2] for person, parts in made.items()},
        landmark_names=("eye_left", "eye_right", "nose", "mouth_left", "mouth_right"),
        pose=pose,
        pose_names=POSE_NAMES,
        **options,
    )
