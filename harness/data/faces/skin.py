"""The face itself: the skin's surface with nose, brows, eyes and mouth painted and embossed on it."""

import torch
from torch import Tensor

from harness.data.faces import beard, colour, hair
from harness.data.faces.anatomy import Anatomy, Columns
from harness.data.faces.colour import Colour, Paint
from harness.data.faces.geometry import View, blend, ellipsoid, head, normal, surface_z
from harness.data.faces.layer import Layer


def skin_depth(view: View, a: Anatomy) -> tuple[Tensor, Tensor, Tensor]:
    """Depth of head and nose together, the head's silhouette distance, and the share of the nose."""
    bare, edge = head(view, a)
    nil = torch.zeros_like(a.nose_r)
    front = surface_z(a, nil, a.nose_y)
    tip, _ = ellipsoid(view, (nil, a.nose_y, front + a.nose_z), (a.nose_r * 1.12, a.nose_r * 0.92, a.nose_r + 0.02))
    high = a.eye_y - 0.01
    bridge, _ = ellipsoid(
        view,
        (nil, (high + a.nose_y) / 2, front + a.nose_z * 0.5 - 0.01),
        (a.nose_r * 0.52, (high - a.nose_y) / 2 + 0.06, a.nose_r * 0.85),
    )
    wing = (a.nose_r * 0.62, a.nose_r * 0.60, a.nose_r * 0.75)
    at = a.nose_y - 0.012
    left, _ = ellipsoid(view, (-a.nose_wing, at, front - 0.005), wing)
    right, _ = ellipsoid(view, (a.nose_wing, at, front - 0.005), wing)
    ball = blend(tip, torch.maximum(left, right), 0.02)
    nose = blend(ball, bridge, 0.03)
    depth = blend(ball, blend(bridge, bare, 0.05), 0.025)
    return depth, edge, ((nose - bare) / 0.03 + 0.5).clamp_(0, 1)


def face(view: View, c: Columns, a: Anatomy) -> Layer:
    """The skin with everything that is painted on it."""
    depth, edge, nose = skin_depth(view, a)
    x, y = view.local(0, depth), view.local(1, depth)
    base = colour.skin(c)
    paint = Paint(base, x)
    relief = torch.zeros_like(x)
    _complexion(view, c, a, paint, base, x, y, nose)
    mouth, lip_gloss = _mouth(view, c, a, paint, base, relief, x, y)
    bearded = beard.on_skin(view, c, a, paint, relief, x, y, mouth)
    eyes, eye_gloss = _eyes(view, c, a, paint, base, relief, x, y)
    brows = _brows(view, c, a, paint, relief, x, y)
    _fringe_shadow(c, a, paint, x, y)
    depth = depth + relief
    return Layer(
        depth=depth,
        cover=view.cover(edge),
        albedo=paint.planes,
        normal=normal(view, depth),
        gloss=(0.12 + 0.35 * lip_gloss - 0.11 * eye_gloss),
        region="skin",
        parts={"nose": nose, "mouth": mouth, "eyes": eyes, "brows": brows, "beard": bearded},
    )


