"""From factors to measures: the sizes and places of everything on a head, in head units.

Head units: the frame is 2 wide at zoom 1; x is the image's right, y up, z towards the viewer of a frontal head; the
origin is the centre of the skull. Every measure is a (B, 1, 1) tensor, so that it broadcasts over pictures.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from harness.data.factors import IDENTITY_INDEX, POSE_INDEX


class Columns:
    """Named access to the columns of (B, I) identities and (B, P) poses as (B, 1, 1) tensors."""

    def __init__(self, identity: Tensor, pose: Tensor):
        self.identity = identity
        self.pose = pose

    def trait(self, name: str, low: float = 0.0, high: float = 1.0) -> Tensor:
        """An identity factor, mapped from [0, 1] to [low, high]."""
        return low + (high - low) * self.identity[:, IDENTITY_INDEX[name], None, None]

    def state(self, name: str) -> Tensor:
        """A pose factor in its own unit."""
        return self.pose[:, POSE_INDEX[name], None, None]


def step_between(x: Tensor, low: float, high: float) -> Tensor:
    """The cubic step from 0 at low to 1 at high."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Anatomy:
    """Measures of a batch of heads in their present expression; each (B, 1, 1) in head units unless noted."""

    head_x: Tensor  # half width at mid height
    head_y: Tensor  # half height, jaw drop included
    head_z: Tensor
    head_centre: Tensor  # y of the middle between crown and chin
    outline: tuple[Tensor, Tensor, Tensor, Tensor]  # cubic in y / head_y: factor on width, lowest power first
    eye_x: Tensor
    eye_y: Tensor
    eye_rx: Tensor
    eye_ry: Tensor
    eye_tilt: Tensor  # rise of y towards the outside, per unit of x
    lid_upper: Tensor  # lid edges at the eye's middle and their bend, in eye_ry
    lid_upper_bend: Tensor
    lid_lower: Tensor
    lid_lower_bend: Tensor
    iris_r: Tensor
    gaze_x: Tensor
    gaze_y: Tensor
    forehead: Tensor  # height of relaxed brows, for what does not move with them
    brow_x: Tensor  # middle of the brow
    brow_y: Tensor
    brow_half: Tensor
    brow_slope: Tensor
    brow_thickness: Tensor
    nose_y: Tensor  # tip
    nose_r: Tensor
    nose_wing: Tensor  # x of the wings
    nose_z: Tensor  # z of the tip ball's centre
    mouth_y: Tensor
    mouth_half: Tensor
    mouth_corner: Tensor  # height of the closed mouth's line at its corners and at its middle
    mouth_mid: Tensor
    mouth_up: Tensor  # opening above and below the line of the closed mouth
    mouth_down: Tensor
    lip_upper: Tensor
    lip_lower: Tensor
    ear_r: Tensor
    ear_x: Tensor
    ear_y: Tensor


def measure(c: Columns) -> Anatomy:
    """The anatomy of (B, I) identities in (B, P) poses."""
    opened, smile, blink, brow = c.state("mouth_open"), c.state("smile"), c.state("blink"), c.state("brow")
    head_x = c.trait("face_width", 0.50, 0.595)
    drop = 0.09 * opened
    relaxed = c.trait("face_height", 0.625, 0.71)
    head_y = relaxed + drop / 2
    # The outline goes through these widths at the crown, eye, cheek and chin heights.
    cheek, jaw = c.trait("cheeks", 0.97, 1.10) + 0.02 * smile, c.trait("jaw_width", 0.80, 1.10)
    outline = _cubic((1.0, 0.25, -0.4, -0.9), (c.trait("jaw_width", 1.02, 0.98), torch.ones_like(jaw), cheek, jaw))
    eye_ry = c.trait("eye_size", 0.118, 0.158)
    eye_y = c.trait("eye_height", -0.035, 0.045)
    eye_x = c.trait("eye_spacing", 0.195, 0.245) + 0.03 * (c.trait("face_width") - 0.5)
    squint = (0.30 * smile).clamp(min=0)
    nose_y = eye_y - c.trait("nose_length", 0.13, 0.23)
    # A share of the way from the nose to the chin, so that an open mouth stays on any face.
    mouth_y = nose_y - (nose_y + relaxed) * c.trait("mouth_height", 0.46, 0.37) - 0.005 * opened
    nose_r = c.trait("nose_size", 0.066, 0.105)
    lip = c.trait("lip_fullness")
    ear_r = c.trait("ear_size", 0.105, 0.165)
    return Anatomy(
        head_x=head_x,
        head_y=head_y,
        head_z=head_x * 0.35 + 0.36,
        head_centre=-drop / 2,
        outline=outline,
        eye_x=eye_x,
        eye_y=eye_y,
        eye_rx=eye_ry * 1.10,
        eye_ry=eye_ry,
        eye_tilt=c.trait("eye_tilt", -0.14, 0.22),
        lid_upper=0.86 - 1.28 * blink - 0.12 * squint + 0.08 * brow * (1 - blink),
        lid_upper_bend=0.10 - 0.42 * blink,
        lid_lower=-1.05 + squint + (0.87 - squint) * blink,
        lid_lower_bend=-0.32 * blink + 0.25 * squint * (1 - blink),
        iris_r=0.70 * eye_ry,
        gaze_x=0.44 * eye_ry * c.state("gaze_x"),
        gaze_y=0.34 * eye_ry * c.state("gaze_y"),
        forehead=eye_y + eye_ry + c.trait("brow_thickness", 0.075, 0.095),
        brow_x=eye_x * 1.03,
        brow_y=eye_y + eye_ry + c.trait("brow_thickness", 0.055, 0.075) + 0.075 * brow + 0.02,
        brow_half=c.trait("brow_length", 0.105, 0.165),
        brow_slope=c.trait("brow_angle", -0.30, 0.24) + 0.32 * (-brow).clamp(min=0) - 0.10 * brow.clamp(min=0),
        brow_thickness=c.trait("brow_thickness", 0.019, 0.047),
        nose_y=nose_y,
        nose_r=nose_r,
        nose_wing=nose_r * 0.55 + c.trait("nose_width", 0.0, 0.055),
        nose_z=c.trait("nose_size", 0.005, 0.045),
        mouth_y=mouth_y,
        mouth_half=c.trait("mouth_width", 0.170, 0.250) * (1 + 0.25 * smile - 0.16 * opened),
        mouth_corner=mouth_y + 0.052 * smile + 0.030 * smile.clamp(max=0),
        mouth_mid=mouth_y - 0.066 * smile + 0.030 * smile.clamp(max=0),
        mouth_up=0.045 * opened + 0.006,
        mouth_down=0.180 * opened + 0.007,
        lip_upper=0.016 + 0.030 * lip,
        lip_lower=0.020 + 0.038 * lip,
        ear_r=ear_r,
        # Long hair lies over the ears and presses them to the head.
        ear_x=head_x * 0.99 + (0.42 - 0.75 * step_between(c.trait("hair_length"), 0.30, 0.44)) * ear_r,
        ear_y=eye_y - 0.06,
    )


def _cubic(
    heights: tuple[float, float, float, float], widths: tuple[Tensor, Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coefficients, lowest power first, of the cubic through four (height, width) points."""
    powers = torch.linalg.inv(torch.tensor([[h**k for k in range(4)] for h in heights], dtype=torch.float64))
    w0, w1, w2, w3 = widths
    c0, c1, c2, c3 = (a * w0 + b * w1 + c * w2 + d * w3 for a, b, c, d in powers.tolist())
    return c0, c1, c2, c3
