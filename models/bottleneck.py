"""Bottlenecks: from the encoder's feature map to the latent's mean and log-variance, and back to a feature map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.encoder import he
from models.upsample import UPSAMPLERS, norm_layer


def resample_matrix(n_in: int, n_out: int) -> Tensor:
    """Anti-aliased linear resampling of n_in samples to n_out as an (n_out, n_in) matrix; rows sum to 1.

    The triangle filter of bilinear interpolation, widened when it reduces. Written out: torch's own anti-aliased
    interpolation returns copies of one row when an output side is 1 (2.15, CPU).
    """
    scale = n_in / n_out
    support = max(1.0, scale)
    rows = []
    for i in range(n_out):
        centre = (i + 0.5) * scale
        row = [max(0.0, 1.0 - abs(j + 0.5 - centre) / support) for j in range(n_in)]
        rows.append([value / sum(row) for value in row])
    return torch.tensor(rows)


class Resample(nn.Module):
    """(B, C, h, w) -> (B, C, h', w') by fixed separable anti-aliased linear weights.

    Written as two matrix products on the channels-last layout: deterministic in the backward pass on CUDA too, which
    bilinear interpolation is not.
    """

    rows: Tensor
    cols: Tensor

    def __init__(self, size_in: tuple[int, int], size_out: tuple[int, int]):
        super().__init__()
        self.register_buffer("rows", resample_matrix(size_in[0], size_out[0]), persistent=False)
        self.register_buffer("cols", resample_matrix(size_in[1], size_out[1]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        y = self.rows.to(x.dtype) @ x.permute(0, 2, 3, 1).reshape(b, h, w * c)  # (B, h', w*C)
        y = self.cols.to(x.dtype) @ y.reshape(-1, w, c)  # (B*h', w', C)
        return y.view(b, self.rows.shape[0], self.cols.shape[0], c).permute(0, 3, 1, 2)


class Gather(nn.Conv2d):
    """A convolution whose stride is its kernel: (B, c_in, k*h, k*w) -> (B, c_out, h, w), as one matrix product.

    Blocks do not overlap, so each is a row of the product; the backward pass of a general convolution takes up to twice
    as long here (CPU, bfloat16).
    """

    def __init__(self, c_in: int, c_out: int, kernel: int):
        super().__init__(c_in, c_out, kernel, stride=kernel)

    def forward(self, x: Tensor) -> Tensor:
        (b, c, h, w), k = x.shape, self.kernel_size[0]
        assert self.bias is not None
        blocks = x.permute(0, 2, 3, 1).reshape(b, h // k, k, w // k, k, c).transpose(2, 3).reshape(-1, k * k * c)
        weight = self.weight.permute(0, 2, 3, 1).reshape(self.out_channels, -1)
        return torch.addmm(self.bias, blocks, weight.T).view(b, h // k, w // k, -1).permute(0, 3, 1, 2)


class Scatter(nn.ConvTranspose2d):
    """`Gather` mirrored, a transposed convolution: (B, c_in, h, w) -> (B, c_out, k*h, k*w)."""

    def __init__(self, c_in: int, c_out: int, kernel: int):
        super().__init__(c_in, c_out, kernel, stride=kernel)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        (b, c, h, w), k, c_out = x.shape, self.kernel_size[0], self.out_channels
        assert self.bias is not None
        weight = self.weight.permute(0, 2, 3, 1).reshape(c, -1)  # (c_in, k * k * c_out)
        blocks = torch.addmm(self.bias.repeat(k * k), x.permute(0, 2, 3, 1).reshape(-1, c), weight)
        y = blocks.view(b, h, w, k, k, c_out).transpose(2, 3).reshape(b, k * h, k * w, c_out)
        return y.permute(0, 3, 1, 2)


class GridDown(nn.Module):
    """(B, c_in, s, s) -> (B, c_out, gh, gw): resample to (3gh, 3gw), then a 3x3 convolution of stride 3.

    The parameters do not depend on the grid, so that across a sweep only the number of cells differs. Averaging the
    map down to the grid instead would blur eyes and mouth away before the latent sees them.
    """

    def __init__(self, c_in: int, c_out: int, size: int, grid: tuple[int, int], norm: str = "batch"):
        super().__init__()
        self.resample = Resample((size, size), (3 * grid[0], 3 * grid[1]))
        self.conv = he(Gather(c_in, c_out, 3))
        self.norm = norm_layer(norm, c_out)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(self.resample(x))))


class GridUp(nn.Module):
    """(B, c_in, gh, gw) -> (B, c_out, s, s): transposed convolution, stride 3, then resampling: `GridDown` mirrored."""

    def __init__(self, c_in: int, c_out: int, size: int, grid: tuple[int, int], norm: str = "batch"):
        super().__init__()
        self.conv = Scatter(c_in, c_out, 3)
        self.resample = Resample((3 * grid[0], 3 * grid[1]), (size, size))
        self.norm = norm_layer(norm, c_out)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.resample(self.conv(x))))


class VectorDown(nn.Module):
    """(B, c_in, s, s) -> (B, c_out, 1, 1): no grid is left.

    `cells` n: reduced to n x n as by `GridDown`, flattened, one fully connected layer. `cells` 0: a 1x1 convolution,
    then the mean over all places, which forgets where anything was.
    """

    def __init__(self, c_in: int, c_out: int, size: int, cells: int, norm: str = "batch"):
        super().__init__()
        self.down: nn.Module
        self.dense: nn.Linear | None = None
        if cells:
            self.down = GridDown(c_in, c_in, size, (cells, cells), norm)
            self.dense = he_linear(nn.Linear(c_in * cells**2, c_out))
        else:
            self.down = nn.Sequential(he(nn.Conv2d(c_in, c_out, 1)), norm_layer(norm, c_out), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(x)
        y = y.mean((2, 3)) if self.dense is None else nn.functional.leaky_relu(self.dense(y.flatten(1)), 0.1)
        return y[:, :, None, None]


class VectorUp(nn.Module):
    """(B, c_in, 1, 1) -> (B, c_out, s, s): a fully connected layer to `cells` x `cells` places, then `GridUp`."""

    def __init__(self, c_in: int, c_out: int, size: int, cells: int, norm: str = "batch"):
        super().__init__()
        self.cells = cells
        self.dense = he_linear(nn.Linear(c_in, c_out * cells**2))
        self.up = GridUp(c_out, c_out, size, (cells, cells), norm)

    def forward(self, z: Tensor) -> Tensor:
        y = nn.functional.leaky_relu(self.dense(z.flatten(1)), 0.1)
        return self.up(y.unflatten(1, (-1, self.cells, self.cells)))


def he_linear(layer: nn.Linear, slope: float = 0.1) -> nn.Linear:
    """He initialisation for a fully connected layer that a LeakyReLU of `slope` follows; returns it."""
    nn.init.kaiming_normal_(layer.weight, a=slope)
    nn.init.zeros_(layer.bias)
    return layer


def strided_down(c_in: int, c_mid: int, c_out: int) -> nn.Sequential:
    """The reference bottleneck, kernels 4, strides 2: s -> s/2 (padding 1) -> (s/2 - 4)/2 + 1 (padding 0)."""
    return nn.Sequential(
        he(nn.Conv2d(c_in, c_mid, 4, 2, 1)), nn.LeakyReLU(0.1), he(nn.Conv2d(c_mid, c_out, 4, 2, 0)), nn.LeakyReLU(0.1)
    )


class Uneven(nn.Module):
    """The first upsampling of the reference topology, g -> 2g + 2 (3 -> 8, 7 -> 16).

    `convt` does it by kernel 4, stride 2, padding 0, `convt3` by kernel 3 with an output padding of 1; the others
    upsample by 2 in their own manner (nearest directly to the final size) and pixel shuffles are then resampled from 2g
    to 2g + 2.
    """

    def __init__(self, kind: str, c_in: int, c_out: int, grid: int):
        super().__init__()
        if kind not in UPSAMPLERS:
            raise ValueError(f"upsample must be one of {', '.join(UPSAMPLERS)}, not {kind!r}")
        out = 2 * grid + 2
        self.kind, self.out = kind, out
        self.layer: nn.Module
        if kind == "convt":
            self.layer = nn.ConvTranspose2d(c_in, c_out, 4, 2, 0)
        elif kind == "convt3":
            self.layer = nn.ConvTranspose2d(c_in, c_out, 3, 2, 0, output_padding=1)
        elif kind in ("resize", "bilinear"):
            self.layer = nn.Conv2d(c_in, c_out, 3, padding=1)
        else:
            self.layer = nn.Sequential(UPSAMPLERS[kind](c_in, c_out), Resample((2 * grid, 2 * grid), (out, out)))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "resize":
            x = nn.functional.interpolate(x, size=(self.out, self.out), mode="nearest")
        elif self.kind == "bilinear":
            x = nn.functional.interpolate(x, size=(self.out, self.out), mode="bilinear", align_corners=False)
        return self.layer(x)


class GaussianHead(nn.Module):
    """(B, C, h, w) -> mean and log-variance, each (B, C_latent, h, w), by two convolutions.

    `logvar_start` sets the initial log-variance (its convolution starts near zero): a start near 0 drowns the mean in
    unit noise and starves short runs; -6 lets them begin as a plain autoencoder and pay for the noise as the KL term
    asks for it.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, logvar_start: float = 0.0):
        super().__init__()
        self.mu = he(nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2), slope=1.0)
        self.logvar = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2)
        assert self.logvar.bias is not None
        with torch.no_grad():
            self.logvar.weight.mul_(0.1)
            self.logvar.bias.fill_(logvar_start)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu(x), self.logvar(x).clamp(-20.0, 8.0)
