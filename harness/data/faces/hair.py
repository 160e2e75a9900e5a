"""Hair: a mass behind the head, a shell over the skull cut by the hairline, locks beside the face, a bun."""

import torch
from torch import Tensor

from harness.data.faces import colour
from harness.data.faces.anatomy import Anatomy, Columns, step_between
from harness.data.faces.colour import Paint
from harness.data.faces.geometry import View, ellipsoid, hull, normal
from harness.data.faces.layer import Layer

CURTAIN_FROM = 0.30  # hair_length above which hair falls beside the face
BUN_FROM = 0.45  # hair_bun above which there is one


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
    bare = a.forehead + 0.17 - 0.9 * (x / a.head_x) ** 4
    sweep = 0.22 * torch.exp(-((off / 0.11) ** 2)) * (1 - 0.6 * fringe)
    lock = (torch.sin(off * 15.0).abs() - 0.5) * 0.035
    full = a.forehead + 0.035 + sweep * 0.8 + lock - 0.30 * (x / a.head_x) ** 4
    return torch.lerp(bare + sweep * 0.15, full, fringe.expand_as(x) if fringe.shape != x.shape else fringe)


def worn_flat(c: Columns) -> Tensor:
    """How much of the hair's volume a cap leaves, in [0, 1]."""
    return 1 - step_between(c.trait("cap"), 0.68, 0.75)


def front(view: View, c: Columns, a: Anatomy) -> tuple[Layer, Layer]:
    """The hair over the skull with its fringe: its outside, and its inside as seen past the face."""
    volume, curl = c.trait("hair_volume") * worn_flat(c), c.trait("hair_curl") * worn_flat(c)
    length = c.trait("hair_length")
    nil = torch.zeros_like(volume)
    grow = 0.04 + 0.05 * volume + 0.03 * length + 0.03 * curl
    top, low = a.head_y + 0.055 + 0.11 * volume, -0.60
    depth, far, edge = hull(
        view, (nil, (top + low) / 2, nil - 0.05), (a.head_x * 1.01 + grow, (top - low) / 2, a.head_z + 0.055 + grow)
    )
    edge = edge + curl * 0.016 * (torch.sin(31 * view.u) + torch.sin(31 * view.v) - 2)
    x, y, z = (view.local(i, depth) for i in range(3))
    cut = y - _shell_line(c, a, x, z)
    ripple = _strands(c, a, x, y)
    curls = torch.sin(27 * x + 3 * torch.sin(13 * y)) * torch.sin(27 * y + 3 * torch.sin(13 * x))
    thick = (cut / 0.05).clamp(0, 1)
    curl = c.trait("hair_curl")
    relief = (0.006 * (1 - curl)) * ripple + (0.020 * curl) * curls + 0.03 * thick * (2 - thick)
    paint = Paint(colour.hair(c), x)
    paint.shade(1 + 0.10 * ripple * (1 - curl) + 0.15 * curl * curls)
    paint.shade(0.72 + 0.28 * (cut / 0.16).clamp(0, 1))
    round_ = view.cover(edge)
    outside = Layer(
        depth,
        torch.minimum(round_, view.cover(cut)),
        paint.planes,
        normal(view, depth + relief),
        0.35 - 0.15 * curl,
        "hair",
    )
    x, y, z = (view.local(i, far) for i in range(3))
    return outside, _inside(view, c, far, torch.minimum(round_, view.cover(y - _shell_line(c, a, x, z))))


def _shell_line(c: Columns, a: Anatomy, x: Tensor, z: Tensor) -> Tensor:
    """Lower edge of the hair over the skull: the hairline, the sideburns above the ears, the nape."""
    temple = a.ear_y + a.ear_r * 0.55 - 0.45 * step_between(c.trait("hair_length"), CURTAIN_FROM, 0.48)
    behind = ((-z - 0.16) * 5).clamp(0, 1)
    return torch.lerp(temple - behind * 0.55, hairline(c, a, x), ((z - 0.02) / 0.14).clamp(0, 1))


def _inside(view: View, c: Columns, depth: Tensor, cover: Tensor) -> Layer:
    # Seen only in slivers: dark and without modelling.
    flat = torch.zeros_like(depth)
    planes = [p.expand_as(depth) for p in colour.scaled(colour.hair(c), 0.45)]
    return Layer(depth, cover, planes, (flat, flat), 0.0, "hair")


