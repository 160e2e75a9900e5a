"""The beard: painted and raised on the skin, with a tuft that stands out at the chin."""

import torch
from torch import Tensor

from harness.data.faces import colour
from harness.data.faces.anatomy import Anatomy, Columns, step_between
from harness.data.faces.colour import Colour, Paint
from harness.data.faces.geometry import View, ellipsoid, normal
from harness.data.faces.layer import Layer

MASS_FROM = 0.60  # beard above which it stands off the jaw


def _density(c: Columns) -> Tensor:
    return step_between(c.trait("beard"), 0.40, 0.62)


def _tone(c: Columns) -> Colour:
    return colour.scaled(colour.hair(c), 0.62)


def _cheek_line(a: Anatomy, x: Tensor) -> Tensor:
    # From the ears along the cheeks down to the mouth's corners.
    reach = (x / (a.head_x * 0.93)).abs()
    return a.mouth_y + 0.01 + (a.ear_y - a.mouth_y + 0.02) * (reach * reach * reach).clamp(max=1.4)


def on_skin(
    view: View, c: Columns, a: Anatomy, paint: Paint, relief: Tensor, x: Tensor, y: Tensor, mouth: Tensor
) -> Tensor:
    """Paint and emboss beard and moustache around the mouth's mask; returns their mask in [0, 1]."""
    density = _density(c)
    jaw = _cheek_line(a, x) - y
    lip = 0.4 * a.mouth_mid + 0.6 * a.mouth_corner + a.mouth_up
    moustache = 0.032 + 0.012 * density - (y - lip - 0.055 + 0.55 * x * x / a.mouth_half).abs()
    moustache = torch.minimum(moustache, a.mouth_half * 1.12 - x.abs())
    edge = torch.maximum(jaw, moustache)
    grain = torch.sin(88 * x + 6 * torch.sin(31 * y)) * torch.sin(47 * y + 4 * torch.sin(27 * x))
    mask = view.cover(edge + 0.005 * grain, 2.0) * (1 - mouth)
    full = step_between(c.trait("beard"), 0.60, 0.90)
    paint.over(mask * (0.62 * density + 0.33 * full), _tone(c))
    paint.shade(1 + 0.10 * grain * mask * density)
    relief.add_(mask * density * ((0.012 + 0.024 * full) * (edge / 0.04).clamp(0, 1) + 0.0015 * full * grain))
    return mask * density


def mass(view: View, c: Columns, a: Anatomy) -> Layer:
    """The beard's body: a shell around the jaw, open at the mouth, reaching below the chin with beard_length."""
    density = _density(c)
    long = c.trait("beard_length") * density
    full = step_between(c.trait("beard"), MASS_FROM, 0.80)
    nil = torch.zeros_like(density)
    low = a.head_centre - a.head_y + 0.04 - full * (0.05 + 0.13 * long)
    depth, edge = ellipsoid(
        view,
        (nil, a.eye_y + nil, nil + 0.02),
        (a.head_x * (0.93 + 0.09 * full), a.eye_y - low, a.head_z - 0.03 + full * (0.06 + 0.05 * long)),
    )
    x, y = view.local(0, depth), view.local(1, depth)
    bottom = a.mouth_mid - a.mouth_down - a.lip_lower - 0.02
    hole = (x / (a.mouth_half + 0.05)) ** 2 + ((y - a.mouth_y) / (a.mouth_y - bottom)) ** 2
    cut = torch.minimum(_cheek_line(a, x) - 0.02 - y, (hole - 1) * 0.08)
    grain = torch.sin(52 * x + 4 * torch.sin(15 * y)) * torch.sin(17 * y + 9 * x.abs())
    paint = Paint(_tone(c), x)
    paint.shade((0.97 + 0.12 * grain) * (0.75 + 0.25 * (cut / 0.06).clamp(0, 1)))
    cover = torch.minimum(view.cover(edge + 0.005 * grain), view.cover(cut)) * (full * 20).clamp(max=1)
    relief = 0.005 * grain + 0.02 * (cut / 0.03).clamp(0, 1)
    return Layer(depth, cover, paint.planes, normal(view, depth + relief), 0.08, "beard")
