"""Rays and surfaces: parallel rays through the pixels meet ellipsoids and the head in closed form or nearly so.

A picture's plane coordinates (U, V) are head units after shift and zoom; depth z grows towards the viewer.
"""

import torch
from torch import Tensor

from harness.data.faces.anatomy import Anatomy, Columns

BEHIND = -4.0  # a depth behind everything


class View:
    """The rays of a batch of pictures: columns u (B, 1, W), rows v (B, H, 1), rotation (B, 3, 3) head to camera."""

    def __init__(self, u: Tensor, v: Tensor, rotation: Tensor, pixel: Tensor):
        self.u = u
        self.v = v
        self.rotation = rotation
        self.pixel = pixel  # (B, 1, 1) width of a ray's pixel

    def entry(self, row: int, column: int) -> Tensor:
        """(B, 1, 1) entry of the rotation."""
        return self.rotation[:, row, column, None, None]

    def local(self, axis: int, z: Tensor) -> Tensor:
        """The head coordinate (0 x, 1 y, 2 z) of the points at camera depth z, (B, H, W)."""
        return self.plane(self.entry(0, axis), self.entry(1, axis), 0.0) + self.entry(2, axis) * z

    def plane(self, a: Tensor, b: Tensor, c: Tensor | float) -> Tensor:
        """a u + b v + c over the picture."""
        return (a * self.u + c) + b * self.v

    def project(self, points: Tensor) -> Tensor:
        """(B, L, 3) head points to (B, L, 3) camera points."""
        return points @ self.rotation.transpose(1, 2)

    def cover(self, distance: Tensor, soft: float = 1.0) -> Tensor:
        """Coverage of a shape from the signed distance to its edge, positive inside; one pixel wide times soft."""
        return (distance / (self.pixel * soft) + 0.5).clamp_(0, 1)


def rotation(c: Columns) -> Tensor:
    """(B, 3, 3) rotation from head to camera: pitch first, then yaw, then roll in the picture."""
    yaw, pitch, roll = (torch.deg2rad(c.state(name)[:, 0, 0]) for name in ("yaw", "pitch", "roll"))
    one, nil = torch.ones_like(yaw), torch.zeros_like(yaw)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, -1).unflatten(-1, (3, 3))

    about_x = matrix(one, nil, nil, nil, pitch.cos(), pitch.sin(), nil, -pitch.sin(), pitch.cos())
    about_y = matrix(yaw.cos(), nil, yaw.sin(), nil, one, nil, -yaw.sin(), nil, yaw.cos())
    about_z = matrix(roll.cos(), roll.sin(), nil, -roll.sin(), roll.cos(), nil, nil, nil, one)
    return about_z @ about_y @ about_x


def pixel_view(c: Columns, size: int) -> View:
    """The rays through the centres of size x size pixels."""
    steps = (torch.arange(size, device=c.pose.device, dtype=torch.float32) + 0.5) * (2.0 / size) - 1.0
    zoom = SCALE * c.state("zoom")
    u = (steps[None, None, :] - c.state("shift_x")) / zoom
    v = (-steps[None, :, None] - c.state("shift_y") + FRAME_DROP) / zoom
    return View(u, v, rotation(c), (2.0 / size) / zoom)


def point_view(points: Tensor, turn: Tensor) -> View:
    """Rays through given camera points (B, L, 2 or more), shaped (B, 1, L)."""
    return View(points[:, None, :, 0], points[:, None, :, 1], turn, torch.full_like(points[:, :1, :1], 0.01))


SCALE = 1.1  # half frames per head unit at zoom 1
FRAME_DROP = 0.05  # the skull's centre stands this far below the frame's, to leave room for hair


def about(axis: int, angle: Tensor) -> Tensor:
    """(B, 3, 3) right-handed rotation by angle (B, 1, 1) radians about a head axis (0 x, 1 y, 2 z)."""
    angle = angle[:, 0, 0]
    turn = torch.zeros(len(angle), 3, 3, device=angle.device)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[:, axis, axis] = 1
    turn[:, i, i] = turn[:, j, j] = angle.cos()
    turn[:, j, i] = angle.sin()
    turn[:, i, j] = -angle.sin()
    return turn


Triple = tuple[Tensor, Tensor, Tensor]


