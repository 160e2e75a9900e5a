"""The style-based decoder: a latent without any grid steers a synthesis that starts from a learned constant.

Karras, Laine, Aila 2019 (arXiv:1812.04948), with a VAE's latent in place of random noise and one decoder per person.
Unlike there, z is not normalised before the mapping network (its length is information here), and each level has one
convolution by default, which makes the decoder about as costly as that of the grid family.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from models.bottleneck import GaussianHead, VectorDown, he_linear
from models.encoder import EncoderBody, body_channels, he
from models.swapper import PEOPLE, Swapper, split_mask
from models.upsample import Norm


class Mapping(nn.Module):
    """Latent z (B, C, 1, 1) -> intermediate w (B, width), by `depth` fully connected layers; depth 0: w is z."""

    def __init__(self, channels: int, width: int, depth: int):
        super().__init__()
        sides = [channels] + [width] * depth
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise(sides):
            layers += [he_linear(nn.Linear(n_in, n_out), slope=0.2), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z.flatten(1))


class Noise(nn.Module):
    """Add Gaussian noise, one for all channels, by learned scales that start at 0. (B, C, H, W) -> the same.

    Drawn anew in training. In evaluation its mean is added, nothing, or (`fixed`) one pattern that never changes.
    """

    def __init__(self, channels: int, fixed: bool, seed: int):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(channels))
        self.fixed, self.seed = fixed, seed

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            noise = torch.randn(len(x), *x.shape[2:], 1, device=x.device, dtype=x.dtype)
        elif self.fixed:
            generator = torch.Generator().manual_seed(self.seed)
            noise = torch.randn(1, *x.shape[2:], 1, generator=generator, device="cpu").to(x)
        else:
            return x
        # (B, H, W, C): along the channels-last layout
        return torch.addcmul(x.permute(0, 2, 3, 1), noise, self.scale.to(x.dtype)).permute(0, 3, 1, 2)


class AdaIN(nn.Module):
    """Normalise each feature map, then scale and shift it by an affine function of w. (B, C, H, W), (B, W) -> like x.

    Huang, Belongie 2017 (arXiv:1703.06868). Means are matrix products over the channels-last layout: on a CPU in
    bfloat16 a fifth of the time of torch's normalisation layers.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.affine = nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scale, shift = self.affine(w).to(x.dtype)[:, None].chunk(2, dim=2)  # (B, 1, C)
        b, c, height, width = x.shape
        y = x.permute(0, 2, 3, 1).reshape(b, height * width, c)
        mean = y.new_full((b, 1, height * width), 1 / (height * width))
        y = y - mean @ y
        gain = (1 + scale) * torch.rsqrt((mean @ y.square()).to(x.dtype) + 1e-5)
        return torch.addcmul(shift, y, gain).view(b, height, width, c).permute(0, 3, 1, 2)


class StyleLayer(nn.Module):
    """Resize by 2 if asked for, convolution, noise, AdaIN, LeakyReLU. (B, c_in, H, W), (B, W) -> (B, c_out, ..)."""

    def __init__(self, c_in: int, c_out: int, width: int, resize: str | None, noise: nn.Module):
        super().__init__()
        self.resize = resize
        self.conv = he(nn.Conv2d(c_in, c_out, 3, padding=1))
        self.noise, self.adain = noise, AdaIN(c_out, width)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        if self.resize == "nearest":
            x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
        elif self.resize == "bilinear":
            x = nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return nn.functional.leaky_relu(self.adain(self.noise(self.conv(x)), w), 0.1)


