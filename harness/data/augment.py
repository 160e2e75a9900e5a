"""Augmentation of aligned faces: affine, elastic and zoom steps, composed into one sampling grid and one resampling.

Each step is a backward map on [-1, 1]^2 (x right, y down): out(x) = in(map(x)). Three steps in a row,
I1 = I0 o A, I2 = I1 o W, I3 = I2 o Z, are one: I3(x) = I0(A(W(Z(x)))). So the image is interpolated once, not three
times, which is faster and keeps it sharper. Where W leaves the image its border pixel is repeated (the smear that the
zoom after it crops away); the same holds beyond the border that A uncovers.

Images are resampled in linear light with premultiplied alpha, where averaging pixels is right, and encoded afterwards.
The draws are lengths as fractions of the image side, so one draw means the same at every resolution; all numbers are
drawn whatever is switched off, so a switch changes nothing but its own step.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from harness.spec import AugmentSpec


@dataclass(frozen=True)
class Draws:
    """What one batch of images goes through; small CPU tensors.

    affine: (B, 2, 3) backward map A; field: (B, 2, n, n) displacement (x, y) of W on a lattice whose corners are the
    image's, in units of [-1, 1]; zoom: (B,) side of the part that Z keeps, in (0, 1].
    """

    affine: torch.Tensor
    field: torch.Tensor
    zoom: torch.Tensor

    def to(self, device: torch.device | str) -> Draws:
        """The same draws on `device`."""
        return Draws(*(to_device(t, torch.device(device)) for t in (self.affine, self.field, self.zoom)))


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The values on `device`. From pinned memory a GPU fetches them while the host goes on."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def draw(batch: int, spec: AugmentSpec, generator: torch.Generator) -> Draws:
    """Draw the augmentation of `batch` images; each step happens to an image with `spec.probability`.

    The numbers depend on `spec` and `generator` (CPU) only, never on the model, the image size or the device.
    """
    uniform = torch.rand(batch, 9, generator=generator)
    happens = uniform[:, :3] < spec.probability
    noise = torch.zeros(batch, 2, *[2**spec.warp_octaves + 1] * 2)
    noise[happens[:, 1]] = _octave_noise(int(happens[:, 1].sum()), spec, generator)

    on = happens[:, 0] & spec.affine
    angle = (2 * uniform[:, 3] - 1) * math.radians(spec.rotate) * on
    shift = (2 * uniform[:, 4:6] - 1) * (2 * spec.shift) * on[:, None]  # the side is 2 long in [-1, 1]
    mirror = torch.where((uniform[:, 6] < spec.flip) & on, -1.0, 1.0)
    affine = _affine(angle, shift, mirror)

    low, high = spec.warp
    strength = (low + (high - low) * uniform[:, 7]) * (happens[:, 1] & spec.elastic)
    field = noise * (2 * spec.warp_amplitude * strength)[:, None, None, None]

    low, high = spec.zoom
    zoom = torch.where(happens[:, 2] & spec.zoom_step, low + (high - low) * uniform[:, 8], 1.0)
    return Draws(affine, field, zoom)


def apply(images: torch.Tensor, draws: Draws, spec: AugmentSpec, target: str = "warped") -> tuple[torch.Tensor, ...]:
    """Augment square images (B, C, S, S): the (input, target) pair of a training step, both (B, C, S, S).

    target "warped": the very tensor of the input; "unwarped": the same affine and zoom without the elastic step (what
    the original deepfakes recipe asks for). `draws` must be on the images' device. Bilinear; beyond the border the
    border pixel is repeated.
    """
    size = images.shape[-1]
    warped = _sample(images, sampling_grid(draws, size, spec.order))
    if target == "warped":
        return warped, warped
    return warped, _sample(images, sampling_grid(draws, size, spec.order, elastic=False))


def sampling_grid(draws: Draws, size: int, order: str = "warp_zoom", elastic: bool = True) -> torch.Tensor:
    """(B, S, S, 2): for each output pixel the point of the input, (x, y) in [-1, 1], pixel centres (align_corners off).

    order "warp_zoom": A(W(Z(x))), the source's order; "zoom_warp": A(Z(W(x))).
    """
    device = draws.zoom.device
    line = (torch.arange(size, device=device, dtype=torch.float32) * 2 + 1) / size - 1  # pixel centres
    scaled = draws.zoom[:, None] * line  # (B, S)
    before = scaled if order == "warp_zoom" else line.expand_as(scaled)
    x, y = before[:, None, :], before[:, :, None]
    if elastic:
        weights = _spline_weights(before, draws.field.shape[-1])  # (B, S, n), the same for rows and columns
        # As in a chain of resamplings: nothing beyond the outermost pixel centres exists after the elastic step.
        edge = 1 - 1 / size
        x = (weights @ draws.field[:, 0] @ weights.mT).add_(x).clamp_(-edge, edge)
        y = (weights @ draws.field[:, 1] @ weights.mT).add_(y).clamp_(-edge, edge)
    if order == "zoom_warp":
        x, y = x * draws.zoom[:, None, None], y * draws.zoom[:, None, None]
    a = draws.affine[..., None, None]  # (B, 2, 3, 1, 1)
    grid = torch.empty(*x.shape[:1], size, size, 2, device=device)
    for i in (0, 1):
        grid[..., i] = (a[:, i, 0] * x).add(a[:, i, 1] * y).add_(a[:, i, 2])
    return grid


def _sample(images: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(images, grid.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=False)


def _affine(angle: torch.Tensor, shift: torch.Tensor, mirror: torch.Tensor) -> torch.Tensor:
    """Backward map (B, 2, 3) of: rotate about the centre (counter-clockwise on screen), then shift, then mirror."""
    cos, sin = angle.cos(), angle.sin()
    inverse = torch.stack((cos, -sin, sin, cos), dim=1).view(-1, 2, 2)  # y points down
    offset = -(inverse @ shift[:, :, None])
    inverse = inverse * torch.stack((mirror, torch.ones_like(mirror)), dim=1)[:, None, :]  # the mirror acts first
    return torch.cat((inverse, offset), dim=2)


def _octave_noise(batch: int, spec: AugmentSpec, generator: torch.Generator) -> torch.Tensor:
    """(B, 2, n, n) smooth noise whose largest magnitude is 1 in each image, n = 2^octaves + 1.

    Octave k is white noise on a lattice of 2^k cells a side, smoothed by a Gaussian of `warp_sigma` of its own cells,
    brought to unit variance, and weighted by 2^-(k-1): half the amplitude for each doubling of the frequency.
    """
    finest = 2**spec.warp_octaves + 1
    total = torch.zeros(batch, 2, finest, finest)
    for octave, rows in enumerate(_octave_rows(spec.warp_octaves, spec.warp_sigma)):
        white = torch.rand(batch, 2, rows.shape[1], rows.shape[1], generator=generator) * 2 - 1
        total += 0.5**octave * (rows @ white @ rows.T)
    return total / total.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)


@functools.cache
def _octave_rows(octaves: int, sigma: float) -> tuple[torch.Tensor, ...]:
    """For each octave the (n, points) matrix that smooths its white noise and brings it to the finest lattice."""
    finest, reach = 2**octaves + 1, math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.square().sum().sqrt()  # keeps the variance of white noise
    found = []
    for octave in range(1, octaves + 1):
        points = 2**octave + 1
        rows = torch.stack([F.pad(kernel, (i, points - 1 - i)) for i in range(points)])  # (points, points + 2 reach)
        found.append(_spline_weights(torch.linspace(-1, 1, finest), points) @ rows if points < finest else rows)
    return tuple(found)


def _spline_weights(at: torch.Tensor, points: int) -> torch.Tensor:
    """(..., S) positions in [-1, 1] -> (..., S, points): weights of a uniform cubic B-spline over `points` knots.

    Non-negative and summing to 1, so an interpolated value never exceeds the lattice's; twice differentiable.
    """
    where = (at + 1) * ((points - 1) / 2)
    t = (where[..., None] - torch.arange(points, device=at.device, dtype=at.dtype)).abs()
    weights = torch.where(t < 1, 2 / 3 - t.square() * (1 - t / 2), (2 - t).clamp_min(0) ** 3 / 6)
    return weights / weights.sum(dim=-1, keepdim=True)  # at the ends knots are missing
