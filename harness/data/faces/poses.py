"""How people are shown: poses, their regions, and how loosely a face set is aligned."""

import torch

from harness.data.factors import POSE, POSE_INDEX
from harness.data.looseness import FREE, Looseness

POSE_REGIONS = ("interior", "corner", "extrapolation")
TRAINING_YAW = 30.0  # degrees; beyond it a pose is extrapolation
CORNER_YAW = 10.0  # degrees; the corner is yaw above this together with smile above CORNER_SMILE
CORNER_SMILE = 0.3


def pose_range(looseness: Looseness = FREE) -> tuple[torch.Tensor, torch.Tensor]:
    """(low, high), each (P,): the box of poses. That of `FREE` is the box of `POSE`."""
    box = {factor.name: (factor.low, factor.high) for factor in POSE}
    for name, reach in (("roll", looseness.roll), ("pitch", looseness.pitch)):
        box[name] = (-reach, reach)
    for name in ("shift_x", "shift_y"):
        box[name] = (-looseness.shift, looseness.shift)
    for name in ("light_azimuth", "light_elevation"):
        middle, reach = sum(box[name]) / 2, (box[name][1] - box[name][0]) / 2 * looseness.light
        box[name] = (middle - reach, middle + reach)
    box["zoom"] = ((1 - looseness.zoom) / looseness.crop, (1 + looseness.zoom) / looseness.crop)
    low, high = zip(*box.values(), strict=True)
    return torch.tensor(low), torch.tensor(high)


def sample_poses(n: int, generator: torch.Generator, region: str = "all", looseness: Looseness = FREE) -> torch.Tensor:
    """(n, P) float32 uniform over `pose_range(looseness)`, restricted to a region of it.

    Only blink is the square of a uniform draw: open eyes are the more frequent, and its spread is not less. Equal
    generators give equal yaw, gaze and expression at every looseness.

    region: "extrapolation" |yaw| > 30 degrees; "corner" 10 < yaw <= 30 with smile > .3; "interior" the rest of
    |yaw| <= 30; "all" no restriction (a quarter of the draws is extrapolation).
    """
    if region != "all" and region not in POSE_REGIONS:
        raise KeyError(f"unknown pose region {region!r}; there are all, {', '.join(POSE_REGIONS)}")
    low, high = pose_range(looseness)
    poses = low + (high - low) * torch.rand(n, len(POSE), generator=generator)
    poses[:, POSE_INDEX["blink"]] **= 2
    if region == "all":
        return poses
    yaw, smile = POSE_INDEX["yaw"], POSE_INDEX["smile"]
    if region == "extrapolation":
        outer = poses[:, yaw] / high[yaw]
        poses[:, yaw] = outer.sign() * (TRAINING_YAW + (high[yaw] - TRAINING_YAW) * outer.abs().clamp(min=1e-3))
        return poses
    if region == "corner":
        poses[:, yaw] = CORNER_YAW + 1e-3 + (TRAINING_YAW - CORNER_YAW - 1e-3) * (poses[:, yaw] - low[yaw]) / 80.0
        poses[:, smile] = CORNER_SMILE + 1e-3 + (1 - CORNER_SMILE - 1e-3) * (poses[:, smile] + 1) / 2
        return poses
    poses[:, yaw] *= TRAINING_YAW / high[yaw]
    while (redo := _in_corner(poses)).any():
        draws = torch.rand(int(redo.sum()), 2, generator=generator) * 2 - 1
        poses[redo, yaw], poses[redo, smile] = draws[:, 0] * TRAINING_YAW, draws[:, 1]
    return poses


def pose_region(poses: torch.Tensor) -> list[str]:
    """The region of each of (n, P) poses: one of `POSE_REGIONS`."""
    outside = poses[:, POSE_INDEX["yaw"]].abs() > TRAINING_YAW
    corner = _in_corner(poses)
    return [
        "extrapolation" if far else "corner" if near else "interior"
        for far, near in zip(outside.tolist(), corner.tolist(), strict=True)
    ]


def _in_corner(poses: torch.Tensor) -> torch.Tensor:
    yaw = poses[:, POSE_INDEX["yaw"]]
    return (yaw > CORNER_YAW) & (yaw <= TRAINING_YAW) & (poses[:, POSE_INDEX["smile"]] > CORNER_SMILE)
