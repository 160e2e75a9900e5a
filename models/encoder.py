"""The encoder body: stride-2 convolutions from the picture down to a small feature map."""

from __future__ import annotations

from torch import Tensor, nn

from models.upsample import norm_layer


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