def _complexion(
    view: View, c: Columns, a: Anatomy, paint: Paint, base: Colour, x: Tensor, y: Tensor, nose: Tensor
) -> None:
    ax = x.abs()
    rosy = base[0] * 0.98, base[1] * 0.55, base[2] * 0.55
    cheek_y = (a.eye_y + a.mouth_y) / 2 - 0.02 + 0.03 * c.state("smile")
    far = ((ax - a.eye_x * 1.22) / 0.15) ** 2 + ((y - cheek_y) / 0.105) ** 2
    soft = (1 - far).clamp(min=0)
    paint.over(soft * soft * c.trait("blush", 0.0, 0.75), rosy)
    paint.over(nose * c.trait("blush", 0.06, 0.28), rosy)
    # Freckles: the peaks of a product of waves, incommensurate so that no grid shows.
    dots = torch.sin(61 * x + 17 * y) * torch.sin(53 * y - 23 * x)
    where = ((1 - ((ax - 0.17) / 0.26) ** 2) - ((y - cheek_y - 0.03) / 0.13) ** 2).clamp(min=0).sqrt()
    spot = ((dots - 0.45) * 3.2).clamp(0, 1)
    paint.over(spot * where * c.trait("freckles", 0.0, 0.85), colour.scaled(base, 0.42))
    # Soft shadow under the nose, and the nostrils.
    ny = a.nose_y - a.nose_r * 0.62
    shadow = (1 - (x / (a.nose_wing + 0.10)) ** 2 - ((y - ny + 0.045) / 0.07) ** 2).clamp(min=0)
    paint.shade(1 - 0.30 * shadow * (1 - nose))
    hole = 1 - ((ax - a.nose_wing * 0.62) / (0.020 + 0.2 * a.nose_r)) ** 2 - ((y - ny) / (a.nose_r * 0.22)) ** 2
    paint.over(view.cover(hole * 0.012, 0.8) * 0.75, colour.scaled(base, 0.22))


def _fringe_shadow(c: Columns, a: Anatomy, paint: Paint, x: Tensor, y: Tensor) -> None:
    # The hair stands off the skin and dims it below its edge; towards the light less, hence the elevation's share.
    below = hair.hairline(c, a, x) - y
    near = (1 - below / 0.11).clamp_(0, 1)
    paint.shade(1 - (0.42 - 0.003 * c.state("light_elevation")) * near * near)


