"""Which layer makes the checkerboard? Three tests of a decoder that need no images.

1. `constant_latent_response`: feed a latent that is the same in every cell, with circular padding. The true answer is
   flat, so every change across the picture is made by the upsamplers. Layers whose factor is no power of two (a way
   out of a 3x3 latent) cannot make a checkerboard on the lattice; their phases are made alike first. Exactly 0 for
   resize + convolution, and for sub-pixel convolution under ICNR at initialisation. Does not apply to decoders with a
   learned constant or noise inputs.
2. `gain_spread`: an upsampler of factor s is s * s interleaved filters (Shi et al. 2016); when their gains for a
   constant differ, a checkerboard appears. Read the coarsest level first: harmonics reach finer ones.
3. `equalised`: make one layer's filters gain alike and measure again: what vanishes was caused there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metrics.case import PEOPLE, Case, Evaluator
from metrics.info import MetricInfo
from metrics.lattice import LEVELS, lattice_points


class ConstantResponse(NamedTuple):
    """`rms`: all that is not flat, fraction of the range; `levels` (3,): its part at each lattice; `image`: output."""

    rms: float
    levels: np.ndarray
    image: Tensor


def _circular_transpose(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """The layer on a torus: output exactly stride times the input, no border to distort the gains."""
    reach, starts, sizes = [], [], []
    for axis in (0, 1):
        step = layer.stride[axis]
        pad = -(-(layer.kernel_size[axis] - 1) * layer.dilation[axis] // step)
        reach.append(pad)
        starts.append(int(layer.padding[axis]) + pad * step)
        sizes.append(x.shape[2 + axis] * step)
    rows = torch.arange(-reach[0], x.shape[2] + reach[0], device=x.device) % x.shape[2]
    columns = torch.arange(-reach[1], x.shape[3] + reach[1], device=x.device) % x.shape[3]
    wrapped = x[:, :, rows][:, :, :, columns]
    stride, dilation = (layer.stride[0], layer.stride[1]), (layer.dilation[0], layer.dilation[1])
    y = F.conv_transpose2d(wrapped, layer.weight, layer.bias, stride, 0, 0, layer.groups, dilation)
    return y[:, :, starts[0] : starts[0] + sizes[0], starts[1] : starts[1] + sizes[1]]


@contextmanager
def circular(module: nn.Module) -> Iterator[nn.Module]:
    """Within: every convolution of `module` pads circularly, and it is in evaluation mode. Restored on leaving."""
    training = module.training
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    transposed = [m for m in module.modules() if isinstance(m, nn.ConvTranspose2d)]
    modes = [m.padding_mode for m in convolutions]
    try:
        for layer in convolutions:
            layer.padding_mode = "circular"
        for up in transposed:
            up.forward = partial(_circular_transpose, up)  # type: ignore[method-assign]
        module.eval()
        yield module
    finally:
        for layer, mode in zip(convolutions, modes, strict=True):
            layer.padding_mode = mode
        for up in transposed:
            del up.forward
        module.train(training)


@torch.no_grad()
def constant_latent_response(decoder: nn.Module, latent: Tensor) -> ConstantResponse:
    """What the decoder paints from a latent that is equal in every cell.

    latent (B, C, h, w), for instance encoded faces: each is replaced by its own mean over the cells. The decoder's
    output is taken as images with a range of 1.
    """
    flat = latent.mean((2, 3), keepdim=True).expand_as(latent)
    off_lattice = [name for name, layer in _upsamplers(decoder).items() if not _on_lattice(*layer)]
    with circular(equalised(decoder, off_lattice) if off_lattice else decoder) as even:
        image = even(flat).double()
    height, width = image.shape[-2:]
    power = torch.fft.fft2(image - image.mean((2, 3), keepdim=True)).abs().square().mean((0, 1)) / (height * width) ** 2
    levels = np.full(LEVELS, np.nan)
    for level in range(1, LEVELS + 1):
        if height % 2**level == 0 and width % 2**level == 0:
            step = (height // 2**level, width // 2**level)
            levels[level - 1] = sum(float(power[a * step[0], b * step[1]]) for a, b in lattice_points(level)) ** 0.5
    return ConstantResponse(float(power.sum()) ** 0.5, levels, image.float())


def _shuffles(module: nn.Module) -> dict[str, int]:
    """{name of a convolution: factor} for those that feed an nn.PixelShuffle, found by the order of registration."""
    found, last = {}, None
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            last = (name, layer)
        elif isinstance(layer, nn.PixelShuffle) and last and last[1].out_channels % layer.upscale_factor**2 == 0:
            found[last[0]] = layer.upscale_factor
    return found


def phase_gains(layer: nn.Module, factor: int | None = None) -> Tensor:
    """(out, in, phases) response of each interleaved filter to a constant input.

    A ConvTranspose2d has stride * stride phases; a Conv2d that feeds a pixel shuffle of `factor` has factor^2.
    Raises TypeError for any other layer.
    """
    if isinstance(layer, nn.ConvTranspose2d):
        down, across = layer.stride
        taps = layer.weight.detach().transpose(0, 1)  # (out, in, k, k); groups > 1 keep their own order
        phases = [taps[:, :, p::down, q::across].sum((2, 3)) for p in range(down) for q in range(across)]
        return torch.stack(phases, dim=-1)
    if isinstance(layer, nn.Conv2d) and factor:
        gains = layer.weight.detach().sum((2, 3))  # channel c * factor^2 + phase, as nn.PixelShuffle reads them
        return gains.unflatten(0, (-1, factor**2)).transpose(1, 2)
    raise TypeError(f"{type(layer).__name__} is no upsampling layer: expected ConvTranspose2d, or Conv2d with a factor")


def _upsamplers(module: nn.Module) -> dict[str, tuple[nn.Module, int | None]]:
    shuffles = _shuffles(module)
    return {
        name: (layer, shuffles.get(name))
        for name, layer in module.named_modules()
        if (isinstance(layer, nn.ConvTranspose2d) and max(layer.stride) > 1) or name in shuffles
    }


def _on_lattice(layer: nn.Module, factor: int | None) -> bool:
    """Whether an upsampling layer's factors are powers of two, so that its checkerboard lies on the lattice."""
    strides = layer.stride if isinstance(layer, nn.ConvTranspose2d) else (factor or 1,)
    return all(step & (step - 1) == 0 for step in strides)


