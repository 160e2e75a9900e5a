"""The decoder body: x2 upsampling stages from the feature map back to the picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.upsample import UPSAMPLERS, stage


def up_channels(body: tuple[int, ...], width: int) -> tuple[int, ...]:
    """Channels of a decoder that mirrors an encoder of channels `body`, ending at half its width (8 at least)."""
    return (body[-1], *reversed(body[:-1]), max(width // 2, 8))


class DecoderBody(nn.Module):
    """(B, channels[0], s, s) -> (B, 3, s * 2^n, s * 2^n) in [0, 1], n = number of upsamplings.

    `head="upsample"` makes the last upsampling itself emit the picture (the reference topology: one upsampling an
    entry of `channels`); `head="conv"` adds a 3x3 convolution after the last stage (one upsampling fewer than
    `channels` has entries). `kinds` is one upsampler name for all stages or one a stage, coarsest first. With `mask` a
    fourth channel is the predicted face mask.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        kinds: str | Sequence[str],
        norm: str = "batch",
        head: str = "upsample",
        mask: bool = False,
    ):
        super().__init__()
        if head not in ("upsample", "conv"):
            raise ValueError(f"head must be 'upsample' or 'conv', not {head!r}")
        n = len(channels) - (head == "conv")
        names = [kinds] * n if isinstance(kinds, str) else list(kinds)
        if len(names) != n:
            raise ValueError(f"upsample lists {len(names)} stages, but this decoder has {n}")
        layers: list[nn.Module] = [
            stage(name, c_in, c_out, norm) for name, c_in, c_out in zip(names, channels, channels[1:], strict=False)
        ]
        if head == "upsample":
            layers.append(UPSAMPLERS[names[-1]](channels[-1], 3 + mask))
        else:
            layers.append(nn.Conv2d(channels[-1], 3 + mask, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(x))
