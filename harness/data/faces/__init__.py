"""The built-in face set: a procedural three-dimensional cartoon head whose every factor is known.

`render(dst identity, src's pose)` is the exact truth of a face swap.
"""

from harness.data.faces.named import PAIRS, pair
from harness.data.faces.people import (
    DISTANCE,
    SPLITS,
    identity_distance,
    identity_split,
    random_pair,
    sample_identities,
)
from harness.data.faces.poses import POSE_REGIONS, pose_range, pose_region, sample_poses
from harness.data.faces.render import Render, render
from harness.data.factors import IDENTITY, IDENTITY_INDEX, LANDMARKS, POSE, POSE_INDEX, REGIONS, Factor
from harness.data.looseness import ALIGNED, FREE, VARIATIONS, Looseness

__all__ = [
    "ALIGNED",
    "DISTANCE",
    "FREE",
    "IDENTITY",
    "IDENTITY_INDEX",
    "LANDMARKS",
    "PAIRS",
    "POSE",
    "POSE_INDEX",
    "POSE_REGIONS",
    "REGIONS",
    "SPLITS",
    "VARIATIONS",
    "Factor",
    "Looseness",
    "Render",
    "identity_distance",
    "identity_split",
    "pair",
    "pose_range",
    "pose_region",
    "random_pair",
    "render",
    "sample_identities",
    "sample_poses",
]
