"""Hair: a mass behind the head, a shell over the skull cut by the hairline, locks beside the face, a bun."""

import torch
from torch import Tensor

from harness.data.faces import colour
from harness.data.faces.anatomy import Anatomy, Columns, step_between
from harness.data.faces.colour import Paint
from harness.data.faces.geometry import View, ellipsoid, normal
from harness.data.faces.skin import Layer


def _strands(c: Columns, a: Anatomy, x: Tensor, y: Tensor) -> Tensor:
    """A ripple in [-1, 1] that runs along the strands: they fan out from the parting on the crown."""
    part = c.trait("parting", -0.26, 0.26)
    fan = torch.atan2(x - part, (a.head_y * 1.25 - y).clamp(min=0.08))
    wave = c.trait("hair_curl") * 0.10
    fan = fan + wave * torch.sin(17 * y + 5 * x)
    return 0.6 * torch.sin(19 * fan) + 0.4 * torch.sin(43 * fan + 1.3)


def hairline(c: Columns, a: Anatomy, x: Tensor) -> Tensor:
    """Height of the hairline over the face at x: a fringe swept to both sides of the parting, in locks."""
    part, fringe = c.trait("parting", -0.26, 0.26), c.trait("fringe")
    off = x - part
    bare = a.brow_y + 0.17 - 0.9 * (x / a.head_x) ** 4
    sweep = 0.22 * torch.exp(-((off / 0.11) ** 2)) * (1 - 0.6 * fringe)
    lock = (torch.sin(off * 15.0).abs() - 0.5) * 0.035
    full = a.brow_y - 0.015 + sweep * 0.8 + lock - 0.30 * (x / a.head_x) ** 4
    return torch.lerp(bare + sweep * 0.15, full, fringe.expand_as(x) if fringe.shape != x.shape else fringe)


def cap_shell(view: View, c: Columns, a: Anatomy) -> tuple[Tensor, Tensor]:
    """Depth and edge of the hair's outer shell over the skull."""
    volume, curl = c.trait("hair_volume"), c.trait("hair_curl")
    nil = torch.zeros_like(volume)
    grow = 0.04 + 0.05 * volume + 0.03 * c.trait("hair_length")
    top = a.head_y + 0.055 + 0.11 * volume
    low = -0.60
    depth, edge = ellipsoid(
        view, (nil, (top + low) / 2, nil - 0.05), (a.head_x * 1.01 + grow, (top - low) / 2, a.head_z + 0.055 + grow)
    )
    return depth, edge + curl * 0.016 * (torch.sin(31 * view.u) + torch.sin(31 * view.v))


def front(view: View, c: Columns, a: Anatomy) -> Layer:
    """The hair over the skull with its fringe."""
    depth, edge = cap_shell(view, c, a)
    x, y, z = (view.local(i, depth) for i in range(3))
    length = c.trait("hair_length")
    line = hairline(c, a, x)
    # Behind the temples hair reaches down to the nape; the sideburn is where both meet.
    temple = a.ear_y + 0.10 - 0.10 * length
    behind = ((-z - 0.02) * 2.2).clamp(0, 1)
    side = torch.maximum(temple - behind * 0.55, -0.6 + 0 * z)
    line = torch.where(z > 0.12, line, torch.lerp(side, line, ((z + 0.05) / 0.17).clamp(0, 1)))
    cut = y - line
    ripple = _strands(c, a, x, y)
    curls = torch.sin(27 * x + 3 * torch.sin(13 * y)) * torch.sin(27 * y + 3 * torch.sin(13 * x))
    thick = (cut / 0.05).clamp(0, 1)
    curl = c.trait("hair_curl")
    relief = (0.006 * (1 - curl)) * ripple + (0.020 * curl) * curls + 0.03 * thick * (2 - thick)
    paint = Paint(colour.hair(c), x)
    paint.shade(1 + 0.10 * ripple * (1 - curl) + 0.15 * curl * curls)
    paint.shade(0.72 + 0.28 * (cut / 0.16).clamp(0, 1))
    return Layer(
        depth=depth,
        cover=torch.minimum(view.cover(edge), view.cover(cut)),
        albedo=paint.planes,
        normal=normal(view, depth + relief),
        gloss=0.35 * (1 - 0.5 * curl),
        region="hair",
    )


def back(view: View, c: Columns, a: Anatomy) -> Layer:
    """The mass of hair behind the head, longer and wider with length."""
    length, volume = c.trait("hair_length"), c.trait("hair_volume")
    nil = torch.zeros_like(length)
    top = a.head_y * 0.9 + 0.05 * volume
    low = -0.42 - 0.46 * length
    wide = a.head_x * (0.88 + 0.26 * length) + 0.06 * volume * length
    depth, edge = ellipsoid(view, (nil, (top + low) / 2, nil - 0.30), (wide, (top - low) / 2, nil + 0.34))
    curl = c.trait("hair_curl")
    edge = edge + curl * 0.022 * (torch.sin(29 * view.u) + torch.sin(29 * view.v))
    x, y = view.local(0, depth), view.local(1, depth)
    ripple = torch.sin(30 * x + 4 * torch.sin(9 * y) * curl)
    paint = Paint(colour.scaled(colour.hair(c), 0.55), x)
    paint.shade(1 + 0.14 * ripple)
    return Layer(depth, view.cover(edge), paint.planes, normal(view, depth), 0.1, "hair")


def locks(view: View, c: Columns, a: Anatomy) -> Layer:
    """Two locks that fall beside the face and over the ears of long hair."""
    length = c.trait("hair_length")
    grown = step_between(length, 0.42, 0.75)
    nil = torch.zeros_like(length)
    half = 0.22 + 0.26 * length
    depth, edge = None, None
    for s in (-1.0, 1.0):
        d, e = ellipsoid(
            view,
            (s * (a.head_x * 0.97 + 0.03 * grown), nil + 0.22 - half, nil - 0.02),
            ((0.06 + 0.09 * length) * grown + 1e-3, half, 0.20 * grown + 1e-3),
            tilt=nil + s * 0.10,
        )
        depth = d if depth is None else torch.maximum(depth, d)
        edge = e if edge is None else torch.maximum(edge, e)
    assert depth is not None and edge is not None
    curl = c.trait("hair_curl")
    edge = edge + curl * 0.012 * torch.sin(31 * view.v + 9 * view.u) - 0.01 * (1 - grown)
    x, y = view.local(0, depth), view.local(1, depth)
    ripple = torch.sin(44 * x + 3.5 * torch.sin(8 * y) * (0.3 + curl))
    paint = Paint(colour.hair(c), x)
    paint.shade(0.92 + 0.12 * ripple)
    return Layer(
        depth, view.cover(edge) * (grown > 0), paint.planes, normal(view, depth + 0.004 * ripple), 0.3, "hair"
    )


def bun(view: View, c: Columns, a: Anatomy) -> Layer:
    """A bun on the crown."""
    size = 0.24 * step_between(c.trait("hair_bun"), 0.45, 1.0)
    nil = torch.zeros_like(size)
    depth, edge = ellipsoid(
        view, (nil, a.head_y + 0.04 + 0.10 * c.trait("hair_volume"), nil - 0.12), (size + 1e-3,) * 3
    )
    x, y = view.local(0, depth), view.local(1, depth)
    ripple = torch.sin(24 * (x + y))
    paint = Paint(colour.hair(c), x)
    paint.shade(0.92 + 0.10 * ripple)
    return Layer(depth, view.cover(edge - 0.004), paint.planes, normal(view, depth + 0.004 * ripple), 0.3, "hair")
