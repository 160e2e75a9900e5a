"""Exact landmarks: named points of the anatomy, placed on the face's surface and projected."""

import torch
from torch import Tensor

from harness.data.faces.anatomy import Anatomy, Columns
from harness.data.faces.geometry import FRAME_DROP, SCALE, View, point_view, surface_z
from harness.data.faces.skin import skin_depth
from harness.data.factors import LANDMARKS

EAR_Z = -0.06  # the ears stand a little behind the head's middle
HIDDEN_BY = 0.05  # head units of skin in front of a point that hide it


def head_points(a: Anatomy) -> Tensor:
    """(B, L, 3) landmarks in head coordinates, in the order of `LANDMARKS`."""
    nil = torch.zeros_like(a.eye_x)
    lid_u = torch.minimum(a.lid_upper, torch.ones_like(nil)) * a.eye_ry
    lid_l = torch.maximum(a.lid_lower, -torch.ones_like(nil)) * a.eye_ry
    corner = a.eye_rx * 0.96
    sag = -0.26 * a.brow_half
    curve = a.mouth_mid
    jaw_y = -0.62 * a.head_y + a.head_centre
    c0, c1, c2, c3 = a.outline
    jaw_scale = c0 - 0.62 * c1 + 0.62**2 * c2 - 0.62**3 * c3
    jaw_x = a.head_x * jaw_scale * (1 - 0.62**2) ** 0.5
    front = surface_z(a, nil, a.nose_y)
    points: dict[str, tuple[Tensor, Tensor, Tensor | None]] = {
        "nose_tip": (nil, a.nose_y, front + a.nose_z + a.nose_r + 0.02),
        "lip_top": (nil, curve + a.mouth_up + a.lip_upper * 0.7, None),
        "lip_inner_top": (nil, curve + a.mouth_up, None),
        "lip_inner_bottom": (nil, curve - a.mouth_down, None),
        "lip_bottom": (nil, curve - a.mouth_down - a.lip_lower, None),
        "chin": (nil, -0.93 * a.head_y + a.head_centre, None),
    }
    for name, s in (("left", -1.0), ("right", 1.0)):
        points |= {
            f"eye_{name}": (s * a.eye_x, a.eye_y, None),
            f"eye_{name}_outer": (s * (a.eye_x + corner), a.eye_y + a.eye_tilt * corner, None),
            f"eye_{name}_inner": (s * (a.eye_x - corner), a.eye_y - a.eye_tilt * corner, None),
            f"eye_{name}_upper": (s * a.eye_x, a.eye_y + lid_u, None),
            f"eye_{name}_lower": (s * a.eye_x, a.eye_y + lid_l, None),
            f"iris_{name}": (s * a.eye_x + a.gaze_x, a.eye_y + a.gaze_y + a.eye_tilt * s * a.gaze_x, None),
            f"brow_{name}_outer": (s * (a.brow_x + a.brow_half), a.brow_y + a.brow_slope * a.brow_half + sag, None),
            f"brow_{name}_inner": (s * (a.brow_x - a.brow_half), a.brow_y - a.brow_slope * a.brow_half + sag, None),
            f"nose_{name}": (s * (a.nose_wing + 0.45 * a.nose_r), a.nose_y - 0.012, front + 0.3 * a.nose_r),
            f"mouth_{name}": (s * a.mouth_half, a.mouth_corner, None),
            f"jaw_{name}": (s * jaw_x, jaw_y, nil),
            f"ear_{name}": (s * a.ear_x, a.ear_y, nil + EAR_Z),
        }
    rows = []
    for name in LANDMARKS:
        x, y, z = points[name]
        rows.append(torch.cat([x, y, surface_z(a, x, y) if z is None else z], -1))
    return torch.cat(rows, 1)


def project(view: View, c: Columns, a: Anatomy) -> tuple[Tensor, Tensor]:
    """(B, L, 2) landmarks in fractions of the frame (x right, y down), and (B, L) whether no skin hides them."""
    points = view.project(head_points(a))
    depth, edge, _ = skin_depth(point_view(points, view.rotation), a)
    visible = (points[:, :, 2] > depth[:, 0] - HIDDEN_BY) | (edge[:, 0] < 0)
    zoom = SCALE * c.state("zoom")[:, 0]
    u = points[:, :, 0] * zoom + c.state("shift_x")[:, 0]
    v = FRAME_DROP - points[:, :, 1] * zoom - c.state("shift_y")[:, 0]
    return torch.stack([(u + 1) / 2, (v + 1) / 2], -1), visible
