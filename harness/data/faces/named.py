"""Three pairs of people made by hand, for pictures and tutorials: near, mid and far apart."""

import torch

from harness.data.factors import IDENTITY

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


def pair(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The (src, dst) identities, each (I,) float32, of a named pair: "near", "mid" or "far".

    Raises KeyError for an unknown name.
    """
    if name not in PAIRS:
        raise KeyError(f"unknown pair {name!r}; there are {', '.join(PAIRS)}")
    first = 2 * PAIRS.index(name)
    columns = torch.tensor([_PAIRS[factor.name] for factor in IDENTITY])
    return columns[:, first].clone(), columns[:, first + 1].clone()
