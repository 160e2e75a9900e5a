"""Variants in which people share parts of their decoders, over the bodies of the grid family.

Shared parts see one person's batch at a time. Batch normalisation would then train on each person's own statistics and
be judged with a mixture of both, and it erases what is constant over a batch, such as a person's code: groups are
normalised by default.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.bottleneck import GaussianHead, GridDown, GridUp
from models.decoder import DecoderBody, up_channels
from models.encoder import EncoderBody, body_channels
from models.swapper import PEOPLE, Swapper
from models.upsample import Norm, Upsample, stage
from models.variants import cells_of


def trunk(
    size: int,
    grid: int | tuple[int, int] = 3,
    own: int = 2,
    people: tuple[str, ...] = PEOPLE,
    width: int = 32,
    stages: int | None = None,
    channels: int = 128,
    upsample: Upsample | list[Upsample] = "resize",
    norm: Norm = "group",
    vae: bool = True,
    logvar_start: float = -6.0,
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """Shared trunk: one decoder up to its last stages, of which each person has their own.

    `own`: upsampling stages that are a person's own, the finest; 0 leaves him the last convolution. The rest as `grid`.
    """
    cells, names = cells_of(grid), _distinct(people)
    body, base = body_channels(size, width, stages)
    top, up, n = body[-1], up_channels(body, width), len(body)
    if not 0 <= own <= n:
        raise ValueError(f"own must be between 0 and {n}, the stages of this decoder, not {own}")
    kinds = [upsample] * n if isinstance(upsample, str) else list(upsample)
    if len(kinds) != n:
        raise ValueError(f"upsample lists {len(kinds)} stages, but this decoder has {n}")
    shared = [stage(kinds[i], up[i], up[i + 1], norm) for i in range(n - own)]
    return Swapper(
        nn.Sequential(EncoderBody(body, norm), GridDown(top, 2 * top, base, cells, norm)),
        GaussianHead(2 * top, channels, kernel=1, logvar_start=logvar_start),
        {p: DecoderBody(up[n - own :], kinds[n - own :], norm, head="conv", mask=mask) for p in names},
        (channels, *cells),
        sample=vae,
        sample_when_decoding=sample_when_decoding,
        trunk=nn.Sequential(GridUp(channels, top, base, cells, norm), *shared),
    )


class PersonCode(nn.Module):
    """A learned vector that says who is to be painted: (B, C, h, w) -> (B, C + length, h, w), the same in each cell."""

    def __init__(self, length: int):
        super().__init__()
        self.code = nn.Parameter(torch.randn(length))

    def forward(self, z: Tensor) -> Tensor:
        code = self.code.to(z.dtype)[None, :, None, None].expand(z.shape[0], -1, *z.shape[2:])
        return torch.cat([z, code], dim=1)


def embedding(
    size: int,
    grid: int | tuple[int, int] = 3,
    code: int = 64,
    people: tuple[str, ...] = PEOPLE,
    width: int = 32,
    stages: int | None = None,
    channels: int = 128,
    upsample: Upsample | list[Upsample] = "resize",
    norm: Norm = "group",
    vae: bool = True,
    logvar_start: float = -6.0,
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """One decoder for everybody, a learned code beside the latent says whom to paint; any number of people.

    `code`: length of a person's code, which is all that is not shared. The rest as `grid`.
    """
    cells, names = cells_of(grid), _distinct(people)
    if code < 1:
        raise ValueError(f"code must be at least 1, not {code}")
    body, base = body_channels(size, width, stages)
    top = body[-1]
    return Swapper(
        nn.Sequential(EncoderBody(body, norm), GridDown(top, 2 * top, base, cells, norm)),
        GaussianHead(2 * top, channels, kernel=1, logvar_start=logvar_start),
        {person: PersonCode(code) for person in names},
        (channels, *cells),
        sample=vae,
        sample_when_decoding=sample_when_decoding,
        tail=nn.Sequential(
            GridUp(channels + code, top, base, cells, norm),
            DecoderBody(up_channels(body, width), upsample, norm, head="conv", mask=mask),
        ),
    )


class Abreast(nn.Module):
    """Intermediate networks side by side over one feature map, their outputs (B, C, h, w) stacked: (B, n * C, h, w)."""

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([network(x) for network in self.networks], dim=1)


class HeadsAbreast(nn.Module):
    """One Gaussian head for each of n stacked outputs; means and log-variances are stacked again."""

    def __init__(self, heads: list[GaussianHead]):
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = [head(part) for head, part in zip(self.heads, x.chunk(len(self.heads), dim=1), strict=True)]
        return torch.cat([mu for mu, _ in found], dim=1), torch.cat([logvar for _, logvar in found], dim=1)


class Chosen(nn.Module):
    """Of n stacked latents (B, n * C, h, w), those of the given indices, stacked in their order. No parameters."""

    def __init__(self, count: int, indices: tuple[int, ...]):
        super().__init__()
        self.count, self.indices = count, indices

    def forward(self, z: Tensor) -> Tensor:
        parts = z.chunk(self.count, dim=1)
        return torch.cat([parts[i] for i in self.indices], dim=1)


def liae(
    size: int,
    grid: int | tuple[int, int] = 3,
    people: tuple[str, ...] = PEOPLE,
    width: int = 32,
    stages: int | None = None,
    channels: int = 128,
    upsample: Upsample | list[Upsample] = "resize",
    norm: Norm = "group",
    vae: bool = True,
    logvar_start: float = -6.0,
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """Shared intermediate (as DeepFaceLab's LIAE): networks AB and B make two latents, one decoder paints both people.

    The first person is painted from (AB, AB), every other from (B, AB) with a B of their own; the latent stacks AB and
    each B, `channels` apiece. B never sees the first person's pictures with an answer to learn, so that only the swap
    to the first person is what LIAE was made for. The rest as `grid`.
    """
    cells, names = cells_of(grid), _distinct(people)
    body, base = body_channels(size, width, stages)
    top, count = body[-1], len(names)
    return Swapper(
        nn.Sequential(
            EncoderBody(body, norm), Abreast([GridDown(top, 2 * top, base, cells, norm) for _ in range(count)])
        ),
        HeadsAbreast([GaussianHead(2 * top, channels, kernel=1, logvar_start=logvar_start) for _ in range(count)]),
        {person: Chosen(count, (i, 0)) for i, person in enumerate(names)},
        (count * channels, *cells),
        sample=vae,
        sample_when_decoding=sample_when_decoding,
        tail=nn.Sequential(
            GridUp(2 * channels, top, base, cells, norm),
            DecoderBody(up_channels(body, width), upsample, norm, head="conv", mask=mask),
        ),
    )


def _distinct(people: tuple[str, ...]) -> tuple[str, ...]:
    """`people` as given. ValueError unless src and dst are among them, each name once."""
    if len(set(people)) != len(people) or not set(PEOPLE) <= set(people):
        raise ValueError(f"people must hold src and dst, and each name once, not {list(people)}")
    return tuple(people)


VARIANTS = {"trunk": trunk, "embedding": embedding, "liae": liae}