def _mouth(
    view: View, c: Columns, a: Anatomy, paint: Paint, base: Colour, relief: Tensor, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    across = x / a.mouth_half
    bent = 1 - across * across
    arch = bent.clamp(min=0)
    bow = arch.sqrt()
    middle = a.mouth_corner + (a.mouth_mid - a.mouth_corner) * arch
    above, below = y - middle - a.mouth_up * bow, middle - a.mouth_down * bow - y
    # The upper lip has its bow: a dip at the middle.
    dip = 1 - 0.30 * (1 - (across / 0.28) ** 2).clamp_(min=0)
    rim = 0.55 * bow + 0.45 * arch
    out = torch.maximum(above - a.lip_upper * rim * dip, below - a.lip_lower * rim)
    inner = torch.maximum(above, below)
    inside_x = bent * (a.mouth_half * 0.5) - view.pixel * 0.5
    lip = view.cover(torch.minimum(-out, inside_x + 0.004))
    inside = view.cover(torch.minimum(-inner, inside_x))
    tint = colour.lips(c, base)
    paint.over(lip, tint)
    paint.over(inside, colour.plain(0x4A0F16, a.mouth_y))
    # Tongue, then teeth in front of it.
    opened = c.state("mouth_open")
    tongue = 1 - (across / 0.62) ** 2 - ((y - middle + a.mouth_down) / (a.mouth_down * 0.55 + 1e-3)) ** 2
    paint.over(view.cover(tongue * 0.05) * inside, colour.plain(0xD9606A, a.mouth_y))
    teeth = (0.030 + 0.028 * opened + 0.012 * c.state("smile")) * bow
    shown = ((opened + 0.35 * c.state("smile").clamp(min=0)) * 5 - 0.3).clamp(0, 1)
    paint.over(
        view.cover(torch.minimum(above + teeth, 0.86 - across.abs())) * inside * shown,
        colour.plain(0xFFFBF2, a.mouth_y),
    )
    bulge = (lip - inside).clamp_(min=0)
    profile = (-out).clamp_(min=0) * (inner / 0.03).clamp_(0, 1)
    relief.add_(torch.where(lip > 0, profile * 0.9, torch.zeros_like(profile)))
    # The crease under the lower lip.
    crease = (1 - (across / 0.75) ** 2 - ((below - a.lip_lower - 0.03) / 0.03) ** 2).clamp(min=0)
    paint.shade(1 - 0.14 * crease * (1 - lip))
    return torch.maximum(lip, inside), bulge


def _eyes(
    view: View, c: Columns, a: Anatomy, paint: Paint, base: Colour, relief: Tensor, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    side = torch.sign(x)
    ex = x.abs() - a.eye_x
    ey = y - a.eye_y - a.eye_tilt * ex
    nx, ny = ex / a.eye_rx, ey / a.eye_ry
    bend = nx * nx
    rim = (1 - bend - ny * ny) * (a.eye_ry * 0.5)
    upper = (a.lid_upper - a.lid_upper_bend * bend - ny) * a.eye_ry
    lower = (ny - a.lid_lower + a.lid_lower_bend * bend) * a.eye_ry
    gap = torch.minimum(upper, lower)
    opened = view.cover(torch.minimum(rim, gap))
    socket = view.cover(rim)
    # The lids: skin, a touch darker, over a ball.
    paint.over(socket, (base[0] * 0.90, base[1] * 0.80, base[2] * 0.80))
    relief.add_(rim.clamp(min=0) * 0.55)
    paint.over(opened, colour.plain(0xFDFBFA, a.eye_x))
    ix, iy = ex * side - a.gaze_x, ey - a.gaze_y
    r = torch.sqrt(ix * ix + iy * iy + 1e-9)
    iris = colour.iris(c)
    paint.over(view.cover(a.iris_r - r) * opened, colour.scaled(iris, 0.38))
    glow = (0.95 - iy / a.iris_r * 0.75).clamp_(0.35, 1.75)
    paint.over(view.cover(a.iris_r * 0.86 - r) * opened, [p * glow for p in iris])
    paint.over(view.cover(a.iris_r * 0.50 - r) * opened, colour.plain(0x0B0809, a.eye_x))
    # The upper lid's shadow on the ball.
    fall = (1 - upper / (0.42 * a.eye_ry)).clamp_(0, 1)
    paint.shade(1 - 0.42 * fall * fall * opened)
    white = colour.plain(0xFFFFFF, a.eye_x)
    spark = a.iris_r * 0.30 - torch.sqrt((ix + 0.34 * a.iris_r) ** 2 + (iy - 0.40 * a.iris_r) ** 2)
    paint.over(view.cover(spark) * opened, white)
    glint = a.iris_r * 0.15 - torch.sqrt((ix - 0.40 * a.iris_r) ** 2 + (iy + 0.42 * a.iris_r) ** 2)
    paint.over(view.cover(glint) * opened * 0.8, white)
    # Lid line and lashes: a band along the lid's edge, thicker and longer to the outside.
    lash = c.trait("lashes")
    thick = (0.008 + 0.013 * lash) * (1 + (0.35 + 0.8 * lash) * nx.clamp(-1, 1.3))
    reach = (0.96 + 0.16 * lash + 0.16 * lash * nx).clamp(min=0) ** 2 - bend
    top = torch.minimum(a.lid_upper - a.lid_upper_bend * bend, (1 - bend).clamp(min=0).sqrt()) * a.eye_ry
    line = thick - (ey - top - 0.004 - 0.05 * lash * (nx - 0.75).clamp(min=0)).abs()
    ink = view.cover(torch.minimum(line, reach * (0.5 * a.eye_rx)))
    paint.over(ink, colour.plain(0x1A100E, a.eye_x))
    return torch.maximum(torch.maximum(opened, socket), ink), opened


def _brows(view: View, c: Columns, a: Anatomy, paint: Paint, relief: Tensor, x: Tensor, y: Tensor) -> Tensor:
    bx = x.abs() - a.brow_x
    t = bx / a.brow_half
    by = y - a.brow_y - a.brow_slope * bx + (0.26 * a.brow_half) * t * t
    thick = a.brow_thickness * (0.92 - 0.34 * t)
    edge = torch.minimum(thick - by.abs(), (1 - t.abs()) * a.brow_half)
    mask = view.cover(edge)
    tone = colour.mix(colour.scaled(colour.hair(c), 0.30), colour.hair(c), c.trait("brow_lightness", 0.0, 0.85))
    paint.over(mask, tone)
    relief.add_(edge.clamp(min=0) * 0.6)
    return mask
