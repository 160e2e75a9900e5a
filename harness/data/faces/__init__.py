"""The built-in face set: a procedural three-dimensional cartoon head whose every factor is known.

`render(dst identity, src's pose)` is the exact truth of a face swap.
"""

from harness.data.faces.factors import IDENTITY, IDENTITY_INDEX, LANDMARKS, POSE, POSE_INDEX, REGIONS, Factor
from harness.data.faces.people import (
    PAIRS,
    POSE_REGIONS,
    SPLITS,
    identity_distance,
    identity_split,
    pair,
    pose_region,
    sample_identities,
    sample_poses,
)
from harness.data.faces.render import Render, render

__all__ = [
    "IDENTITY",
    "IDENTITY_INDEX",
    "LANDMARKS",
    "PAIRS",
    "POSE",
    "POSE_INDEX",
    "POSE_REGIONS",
    "REGIONS",
    "SPLITS",
    "Factor",
    "Render",
    "identity_distance",
    "identity_split",
    "pair",
    "pose_region",
    "render",
    "sample_identities",
    "sample_poses",
]