def gain_spread(module: nn.Module) -> dict[str, float]:
    """{layer: spread of its phase gains over their rms}, first layer first; empty without learned upsamplers.

    Of the layers whose factor is a power of two: others make no checkerboard on the lattice. 0: none from a constant;
    1: the phases are unrelated. At a usual random start the spread is near 0.87.
    """
    spreads = {}
    for name, (layer, factor) in _upsamplers(module).items():
        if not _on_lattice(layer, factor):
            continue
        gains = phase_gains(layer, factor)
        variance = gains.var(-1, unbiased=False).mean()
        spreads[name] = float((variance / gains.square().mean().clamp_min(1e-30)).sqrt())
    return spreads


@torch.no_grad()
def equalised(module: nn.Module, names: list[str] | None = None) -> nn.Module:
    """A copy whose upsampling layers (those in `names`, or all) give every phase the mean gain, and the mean bias.

    Each phase's correction is spread over its own taps. Raises KeyError for a name that is no upsampler and
    ValueError for a kernel smaller than its stride (a phase without taps cannot be corrected).
    """
    module = copy.deepcopy(module)
    layers = _upsamplers(module)
    for name in names if names is not None else list(layers):
        if name not in layers:
            raise KeyError(f"{name!r} is no upsampling layer; there are: {', '.join(layers) or 'none'}")
        layer, factor = layers[name]
        gains = phase_gains(layer, factor)
        missing = gains.mean(-1, keepdim=True) - gains
        if isinstance(layer, nn.ConvTranspose2d):
            down, across = layer.stride
            if layer.kernel_size[0] < down or layer.kernel_size[1] < across:
                raise ValueError(f"{name!r} has a kernel smaller than its stride: some phases have no taps")
            for index in range(down * across):
                taps = layer.weight[:, :, index // across :: down, index % across :: across]
                taps += (missing[..., index].T / (taps.shape[2] * taps.shape[3]))[:, :, None, None]
        elif isinstance(layer, nn.Conv2d) and factor:
            layer.weight += missing.transpose(1, 2).flatten(0, 1)[:, :, None, None] / layer.weight[0, 0].numel()
            if layer.bias is not None:
                phases = layer.bias.unflatten(0, (-1, factor**2))
                layer.bias.copy_(phases.mean(1, keepdim=True).expand_as(phases).flatten())
    return module


def causal_equalisation(decoder: nn.Module, measure: Callable[[nn.Module], float]) -> dict[str, float]:
    """{layer: measure(decoder with that layer equalised)}, and under "" the untouched decoder's value.

    `measure` takes a decoder and returns any number, for instance a level's rms by `lattice_energy` on its images.
    """
    return {"": measure(decoder)} | {name: measure(equalised(decoder, [name])) for name in _upsamplers(decoder)}


def _attribution(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    if case.modules is None or case.mu is None:
        for info in EVALUATORS["attribution"].infos:
            case.note(info.name, "needs decoders that are convolutions from the latent's cells on")
            yield info.name, np.full(1, np.nan)
        return
    responses = [constant_latent_response(case.modules[p], case.mu[p][:8]) for p in PEOPLE]
    yield "checkerboard_constant_latent", np.array([100 * response.rms for response in responses])
    for level in range(1, LEVELS + 1):
        values = np.array([100 * response.levels[level - 1] for response in responses])
        if np.isnan(values).any():
            case.note(_of_level(level), f"the decoders paint pictures that no {2**level} px divide")
        yield _of_level(level), values
    spreads = [max(gain_spread(case.modules[person]).values(), default=0.0) for person in PEOPLE]
    yield "checkerboard_gain_spread", np.array(spreads)


def _of_level(level: int) -> str:
    return f"checkerboard_constant_latent_{level}"


EVALUATORS = {
    "attribution": Evaluator(
        _attribution,
        (
            MetricInfo(
                "checkerboard_constant_latent",
                "lower",
                "%",
                0.0,
                "what the decoders paint from a latent equal in every cell, on a torus: made by the upsamplers alone",
                title="Checkerboard from a constant latent",
                decimals=3,
                bounds=(0.0, None),
            ),
            *(
                MetricInfo(
                    _of_level(level),
                    "lower",
                    "%",
                    0.0,
                    f"the part of that which repeats every {2**level} px; coarser ones leave harmonics in finer ones",
                    title=f"Checkerboard {2**level} px from a constant latent",
                    decimals=3,
                    bounds=(0.0, None),
                )
                for level in range(1, LEVELS + 1)
            ),
            MetricInfo(
                "checkerboard_gain_spread",
                "lower",
                "",
                0.0,
                "largest spread of the interleaved filters' gains over the upsampling layers, from the weights alone",
                title="Spread of filter gains",
                decimals=4,
                bounds=(0.0, None),
            ),
        ),
        frozenset({"model"}),
    ),
}