def ellipsoid(view: View, centre: Triple, radii: Triple, axes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Depth and silhouette distance (positive inside), both (B, H, W), of an ellipsoid fixed to the head.

    centre, radii: three (B, 1, 1) each; axes: (B, 3, 3) rotation of the ellipsoid in the head.
    Outside the silhouette the depth falls off steeply from that of the rim.
    """
    front, _, edge = hull(view, centre, radii, axes)
    return front, edge


def hull(view: View, centre: Triple, radii: Triple, axes: Tensor | None = None) -> Triple:
    """As `ellipsoid`, with the depth at which the ray leaves it again: (entry, exit, silhouette distance)."""
    place = torch.stack([x.expand_as(view.pixel)[:, 0, 0] for x in centre], -1)
    size = torch.stack([x.expand_as(view.pixel)[:, 0, 0] for x in radii], -1)
    turn = view.rotation if axes is None else view.rotation @ axes
    m = (turn / (size**2)[:, None, :]) @ turn.transpose(1, 2)
    at = (view.rotation @ place[:, :, None])[:, :, 0]

    def e(i: int, j: int) -> Tensor:
        return m[:, i, j, None, None]

    du, dv = view.u - at[:, 0, None, None], view.v - at[:, 1, None, None]
    # With p = (du, dv, t): t^2 m22 + 2 t (m02 du + m12 dv) + q(du, dv) = 1 has the discriminant disc.
    disc = (e(0, 2) ** 2 - e(2, 2) * e(0, 0)) * du * du + e(2, 2)
    disc = disc + (e(1, 2) ** 2 - e(2, 2) * e(1, 1)) * dv * dv
    disc = torch.addcmul(disc, 2 * (e(0, 2) * e(1, 2) - e(2, 2) * e(0, 1)) * du, dv)
    slope = (-e(0, 2) / e(2, 2)) * du + ((-e(1, 2) / e(2, 2)) * dv + at[:, 2, None, None])
    root = (disc.clamp(min=0).sqrt_() + disc.clamp(max=0)).div_(e(2, 2))
    # 1 - Q of the silhouette ellipse Q(u, v) = 1; its mean radius turns it into a distance.
    radius = (m.inverse()[:, :2, :2].det().clamp(min=1e-12) ** 0.25)[:, None, None]
    return slope + root, slope - root.abs(), disc * (0.5 * radius / e(2, 2))


def head(view: View, a: Anatomy) -> tuple[Tensor, Tensor]:
    """Depth and silhouette distance of the bare head.

    The head is an ellipsoid whose horizontal sections are scaled by a cubic of height; the ray is met by fixed-point
    iteration: the scale of the last hit's height gives the next quadric. Heights change slowly along a ray.
    """
    d = [view.entry(2, i) for i in range(3)]
    x = view.plane(view.entry(0, 0), view.entry(1, 0), 0.0)
    y = view.plane(view.entry(0, 1), view.entry(1, 1), -a.head_centre)
    z = view.plane(view.entry(0, 2), view.entry(1, 2), 0.0)
    wx, wy, wz = a.head_x**-2, a.head_y**-2, a.head_z**-2
    flat2, flat1 = d[0] ** 2 * wx + d[2] ** 2 * wz, (d[0] * wx) * x + (d[2] * wz) * z
    flat0 = wx * x * x + wz * z * z
    tall2, tall1 = d[1] ** 2 * wy, (d[1] * wy) * y
    tall0 = wy * y * y - 1
    height = (y + d[1] * (a.head_z * 0.7)) / a.head_y
    c0, c1, c2, c3 = a.outline
    for _ in range(3):
        height = height.clamp(-1.05, 1.05)
        scale = ((c3 * height + c2) * height + c1) * height + c0
        k = (scale * scale).reciprocal_()
        qa = torch.addcmul(tall2, k, flat2)
        qb = torch.addcmul(tall1, k, flat1)
        disc = qb * qb - qa * torch.addcmul(tall0, k, flat0)
        t = (disc.clamp(min=0).sqrt_() - qb) / qa
        height = (y + d[1] * t) / a.head_y
    return t + disc.clamp(max=0), disc / qa * (0.25 * (a.head_x + a.head_y))


def surface_z(a: Anatomy, x: Tensor, y: Tensor) -> Tensor:
    """The head coordinate z of the face's surface in front of (x, y), broadcast with the anatomy's (B, 1, 1)."""
    height = ((y - a.head_centre) / a.head_y).clamp(-1, 1)
    c0, c1, c2, c3 = a.outline
    scale = ((c3 * height + c2) * height + c1) * height + c0
    return a.head_z * ((1 - height**2) * scale**2 - (x / a.head_x) ** 2).clamp(min=0).sqrt()


def blend(a: Tensor, b: Tensor, width: float) -> Tensor:
    """The nearer of two depths, rounded where they meet over width."""
    h = ((a - b) / (2 * width) + 0.5).clamp_(0, 1)
    return torch.lerp(b, a, h) + (width * h) * (1 - h)


def normal(view: View, depth: Tensor) -> tuple[Tensor, Tensor]:
    """The x and y components of the unit normal of a depth map, by central differences."""
    step = 2 * view.pixel
    padded = torch.nn.functional.pad(depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    gx = (padded[:, 1:-1, :-2] - padded[:, 1:-1, 2:]) / step
    gy = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / step
    length = torch.rsqrt(1 + gx * gx + gy * gy)
    return gx * length, gy * length
