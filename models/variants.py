"""Registered swapper variants: name -> builder(size, **options). A builder's keywords are the options of a suite."""

from __future__ import annotations

import math
from typing import Literal

from torch import nn

from models.bottleneck import GaussianHead, GridDown, GridUp, Uneven, strided_down
from models.decoder import DecoderBody
from models.encoder import EncoderBody
from models.swapper import PEOPLE, Swapper
from models.upsample import norm_layer, stage

Upsample = Literal["convt", "resize", "bilinear", "pixelshuffle", "pixelshuffle_icnr"]
Norm = Literal["batch", "group", "none"]


def grid(
    size: int,
    grid: int | tuple[int, int] = 3,
    width: int = 32,
    stages: int | None = None,
    channels: int = 128,
    upsample: Upsample | list[Upsample] = "resize",
    norm: Norm = "batch",
    vae: bool = True,
    logvar_start: float = -6.0,
) -> Swapper:
    """Parameter-constant family: any grid at any resolution, so that only the number of latent cells differs.

    `grid`: cells as g (g x g) or [rows, columns]. `width`: channels after the first convolution, doubled at each of
    `stages` (default: down to 8x8 up to 128 px, then 16x16), at most 8 x width. `channels`: latent channels. `vae:
    false` decodes the mean.
    """
    cells = (grid, grid) if isinstance(grid, int) else (grid[0], grid[1])
    if min(cells) < 1:
        raise ValueError(f"grid must be at least 1, not {grid}")
    n = stages or max(1, round(math.log2(size / (8 if size <= 128 else 16))))
    base = size // 2**n
    if base * 2**n != size:
        raise ValueError(f"size {size} is not divisible by 2^{n}; choose a multiple of {2**n} or fewer `stages`")
    body = tuple(min(width * 2**i, 8 * width) for i in range(n))
    top = body[-1]

    def decoder() -> nn.Module:
        up = (top, *reversed(body[:-1]), max(width // 2, 8))
        return nn.Sequential(
            GridUp(channels, top, base, cells, norm),
            DecoderBody(up, _names(upsample), norm, head="conv"),
        )

    return Swapper(
        nn.Sequential(EncoderBody(body, norm), GridDown(top, 2 * top, base, cells, norm)),
        GaussianHead(2 * top, channels, kernel=1, logvar_start=logvar_start),
        {person: decoder() for person in PEOPLE},
        (channels, *cells),
        sample=vae,
    )


def reference(
    size: int,
    width: int = 32,
    stages: int = 4,
    channels: int = 1024,
    upsample: Upsample | list[Upsample] = "convt",
    norm: Norm = "batch",
    vae: bool = True,
    logvar_start: float = 0.0,
) -> Swapper:
    """The source's strided topology: 256 px -> 3x3x1024; fed 512 px -> 7x7; with stages 5, 512 px -> 3x3.

    `stages` stride-2 convolutions, two more in the bottleneck (the last without padding), six or seven upsamplings
    back.
    """
    base = size // 2**stages
    g = (base // 2 - 4) // 2 + 1
    if base * 2**stages != size or g < 1 or 2 * (2 * g + 2) != base:
        good = [s for s in (2**stages * b for b in range(16, 65, 16)) if s <= 1024]
        raise ValueError(f"size {size} with stages {stages} has no strided bottleneck; sizes that do: {good}")
    body = tuple(min(width * 2**i, 8 * width) for i in range(stages))
    top = body[-1]
    names = _names(upsample)
    if not isinstance(names, str) and len(names) != stages + 2:
        raise ValueError(f"upsample lists {len(names)} stages, but this decoder has {stages + 2}")
    first, second, rest = (names, names, names) if isinstance(names, str) else (names[0], names[1], names[2:])

    def decoder() -> nn.Module:
        return nn.Sequential(
            Uneven(first, channels, 2 * top, g),
            norm_layer(norm, 2 * top),
            nn.LeakyReLU(0.1),
            stage(second, 2 * top, top, norm),
            DecoderBody((top, *reversed(body[:-1])), rest, norm, head="upsample"),
        )

    return Swapper(
        nn.Sequential(EncoderBody(body), strided_down(top, 2 * top, channels)),
        GaussianHead(channels, channels, kernel=3, logvar_start=logvar_start),
        {person: decoder() for person in PEOPLE},
        (channels, g, g),
        sample=vae,
    )


def _names(upsample: str | list) -> str | list[str]:
    return upsample if isinstance(upsample, str) else list(upsample)


VARIANTS = {"grid": grid, "reference": reference}
