"""Light: one lamp, a sky, a rim; worked out once for the composited surface."""

import torch
from torch import Tensor

from harness.data.faces.anatomy import Columns
from harness.data.faces.geometry import View

SOFT = (0.42, 0.30, 0.26)  # how far the lamp's light wraps around, by channel: skin's shadows are warm
LAMP = (0.92, 0.88, 0.82)
SKY = (0.27, 0.29, 0.33)
GROUND = (0.17, 0.14, 0.13)


def illuminate(view: View, c: Columns, planes: list[Tensor], alpha: Tensor) -> Tensor:
    """(B, 4, H, W) premultiplied linear colour.

    planes: premultiplied (B, H, W) each, three of albedo in [0, 1], the x and y of the unit normal, gloss, alpha.
    """
    azimuth, elevation = torch.deg2rad(c.state("light_azimuth")), torch.deg2rad(c.state("light_elevation"))
    lx, ly, lz = azimuth.sin() * elevation.cos(), elevation.sin(), azimuth.cos() * elevation.cos()
    whole = alpha.clamp(min=1e-4).reciprocal_()
    nx, ny = planes[3] * whole, planes[4] * whole
    nz = (1 - nx * nx - ny * ny).clamp_(min=0).sqrt_()
    facing = nx * lx + ny * ly + nz * lz
    # Blinn's half vector between the lamp and the viewer.
    norm = torch.rsqrt(2 + 2 * lz)
    half = (nx * (lx * norm) + ny * (ly * norm) + nz * ((lz + 1) * norm)).clamp_(min=0)
    shine = half * half
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = (shine + 1.5 * shine * shine) * planes[5] * 0.4
    rim = (1 - nz) ** 3 * (0.6 + 0.4 * ny) * 0.20
    sky = 0.5 + 0.5 * ny
    out = []
    for albedo, wrap, lamp, up, down in zip(planes[:3], SOFT, LAMP, SKY, GROUND, strict=True):
        lit = (facing * (1 / (1 + wrap)) + wrap / (1 + wrap)).clamp_(min=0)
        light = lit * lamp + (down + (up - down) * sky) + rim
        out.append(torch.minimum((albedo * light + shine).clamp_(min=0), alpha))
    return torch.stack([*out, alpha], 1)
