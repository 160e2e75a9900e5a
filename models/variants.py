"""Registered swapper variants: name -> builder(size, **options). A builder's keywords are the options of a suite."""

from __future__ import annotations

from torch import nn

from models.bottleneck import GaussianHead, GridDown, GridUp, Uneven, VectorDown, VectorUp, strided_down
from models.decoder import DecoderBody, up_channels
from models.encoder import EncoderBody, body_channels
from models.swapper import PEOPLE, Swapper
from models.upsample import Norm, Upsample, norm_layer, stage


def cells_of(grid: int | tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of a `grid` option. ValueError for fewer than one."""
    cells = (grid, grid) if isinstance(grid, int) else (grid[0], grid[1])
    if min(cells) < 1:
        raise ValueError(f"grid must be at least 1, not {grid}")
    return cells


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
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """Parameter-constant family: any grid at any resolution, so that only the number of latent cells differs.

    `grid`: cells as g (g x g) or [rows, columns]. `width`: channels after the first convolution, doubled at each of
    `stages` (default: down to 8x8 up to 128 px, then 16x16), at most 8 x width. `channels`: latent channels.
    `upsample`: one for all stages or one a stage, coarsest first. `vae: false` decodes the mean in training,
    `sample_when_decoding` a sample in swaps. `mask`: decoders predict the face mask beside the picture.
    """
    cells = cells_of(grid)
    body, base = body_channels(size, width, stages)
    top = body[-1]

    def decoder() -> nn.Module:
        return nn.Sequential(
            GridUp(channels, top, base, cells, norm),
            DecoderBody(up_channels(body, width), upsample, norm, head="conv", mask=mask),
        )

    return Swapper(
        nn.Sequential(EncoderBody(body, norm), GridDown(top, 2 * top, base, cells, norm)),
        GaussianHead(2 * top, channels, kernel=1, logvar_start=logvar_start),
        {person: decoder() for person in PEOPLE},
        (channels, *cells),
        sample=vae,
        sample_when_decoding=sample_when_decoding,
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
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """The source's strided topology: 256 px -> 3x3x1024; fed 512 px -> 7x7; with stages 5, 512 px -> 3x3.

    `stages` stride-2 convolutions, two more in the bottleneck (the last without padding), `stages` + 2 upsamplings
    back. The same ratios at small sizes: 64 px -> 3x3 and 128 px -> 7x7 with stages 2, 128 px -> 3x3 with stages 3.
    """
    base = size // 2**stages
    g = (base // 2 - 4) // 2 + 1
    if base * 2**stages != size or g < 1 or 2 * (2 * g + 2) != base:
        good = [s for s in (2**stages * b for b in range(16, 65, 16)) if s <= 1024]
        raise ValueError(f"size {size} with stages {stages} has no strided bottleneck; sizes that do: {good}")
    body = tuple(min(width * 2**i, 8 * width) for i in range(stages))
    top = body[-1]
    if not isinstance(upsample, str) and len(upsample) != stages + 2:
        raise ValueError(f"upsample lists {len(upsample)} stages, but this decoder has {stages + 2}")
    names = [upsample] * (stages + 2) if isinstance(upsample, str) else list(upsample)

    def decoder() -> nn.Module:
        return nn.Sequential(
            Uneven(names[0], channels, 2 * top, g),
            norm_layer(norm, 2 * top),
            nn.LeakyReLU(0.1),
            stage(names[1], 2 * top, top, norm),
            DecoderBody((top, *reversed(body[:-1])), names[2:], norm, head="upsample", mask=mask),
        )

    return Swapper(
        nn.Sequential(EncoderBody(body), strided_down(top, 2 * top, channels)),
        GaussianHead(channels, channels, kernel=3, logvar_start=logvar_start),
        {person: decoder() for person in PEOPLE},
        (channels, g, g),
        sample=vae,
        sample_when_decoding=sample_when_decoding,
    )


def dense(
    size: int,
    channels: int = 512,
    cells: int = 4,
    width: int = 32,
    stages: int | None = None,
    upsample: Upsample | list[Upsample] = "resize",
    norm: Norm = "batch",
    vae: bool = True,
    logvar_start: float = -6.0,
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """No grid: the map is flattened into one fully connected latent vector, and unflattened by each decoder.

    `channels`: length of the vector. `cells`: side of the map that is flattened and unflattened. The rest as `grid`.
    """
    if cells < 1:
        raise ValueError(f"cells must be at least 1, not {cells}")
    return _vector(
        size, channels, (cells, cells), width, stages, upsample, norm, vae, logvar_start, sample_when_decoding, mask
    )


def pooled(
    size: int,
    channels: int = 512,
    cells: int = 4,
    width: int = 32,
    stages: int | None = None,
    upsample: Upsample | list[Upsample] = "resize",
    norm: Norm = "batch",
    vae: bool = True,
    logvar_start: float = -6.0,
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """No grid and no places: features are averaged over the whole picture into one latent vector.

    `channels`: length of the vector. `cells`: side of the map that each decoder begins with. The rest as `grid`.
    """
    if cells < 1:
        raise ValueError(f"cells must be at least 1, not {cells}")
    return _vector(
        size, channels, (0, cells), width, stages, upsample, norm, vae, logvar_start, sample_when_decoding, mask
    )


def _vector(
    size: int,
    channels: int,
    cells: tuple[int, int],
    width: int,
    stages: int | None,
    upsample: Upsample | list[Upsample],
    norm: Norm,
    vae: bool,
    logvar_start: float,
    sample_when_decoding: bool,
    mask: bool,
) -> Swapper:
    """A latent vector between the bodies of `grid`; `cells`: as `VectorDown` and `VectorUp` take them."""
    body, base = body_channels(size, width, stages)
    top = body[-1]

    def decoder() -> nn.Module:
        return nn.Sequential(
            VectorUp(channels, top, base, cells[1], norm),
            DecoderBody(up_channels(body, width), upsample, norm, head="conv", mask=mask),
        )

    return Swapper(
        nn.Sequential(EncoderBody(body, norm), VectorDown(top, 4 * top, base, cells[0], norm)),
        GaussianHead(4 * top, channels, kernel=1, logvar_start=logvar_start),
        {person: decoder() for person in PEOPLE},
        (channels, 1, 1),
        sample=vae,
        sample_when_decoding=sample_when_decoding,
        cellwise=False,
    )


VARIANTS = {"grid": grid, "reference": reference, "dense": dense, "pooled": pooled}
