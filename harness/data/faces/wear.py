"""What a head wears: glasses that stand off the face, and a cap with a brim."""

import torch
from torch import Tensor

from harness.data.faces import colour
from harness.data.faces.anatomy import Anatomy, Columns, step_between
from harness.data.faces.colour import Colour, Paint
from harness.data.faces.geometry import View, about, ellipsoid, normal, surface_z
from harness.data.faces.layer import Layer

GLASSES_FROM = 0.40  # glasses above which there are any
CAP_FROM = 0.70  # cap above which there is one


def _presence(c: Columns) -> Tensor:
    return step_between(c.trait("glasses"), GLASSES_FROM, 0.50)


def _rim_colour(c: Columns) -> Colour:
    return colour.palette((0x17171B, 0x6B3A1C, 0xB3212C, 0x23479E, 0x12837E), c.trait("glasses_hue"))


def _lens_plane(a: Anatomy) -> Tensor:
    nil = torch.zeros_like(a.eye_x)
    return surface_z(a, nil, a.eye_y) + 0.085


BEND = 0.42  # how fast the lenses' sheet recedes sideways, per unit of x squared


def _height(c: Columns) -> Tensor:
    return c.trait("glasses_size", 0.150, 0.190)


def _lens(c: Columns, a: Anatomy) -> tuple[Tensor, Tensor]:
    """Half width and |x| of the middle of a lens."""
    width = _height(c) * c.trait("glasses_shape", 1.02, 1.22)
    return width, torch.maximum(a.eye_x, width + 0.02)


def glasses(view: View, c: Columns, a: Anatomy) -> Layer:
    """Rims, bridge and lenses on a gently bent sheet in front of the eyes."""
    plane = _lens_plane(a)
    across = view.entry(2, 2)
    z0 = view.plane(view.entry(0, 2), view.entry(1, 2), 0.0)
    depth = (plane - z0) / across
    x = view.local(0, depth)
    depth = depth - (BEND / across) * x * x
    x, y = view.local(0, depth), view.local(1, depth)
    height = _height(c)
    width, centre = _lens(c, a)
    corner = height * c.trait("glasses_shape", 1.0, 0.42)
    lx, ly = x.abs() - centre, y - a.eye_y + 0.012
    qx, qy = (lx.abs() - width + corner).clamp_(min=0), (ly.abs() - height + corner).clamp_(min=0)
    inside = corner - torch.sqrt(qx * qx + qy * qy + 1e-9)
    thick = 0.014 + 0.026 * step_between(c.trait("glasses"), 0.45, 1.0)
    rim = thick - (inside - 0.2 * thick).abs()
    bridge = torch.minimum(0.75 * thick - (ly - 0.055 + 0.9 * x * x / centre).abs(), centre - width - x.abs() + 0.01)
    solid = torch.maximum(rim, bridge)
    frame = view.cover(solid)
    lens = view.cover(inside)
    # Two slanted bands of reflected sky on each lens.
    slant = (lx + 0.55 * ly) / height
    streak = ((0.13 - (slant + 0.42).abs()) * 40).clamp_(0, 1) + ((0.05 - (slant + 0.12).abs()) * 40).clamp_(0, 1)
    cover = torch.maximum(frame, lens * (0.03 + 0.12 * streak)) * _presence(c)
    paint = Paint(colour.plain(0xEAF4FF, a.eye_x), x)
    paint.over(frame, _rim_colour(c))
    return Layer(
        depth, cover, paint.planes, normal(view, depth + 0.7 * solid.clamp(min=0)), 0.15 + 0.6 * frame, "glasses"
    )


def arms(view: View, c: Columns, a: Anatomy) -> list[Layer]:
    """The two arms from the lenses' outer rims back to the ears."""
    nil = torch.zeros_like(a.eye_x)
    width, centre = _lens(c, a)
    x0, x1 = centre + width, a.head_x + 0.02
    z0, z1 = _lens_plane(a) - BEND * x0 * x0, nil - 0.06
    thick = 0.013 + 0.012 * c.trait("glasses")
    half = torch.sqrt((x1 - x0) ** 2 + (z0 - z1) ** 2) / 2
    layers = []
    for side in (-1.0, 1.0):
        depth, edge = ellipsoid(
            view,
            (side * (x0 + x1) / 2, a.eye_y + 0.03, (z0 + z1) / 2),
            (thick, thick * 1.3, half * 1.05),
            about(1, -side * torch.atan2(x1 - x0, z0 - z1)),
        )
        paint = Paint(_rim_colour(c), depth)
        cover = view.cover(edge * 0.6) * _presence(c)
        layers.append(Layer(depth, cover, paint.planes, normal(view, depth), 0.5, "glasses"))
    return layers


def cap(view: View, c: Columns, a: Anatomy) -> list[Layer]:
    """A cap's dome and its brim."""
    presence = step_between(c.trait("cap"), CAP_FROM, 0.75)
    deep = step_between(c.trait("cap"), 0.72, 1.0)
    nil = torch.zeros_like(presence)
    tone = colour.palette((0xD8343A, 0xE9A820, 0x2F9E5B, 0x2C6FD1, 0x8048B8), c.trait("cap_hue"))
    band = a.forehead + 0.19 - 0.09 * deep
    grow = 0.05 + 0.03 * c.trait("hair_length")
    low, top = nil - 0.70, a.head_y + 0.125
    depth, edge = ellipsoid(
        view, (nil, (top + low) / 2, nil - 0.04), (a.head_x + grow, (top - low) / 2, a.head_z + 0.07 + grow)
    )
    x, y, z = (view.local(i, depth) for i in range(3))
    cut = y - band + 0.10 * (0.35 - z)
    fan = torch.atan2(x, (a.head_y + 0.5 - y).clamp(min=0.1))
    seam = torch.sin(6 * fan)
    paint = Paint(tone, x)
    paint.shade(1 - 0.35 * (1 - seam.abs() * 9).clamp(min=0))
    paint.over(view.cover(0.055 - cut), colour.scaled(tone, 0.62))
    cover = torch.minimum(view.cover(edge), view.cover(cut)) * presence
    dome = Layer(depth, cover, paint.planes, normal(view, depth + 0.03 * (cut / 0.03).clamp(0, 1)), 0.12, "cap")
    reach = surface_z(a, nil, band)
    depth, edge = ellipsoid(
        view,
        (nil, band + 0.01, reach - 0.04),
        (a.head_x * 0.86, nil + 0.050, nil + 0.42),
        about(0, nil + 0.26),
    )
    paint = Paint(colour.scaled(tone, 0.85), depth)
    brim = Layer(depth, view.cover(edge) * presence, paint.planes, normal(view, depth), 0.15, "cap")
    return [dome, brim]
