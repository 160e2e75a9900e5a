"""The encoder body: stride-2 convolutions from the picture down to a small feature map."""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.upsample import norm_layer


def body_channels(size: int, width: int, stages: int | None) -> tuple[tuple[int, ...], int]:
    """Channels after each stride-2 convolution, and the side of the map they end at.

    `width` channels after the first, doubled at each, at most 8 x width. Without `stages`: down to 8x8 up to 128 px,
    then 16x16. ValueError when the size cannot be halved so often.
    """
    if stages is not None and stages < 1:
        raise ValueError(f"stages must be at least 1, not {stages}")
    if stages is not None and stages > 16:
        raise ValueError(f"stages must be at most 16, not {stages}")
    n = stages or max(1, round(math.log2(size / (8 if size <= 128 else 16))))
    base = size // 2**n
    if base * 2**n != size:
        raise ValueError(f"size {size} is not divisible by 2^{n}; choose a multiple of {2**n} or fewer `stages`")
    return tuple(min(width * 2**i, 8 * width) for i in range(n)), base


def he(conv: nn.Conv2d, slope: float = 0.1) -> nn.Conv2d:
    """He initialisation for a convolution that a LeakyReLU of `slope` follows (slope 1: nothing follows); returns it.

    torch's default shrinks the signal by about 0.58 a layer without normalisation: after five layers the latent's mean
    is lost in the sampling noise, and the decoders learn to ignore it.
    """
    nn.init.kaiming_normal_(conv.weight, a=slope)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class EncoderBody(nn.Module):
    """(B, 3, S, S) -> (B, channels[-1], S / 2^n, S / 2^n) by len(channels) = n convolutions (4x4, stride 2).

    The reference body at S = 256 has channels (32, 64, 128, 256) and ends at 16x16.
    """

    def __init__(self, channels: tuple[int, ...], norm: str = "none"):
        super().__init__()
        layers: list[nn.Module] = []
        for c_in, c_out in zip((3, *channels), channels, strict=False):
            layers += [he(nn.Conv2d(c_in, c_out, 4, 2, 1)), norm_layer(norm, c_out), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
