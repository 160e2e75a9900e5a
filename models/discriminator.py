"""Discriminators: whose latent is this, and is this patch of a picture real. Neither normalises over the batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def latent_critic(shape: tuple[int, int, int], people: int, width: int = 64) -> nn.Sequential:
    """(B, *shape) latents -> (B, people) logits. Two 3x3 convolutions and a matrix; at 1x1 cells a plain network."""
    channels, rows, columns = shape
    return nn.Sequential(
        *(nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)),
        *(nn.Flatten(), nn.Linear(width * rows * columns, people)),
    )


def patch_critic(size: int, outputs: int, width: int = 32) -> nn.Sequential:
    """(B, 3, size, size) -> (B, outputs, h, w) scores of overlapping patches (PatchGAN, Isola et al. 2017).

    Up to three stride-2 convolutions, so that one score sees 38 pixels; fewer for pictures under 32 pixels.
    """
    layers: list[nn.Module] = []
    channels = 3
    for k in range(max(1, min(3, int(math.log2(size)) - 2))):
        layers += [nn.Conv2d(channels, width * 2**k, 4, 2, 1), nn.LeakyReLU(0.2)]
        channels = width * 2**k
    return nn.Sequential(*layers, nn.Conv2d(channels, outputs, 3, padding=1))


def gradient_penalty(scores: Tensor, pictures: Tensor) -> Tensor:
    """R1: the mean over pictures of the squared norm of d score / d picture (Mescheder et al. 2018); a scalar.

    scores (B, ...): their mean over all but the batch is a picture's score; pictures (B, 3, H, W) that they were
    computed from, with gradients asked for. It can be differentiated once more.
    """
    each = scores.reshape(len(pictures), -1).mean(1).sum()
    (slope,) = torch.autograd.grad(each, pictures, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()
