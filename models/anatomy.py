"""What a variant is made of, before anything is trained: parameters, arithmetic and the shape of its latent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

SIZES = (64, 256, 512)  # px; a topology that does not exist at the first is shown at the source's own sizes

# Products whose arithmetic is left to torch's own counter.
UNCOUNTED = {
    "addmm", "addbmm", "baddbmm", "addmv", "mv", "dot", "einsum", "tensordot", "bilinear", "rmatmul", "lstm", "gru",
    "rnn_tanh", "rnn_relu", "scaled_dot_product_attention", "multi_head_attention_forward",
}  # fmt: skip


def anatomy(build: Callable[..., Any], size: int, **options: Any) -> dict[str, Any]:
    """Sizes of `build(size, **options)`, from one swap with weights that are never initialised.

    `px`, `parameters`, `flops` (of one swap of one picture: encoder and one decoder, a multiplication and an addition
    counted as two), `latent` (C, h, w), `grid` "hxw", `cells`, `compression` (values in over values in the latent).
    ValueError where the variant does not exist at this size.
    """
    import torch

    with undrawn():
        model = build(size=size, **options).eval()
    with torch.no_grad():
        flops = swap_flops(model.to_empty(device="cpu"), size)
    c, h, w = model.latent_shape
    return {
        "px": size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops": flops,
        "latent": [c, h, w],
        "grid": f"{h}x{w}",
        "cells": h * w,
        "compression": round(3 * size**2 / (c * h * w), 2),
    }


@contextlib.contextmanager
def undrawn() -> Iterator[None]:
    """Within the block modules are built on the meta device: shapes without memory, and without random numbers."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Undrawn(TorchFunctionMode):
        """Leaves out random initialisation: without memory it has no meaning, and costs seconds of imports in torch."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if getattr(func, "__name__", "") in ("normal_", "uniform_") and args and args[0].is_meta:
                return args[0]
            return func(*args, **(kwargs or {}))

    with torch.device("meta"), Undrawn():
        yield


def swap_flops(model: Any, size: int) -> int:
    """FLOPs of `model.swap` of one picture; the weights may hold anything.

    The same as torch's FlopCounterMode counts, which costs four seconds of imports: it is only asked about a model with
    products that are not counted here. For the same reason the tensors are real: the meta device's convolutions import
    sympy.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Counter(TorchFunctionMode):
        total, known = 0, True

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name, out = getattr(func, "__name__", "").strip("_"), func(*args, **(kwargs or {}))
            if name in ("conv2d", "linear"):
                self.total += 2 * out.numel() * args[1][0].numel()
            elif name == "conv_transpose2d":
                self.total += 2 * args[0].numel() * args[1][0].numel()
            elif name in ("matmul", "bmm", "mm"):
                self.total += 2 * out.numel() * args[0].shape[-1]
            elif name in UNCOUNTED or name.startswith("conv"):
                self.known = False
            return out

    x = torch.zeros(1, 3, size, size)
    with Counter() as counter:
        model.swap(x, "dst")
    if counter.known:
        return counter.total
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as exact:
        model.swap(x, "dst")
    return exact.get_total_flops()


def smallest(build: Callable[..., Any]) -> dict[str, Any]:
    """`anatomy` with default options at the first of SIZES at which the variant exists; empty when at none."""
    for size in SIZES:
        try:
            return anatomy(build, size)
        except Exception:  # no such size, a required option; or somebody's own variant, which may fail in any way
            continue
    return {}