class Synthesis(nn.Module):
    """w (B, W), or one w a layer (coarsest first), -> picture (B, 3, S, S) in [0, 1], with `mask` (B, 4, S, S).

    `channels`: of each level, coarsest first; level i is start * 2^i pixels wide; `constant`: of the learned constant.
    """

    def __init__(
        self,
        channels: Sequence[int],
        constant: int,
        start: int,
        width: int,
        convs: int,
        resize: str,
        noise: bool,
        fixed: bool,
        mask: bool,
    ):
        super().__init__()
        self.start = nn.Parameter(torch.randn(1, constant, start, start))
        layers: list[nn.Module] = []
        for level, c_out in enumerate(channels):
            for k in range(convs):
                before = channels[level - 1] if level else constant
                c_in = c_out if k else before
                grain = Noise(c_out, fixed, len(layers)) if noise else nn.Identity()
                layers.append(StyleLayer(c_in, c_out, width, resize if level and not k else None, grain))
        self.layers = nn.ModuleList(layers)
        self.picture = nn.Conv2d(channels[-1], 3 + mask, 3, padding=1)

    def forward(self, w: Tensor | Sequence[Tensor]) -> Tensor:
        styles = [w] * len(self.layers) if isinstance(w, Tensor) else list(w)
        x = self.start.expand(styles[0].shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
        for layer, style in zip(self.layers, styles, strict=True):
            x = layer(x, style)
        return torch.sigmoid(self.picture(x))


class StyleSwapper(Swapper):
    """A swapper whose decoders map the latent (B, C, 1, 1) to w and synthesise a picture from it, layer by layer.

    `decoders[person]` is (mapping, or an identity where `trunk` maps for everybody; synthesis).
    """

    @property
    def layers(self) -> int:
        """Styled layers of a synthesis, the range of `mix`'s depth."""
        return len(self._synthesis(self.people[0]).layers)

    def mapped(self, z: Tensor, person: str) -> Tensor:
        """Latent (B, C, 1, 1) -> the intermediate w (B, W) that `person`'s synthesis takes, in float32."""
        w = z if self.trunk is None else self.trunk(z)
        return self.decoders[person][0](w).float()  # type: ignore[index]

    def decode_mapped(self, w: Tensor | Sequence[Tensor], person: str) -> Tensor:
        """w (B, W), or a sequence of one a layer, -> `person`'s picture (B, 3, S, S) in [0, 1], in float32."""
        return split_mask(self._synthesis(person)(w))[0]

    def mix(self, z_a: Tensor, z_b: Tensor, person: str, depth: int) -> Tensor:
        """`person`'s picture (B, 3, S, S): the coarsest `depth` layers styled by z_a, the others by z_b.

        Depth 0 is decode(z_b), depth `layers` decode(z_a). ValueError for a depth outside.
        """
        if not 0 <= depth <= self.layers:
            raise ValueError(f"depth must be between 0 and {self.layers}, not {depth}")
        a, b = self.mapped(z_a, person), self.mapped(z_b, person)
        return self.decode_mapped([a] * depth + [b] * (self.layers - depth), person)

    def _synthesis(self, person: str) -> Synthesis:
        return self.decoders[person][1]  # type: ignore[index,return-value]


def style(
    size: int,
    channels: int = 512,
    mapping: bool = True,
    mapping_depth: int = 4,
    mapping_width: int = 256,
    shared_mapping: bool = False,
    constant: int | None = None,
    noise: bool = True,
    noise_at_eval: Literal["none", "fixed"] = "none",
    convs: int = 1,
    upsample: Literal["resize", "bilinear"] = "resize",
    width: int = 32,
    stages: int | None = None,
    norm: Norm = "batch",
    vae: bool = True,
    logvar_start: float = -6.0,
    sample_when_decoding: bool = False,
    mask: bool = False,
) -> Swapper:
    """Style-based decoders: a latent vector, mapped to w, styles every layer that grows from a learned constant 4x4.

    `channels`: length of the latent. `mapping: false` styles by z itself; `shared_mapping`: one mapping for both
    people. `constant`: channels of the learned constant (StyleGAN: 512); unset: those of the first level. `noise`:
    per-pixel noise of learned strength, in evaluation its mean (`none`) or one fixed pattern. `convs`:
    styled convolutions a level. `norm`: of the encoder. The rest as `grid`.
    """
    n = max(0, round(math.log2(size / 4)))
    start = size // 2**n
    if start * 2**n != size:
        raise ValueError(f"size {size} cannot be reached by doubling a small start; choose a multiple of {2**n}")
    if min(convs, mapping_depth, mapping_width, 1 if constant is None else constant) < 1:
        raise ValueError("convs, mapping_depth, mapping_width and constant must be at least 1")
    body, base = body_channels(size, width, stages)
    top = body[-1]
    levels = [min(max(width // 2, 8) * 2 ** (n - i), 8 * width) for i in range(n + 1)]
    depth, styles = (mapping_depth, mapping_width) if mapping else (0, channels)

    def decoder() -> nn.Module:
        own: nn.Module = nn.Identity() if shared_mapping else Mapping(channels, styles, depth)
        resize = "nearest" if upsample == "resize" else "bilinear"
        return nn.Sequential(
            own,
            Synthesis(
                levels, constant or levels[0], start, styles, convs, resize, noise, noise_at_eval == "fixed", mask
            ),
        )

    return StyleSwapper(
        nn.Sequential(EncoderBody(body, norm), VectorDown(top, 4 * top, base, 4, norm)),
        GaussianHead(4 * top, channels, kernel=1, logvar_start=logvar_start),
        {person: decoder() for person in PEOPLE},
        (channels, 1, 1),
        sample=vae,
        sample_when_decoding=sample_when_decoding,
        trunk=Mapping(channels, styles, depth) if shared_mapping else None,
        cellwise=False,
    )


VARIANTS = {"style": style}