def back(view: View, c: Columns, a: Anatomy) -> Layer:
    """The mass of hair behind the head, longer and wider with length."""
    length, volume = c.trait("hair_length"), c.trait("hair_volume")
    nil = torch.zeros_like(length)
    low = -0.42 - 0.30 * length
    wide = a.head_x * (0.86 + 0.28 * length) + 0.05 * volume * length + 0.03 * c.trait("hair_curl")
    depth, edge = ellipsoid(view, (nil, nil - 0.12, nil - 0.28), (wide, a.head_y * 0.62 + 0.42 * length, nil + 0.34))
    curl = c.trait("hair_curl")
    edge = edge + curl * 0.022 * (torch.sin(29 * view.u) + torch.sin(29 * view.v) - 2)
    x, y = view.local(0, depth), view.local(1, depth)
    tips = y - low - 0.5 * x * x - (0.005 + 0.014 * curl) * torch.sin(33 * x)
    edge = torch.minimum(edge, tips)
    ripple = torch.sin(30 * x + 4 * torch.sin(9 * y) * curl)
    paint = Paint(colour.scaled(colour.hair(c), 0.55), x)
    paint.shade(1 + 0.14 * ripple)
    return Layer(depth, view.cover(edge), paint.planes, normal(view, depth), 0.1, "hair")


def curtain(view: View, c: Columns, a: Anatomy) -> tuple[Layer, Layer]:
    """Long hair that falls beside the face and over the ears: a shell around the head with an opening for the face.

    Its outside, and its inside as seen past the face.
    """
    length, curl = c.trait("hair_length"), c.trait("hair_curl")
    grown = step_between(length, CURTAIN_FROM, 0.48)
    nil = torch.zeros_like(length)
    low = -0.02 - 0.70 * length
    wide = a.head_x * (0.80 + 0.20 * grown) + 0.11 * grown + 0.04 * c.trait("hair_volume") + 0.02 * curl
    depth, far, edge = hull(view, (nil, nil - 0.06, nil - 0.06), (wide, 0.62 + 0.24 * length, a.head_z + 0.02))
    edge = edge + curl * 0.018 * (torch.sin(27 * view.v + 9 * view.u) - 1)
    x, y, z = (view.local(i, depth) for i in range(3))
    inner, ends = _opening(a, x, y, z), _ends(x, y, low, curl)
    ripple = torch.sin(40 * x.abs() + 3.5 * torch.sin(7 * y) * (0.2 + curl) - 5 * y)
    paint = Paint(colour.hair(c), x)
    paint.shade((0.96 + 0.10 * ripple) * (0.70 + 0.30 * (inner / 0.10).clamp(0, 1)))
    relief = (0.004 + 0.010 * curl) * ripple + 0.04 * (inner / 0.08).clamp(0, 1)
    round_ = view.cover(edge) * (grown * 12).clamp(0, 1)
    cover = round_ * view.cover(torch.minimum(inner, ends))
    outside = Layer(depth, cover, paint.planes, normal(view, depth + relief), 0.3, "hair")
    x, y, z = (view.local(i, far) for i in range(3))
    hidden = view.cover(torch.minimum(_opening(a, x, y, z), _ends(x, y, low, curl)))
    return outside, _inside(view, c, far, round_ * hidden)


def _opening(a: Anatomy, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    # An arch: narrow at the parting, as wide as the cheeks below.
    fall = ((0.30 - y) / 0.42).clamp_(0, 1)
    return torch.where(z > -0.12, x.abs() - a.head_x * (0.50 + 0.40 * fall * (2 - fall)), 1.0)


def _ends(x: Tensor, y: Tensor, low: Tensor, curl: Tensor) -> Tensor:
    # Rounded corners below; above, the hair over the skull takes over.
    tips = y - low - 0.9 * (x.abs() - 0.40).clamp(min=0) ** 2 - (0.005 + 0.014 * curl) * torch.sin(33 * x)
    return torch.minimum(tips, 0.42 - y)


def bun(view: View, c: Columns, a: Anatomy) -> Layer:
    """A bun on the crown."""
    size = 0.21 * step_between(c.trait("hair_bun"), BUN_FROM, 1.0) * worn_flat(c)
    nil = torch.zeros_like(size)
    depth, edge = ellipsoid(
        view, (nil, a.head_y + 0.01 + 0.08 * c.trait("hair_volume"), nil - 0.12), (size + 1e-3,) * 3
    )
    x, y = view.local(0, depth), view.local(1, depth)
    ripple = torch.sin(24 * (x + y))
    paint = Paint(colour.hair(c), x)
    paint.shade(0.92 + 0.10 * ripple)
    return Layer(
        depth, view.cover(edge - 0.004) * (size > 0), paint.planes, normal(view, depth + 0.004 * ripple), 0.3, "hair"
    )
