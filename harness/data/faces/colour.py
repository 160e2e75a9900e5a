"""Colours of people and things, as linear RGB, and the paint that carries them over a picture."""

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.data.faces.anatomy import Columns

Colour = tuple[Tensor, Tensor, Tensor]  # linear RGB, each (B, 1, 1)


def linear(code: int) -> list[float]:
    """Linear RGB of a 0xRRGGBB display colour (sRGB transfer function, IEC 61966-2-1)."""
    parts = [(code >> shift & 255) / 255 for shift in (16, 8, 0)]
    return [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]


def palette(codes: Sequence[int], t: Tensor) -> Colour:
    """The colour at t (B, 1, 1) in [0, 1] of a scale of equally spaced display colours, interpolated in linear RGB."""
    table = torch.tensor([linear(code) for code in codes], device=t.device, dtype=t.dtype)
    place = t.clamp(0, 1) * (len(codes) - 1)
    first = place.floor().clamp(max=len(codes) - 2).long()
    mixed = torch.lerp(table[first], table[first + 1], (place - first)[..., None])
    return mixed[..., 0], mixed[..., 1], mixed[..., 2]


def plain(code: int, like: Tensor) -> Colour:
    """One display colour for every picture of a batch."""
    r, g, b = (torch.full_like(like, value) for value in linear(code))
    return r, g, b


def mix(a: Colour, b: Colour, t: Tensor | float) -> Colour:
    """a at t = 0, b at t = 1."""
    r, g, bl = (x + (y - x) * t for x, y in zip(a, b, strict=True))
    return r, g, bl


def scaled(a: Colour, by: Tensor | float) -> Colour:
    """A darker or lighter colour."""
    return a[0] * by, a[1] * by, a[2] * by


def skin(c: Columns) -> Colour:
    """Light to dark along one scale, rosy to golden across."""
    rosy = palette((0xFFD9CC, 0xF6B9A0, 0xD98E6E, 0xA05E45, 0x673829), c.trait("skin_tone"))
    golden = palette((0xFFE3BC, 0xF7C68C, 0xDB9F5C, 0xA56E38, 0x6B4424), c.trait("skin_tone"))
    return mix(rosy, golden, c.trait("skin_warmth"))


def hair(c: Columns) -> Colour:
    """Each hue has a dark, a middle and a light end."""
    hue, light = c.trait("hair_hue"), c.trait("hair_lightness")
    dark = palette((0x17120F, 0x1A110D, 0x1E100B, 0x2A100A, 0x2B0A18, 0x160F2B), hue)
    middle = palette((0x6B4A2F, 0x73452A, 0x7A3F1F, 0xB5501C, 0xB83A62, 0x5F45A8), hue)
    pale = palette((0xE6DCC4, 0xEED592, 0xF0CF8E, 0xF7C27A, 0xF7BFCB, 0xD3C8F5), hue)
    low = mix(dark, middle, (2 * light).clamp(max=1))
    return mix(low, pale, (2 * light - 1).clamp(min=0))


def iris(c: Columns) -> Colour:
    """Brown, amber, green, blue, violet; dark to light."""
    hue = c.trait("iris_hue")
    dark = palette((0x2E170B, 0x5A3208, 0x17401F, 0x123A6B, 0x3A1F6B), hue)
    light = palette((0x9A5B2E, 0xD9962B, 0x5FBF63, 0x5CB4F0, 0xA987F0), hue)
    return mix(dark, light, c.trait("iris_lightness"))


def lips(c: Columns, base: Colour) -> Colour:
    """From the skin's own colour over rose and red to plum."""
    own = base[0] * 0.78, base[1] * 0.50, base[2] * 0.50
    made = palette((0xD9707A, 0xD9707A, 0xC8202E, 0x7A1F4A), c.trait("lip_colour"))
    return mix(own, made, (c.trait("lip_colour") * 1.6 - 0.2).clamp(0, 0.9))


class Paint:
    """Three colour planes (B, H, W) that masks are painted over, in place."""

    def __init__(self, base: Colour | Sequence[Tensor], like: Tensor):
        self.planes = [x.expand_as(like).clone() for x in base]

    def over(self, mask: Tensor, colour: Colour | Sequence[Tensor]) -> None:
        """Lay a colour over where the mask in [0, 1] is."""
        for plane, value in zip(self.planes, colour, strict=True):
            plane.lerp_(value.expand_as(plane) if value.shape != plane.shape else value, mask)

    def shade(self, by: Tensor) -> None:
        """Multiply all three planes."""
        for plane in self.planes:
            plane.mul_(by)
