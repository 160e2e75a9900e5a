"""Upsampling stages: `UPSAMPLERS[kind](c_in, c_out, scale=2)`: (B, c_in, H, W) -> (B, c_out, scale*H, scale*W).

Transposed convolution and its checkerboard: Odena et al. 2016, "Deconvolution and Checkerboard Artifacts".
Sub-pixel convolution: Shi et al. 2016 (arXiv:1609.05158); ICNR initialisation: Aitken et al. 2017 (arXiv:1707.02937).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from models.resize_conv import ResizedConvolution, folding

Upsample = Literal["convt", "convt3", "resize", "bilinear", "pixelshuffle", "pixelshuffle_icnr"]
Norm = Literal["batch", "group", "none"]


class Resize(nn.Module):
    """Resize, then a 3x3 convolution. `mode` is "nearest" or "bilinear"; `scale` is an integer factor."""

    def __init__(self, c_in: int, c_out: int, scale: int = 2, mode: str = "nearest"):
        super().__init__()
        self.scale, self.mode = scale, mode
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.register_buffer("fold", folding(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self._doubles_in_training():
            if x.device.type != "meta" and torch.is_autocast_enabled(x.device.type):
                x = x.to(torch.get_autocast_dtype(x.device.type))
            x = x.contiguous(memory_format=torch.channels_last)
            return ResizedConvolution.apply(x, self.conv.weight, self.conv.bias, self.fold)
        if self.mode == "nearest":
            x = nn.functional.interpolate(x, scale_factor=self.scale, mode="nearest")
        else:
            x = nn.functional.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv(x)

    def _doubles_in_training(self) -> bool:
        """Whether the faster way applies, which saves most where gradients are asked for."""
        plain = self.mode == "nearest" and self.scale == 2 and self.conv.padding_mode == "zeros"
        return plain and torch.is_grad_enabled() and self.conv.weight.requires_grad


class PixelShuffle(nn.Module):
    """A 3x3 convolution to c_out * scale^2 channels, then the sub-pixel rearrangement.

    With `icnr` the sub-pixels of one output channel start as copies of each other, so that the layer begins as a
    nearest resize and has no grid at initialisation. nn.PixelShuffle reads channels as (c_out, scale, scale): copies
    must stand beside each other, hence `repeat_interleave`, not `repeat`.
    """

    def __init__(self, c_in: int, c_out: int, scale: int = 2, icnr: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        if icnr:
            with torch.no_grad():
                self.conv.weight.copy_(self.conv.weight[:: scale**2].repeat_interleave(scale**2, dim=0))
                assert self.conv.bias is not None
                self.conv.bias.copy_(self.conv.bias[:: scale**2].repeat_interleave(scale**2, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.conv(x))


def conv_transpose(c_in: int, c_out: int, scale: int = 2) -> nn.Module:
    """Transposed convolution that exactly multiplies the size: kernel 4, stride 2, padding 1 for a factor of 2.

    For a factor s the kernel is 2s and the padding s/2 (s even) or (s+1)/2 with an output padding of 1 (s odd).
    """
    odd = scale % 2
    return nn.ConvTranspose2d(c_in, c_out, 2 * scale, scale, (scale + odd) // 2, output_padding=odd)


def uneven_transpose(c_in: int, c_out: int, scale: int = 2) -> nn.Module:
    """Textbook case of uneven overlap: kernel 3, stride 2. Some pixels are painted by two taps a side, some by one.

    For a factor s the kernel is s + 1, with a padding and an output padding of 1 that multiply the size exactly.
    """
    return nn.ConvTranspose2d(c_in, c_out, scale + 1, scale, 1, output_padding=1)


UPSAMPLERS: dict[str, Callable[..., nn.Module]] = {
    "convt": conv_transpose,
    "convt3": uneven_transpose,
    "resize": partial(Resize, mode="nearest"),
    "bilinear": partial(Resize, mode="bilinear"),
    "pixelshuffle": partial(PixelShuffle, icnr=False),
    "pixelshuffle_icnr": partial(PixelShuffle, icnr=True),
}


def norm_layer(kind: str, channels: int) -> nn.Module:
    """Normalisation over (B, channels, H, W): "batch", "group" (at most 8 groups) or "none"."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(next(g for g in (8, 4, 2, 1) if channels % g == 0), channels)
    if kind == "none":
        return nn.Identity()
    raise ValueError(f"norm must be 'batch', 'group' or 'none', not {kind!r}")


def stage(kind: str, c_in: int, c_out: int, norm: str = "batch", scale: int = 2) -> nn.Sequential:
    """One decoder stage: upsample, normalise, LeakyReLU(0.1). (B, c_in, H, W) -> (B, c_out, scale*H, scale*W)."""
    if kind not in UPSAMPLERS:
        raise ValueError(f"upsample must be one of {', '.join(UPSAMPLERS)}, not {kind!r}")
    return nn.Sequential(UPSAMPLERS[kind](c_in, c_out, scale), norm_layer(norm, c_out), nn.LeakyReLU(0.1))
