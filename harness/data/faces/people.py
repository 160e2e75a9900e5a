"""Who is shown and how: distributions of identities and poses, disjoint identity splits, and the named pairs."""

import hashlib
import math

import torch

from harness.data.faces.factors import IDENTITY, IDENTITY_INDEX, POSE, POSE_INDEX

SPLITS = ("recogniser_a", "recogniser_b", "regressor", "judge")
POSE_REGIONS = ("interior", "corner", "extrapolation")
TRAINING_YAW = 30.0  # degrees; beyond it a pose is extrapolation
CORNER_YAW = 10.0  # degrees; the corner is yaw above this together with smile above CORNER_SMILE
CORNER_SMILE = 0.3

# Factors that one person has or has not.
_TWO_SIDED = ("hair_length", "fringe", "glasses", "beard", "lashes", "hair_curl")
# Factors that few people show strongly: the square of a uniform draw.
_RARE = ("hair_bun", "freckles")

# The three pairs as columns (near src, near dst, mid src, mid dst, far src, far dst). Chosen by hand and by eye; the
# distances they come to are in `identity_distance` and asserted in the tests.
_PAIRS: dict[str, tuple[float, float, float, float, float, float]] = {
    "face_width": (0.45, 0.60, 0.40, 0.70, 0.75, 0.20),
    "face_height": (0.50, 0.40, 0.65, 0.40, 0.60, 0.35),
    "jaw_width": (0.30, 0.45, 0.70, 0.35, 0.95, 0.15),
    "cheeks": (0.55, 0.65, 0.35, 0.65, 0.30, 0.60),
    "skin_tone": (0.20, 0.34, 0.15, 0.50, 0.10, 0.85),
    "skin_warmth": (0.45, 0.60, 0.30, 0.70, 0.25, 0.60),
    "hair_hue": (0.30, 0.45, 0.15, 0.55, 0.20, 0.05),
    "hair_lightness": (0.30, 0.42, 0.22, 0.62, 0.80, 0.06),
    "hair_length": (0.75, 0.66, 0.10, 0.70, 0.05, 0.95),
    "hair_volume": (0.50, 0.65, 0.55, 0.45, 0.60, 0.75),
    "hair_curl": (0.10, 0.30, 0.15, 0.20, 0.05, 0.90),
    "fringe": (0.70, 0.50, 0.35, 0.75, 0.15, 0.55),
    "parting": (0.30, 0.55, 0.70, 0.35, 0.80, 0.30),
    "hair_bun": (0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "eye_size": (0.60, 0.48, 0.40, 0.70, 0.30, 0.80),
    "eye_spacing": (0.50, 0.58, 0.40, 0.60, 0.55, 0.45),
    "eye_height": (0.50, 0.42, 0.50, 0.45, 0.60, 0.40),
    "eye_tilt": (0.60, 0.50, 0.40, 0.60, 0.30, 0.80),
    "iris_hue": (0.45, 0.62, 0.75, 0.10, 0.75, 0.05),
    "iris_lightness": (0.50, 0.60, 0.65, 0.35, 0.70, 0.20),
    "lashes": (0.70, 0.60, 0.10, 0.75, 0.05, 0.95),
    "brow_thickness": (0.40, 0.52, 0.70, 0.35, 0.85, 0.30),
    "brow_length": (0.50, 0.60, 0.60, 0.45, 0.70, 0.50),
    "brow_angle": (0.50, 0.62, 0.40, 0.60, 0.35, 0.75),
    "brow_lightness": (0.40, 0.40, 0.40, 0.35, 0.70, 0.20),
    "nose_length": (0.40, 0.50, 0.60, 0.35, 0.75, 0.30),
    "nose_width": (0.35, 0.48, 0.45, 0.45, 0.45, 0.70),
    "nose_size": (0.40, 0.52, 0.60, 0.40, 0.75, 0.40),
    "mouth_width": (0.50, 0.62, 0.50, 0.55, 0.45, 0.70),
    "mouth_height": (0.50, 0.45, 0.45, 0.55, 0.40, 0.50),
    "lip_fullness": (0.50, 0.62, 0.25, 0.60, 0.15, 0.90),
    "lip_colour": (0.45, 0.60, 0.10, 0.50, 0.05, 0.85),
    "ear_size": (0.40, 0.50, 0.65, 0.40, 0.80, 0.30),
    "glasses": (0.00, 0.00, 0.00, 0.75, 0.00, 0.80),
    "glasses_shape": (0.40, 0.40, 0.70, 0.30, 0.60, 0.25),
    "glasses_size": (0.50, 0.50, 0.50, 0.60, 0.50, 0.70),
    "glasses_hue": (0.30, 0.30, 0.10, 0.45, 0.10, 0.55),
    "beard": (0.00, 0.00, 0.55, 0.00, 0.90, 0.00),
    "beard_length": (0.30, 0.30, 0.20, 0.30, 0.60, 0.30),
    "cap": (0.00, 0.00, 0.00, 0.00, 0.00, 0.00),
    "cap_hue": (0.50, 0.50, 0.50, 0.50, 0.50, 0.50),
    "blush": (0.40, 0.55, 0.20, 0.50, 0.25, 0.40),
    "freckles": (0.10, 0.30, 0.10, 0.10, 0.10, 0.00),
}
PAIRS = ("near", "mid", "far")


def identity_split(name: str) -> torch.Generator:
    """A fresh CPU generator for one of `SPLITS`; draws for one purpose never repeat those for another.

    Raises KeyError for an unknown name.
    """
    if name not in SPLITS:
        raise KeyError(f"unknown identity split {name!r}; there are {', '.join(SPLITS)}")
    seed = int.from_bytes(hashlib.sha256(f"faces/{name}".encode()).digest()[:8], "big") & (2**63 - 1)
    return torch.Generator().manual_seed(seed)


def sample_identities(n: int, generator: torch.Generator) -> torch.Tensor:
    """(n, I) float32 in [0, 1]: independent draws, most of them uniform.

    Hair length, fringe, curl, glasses, beard and lashes are Beta(.5, .5), which puts most people near either end; bun
    and freckles are squares of uniform draws. Where the lashes are long the beard is halved, so that the two signs of
    style mostly exclude each other. A bun shows above .45, a cap above .7.
    """
    draws = torch.rand(n, len(IDENTITY), generator=generator)
    for name in _TWO_SIDED:
        column = IDENTITY_INDEX[name]
        draws[:, column] = torch.sin(draws[:, column] * (math.pi / 2)) ** 2
    for name in _RARE:
        draws[:, IDENTITY_INDEX[name]] **= 2
    lashes = draws[:, IDENTITY_INDEX["lashes"]]
    draws[:, IDENTITY_INDEX["beard"]] *= torch.where(lashes > 0.5, 0.5, 1.0)
    return draws


def sample_poses(n: int, generator: torch.Generator, region: str = "all") -> torch.Tensor:
    """(n, P) float32 uniform over the box of `POSE`, restricted to a region of it.

    Only blink is the square of a uniform draw: open eyes are the more frequent, and its spread is not less.

    region: "extrapolation" |yaw| > 30 degrees; "corner" 10 < yaw <= 30 with smile > .3; "interior" the rest of
    |yaw| <= 30; "all" no restriction (a quarter of the draws is extrapolation).
    """
    if region != "all" and region not in POSE_REGIONS:
        raise KeyError(f"unknown pose region {region!r}; there are all, {', '.join(POSE_REGIONS)}")
    low = torch.tensor([factor.low for factor in POSE])
    high = torch.tensor([factor.high for factor in POSE])
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


def pair(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The (src, dst) identities, each (I,) float32, of a named pair: "near", "mid" or "far".

    Raises KeyError for an unknown name.
    """
    if name not in PAIRS:
        raise KeyError(f"unknown pair {name!r}; there are {', '.join(PAIRS)}")
    first = 2 * PAIRS.index(name)
    columns = torch.tensor([_PAIRS[factor.name] for factor in IDENTITY])
    return columns[:, first].clone(), columns[:, first + 1].clone()


def identity_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Distance of identities (..., I) in standard deviations: root mean square of the whitened factor differences.

    Two independent draws of `sample_identities` are 1.4 apart on average.
    """
    return (((a - b) / _spread().to(a)) ** 2).mean(-1).sqrt()


def _spread() -> torch.Tensor:
    # Closed forms: uniform 1/12, Beta(.5, .5) 1/8, squared uniform 4/45; the beard's halving is left out.
    variance = [1 / 8 if f.name in _TWO_SIDED else 4 / 45 if f.name in _RARE else 1 / 12 for f in IDENTITY]
    return torch.tensor(variance).sqrt()
