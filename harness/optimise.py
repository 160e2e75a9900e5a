"""The optimiser of the training loop: one Adam with groups, its schedule, and what a checkpoint keeps of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.checkpoint import Checkpoint
from harness.spec import OptimSpec
from models.swapper import Swapper


class Diverged(Exception):
    """A loss term or a gradient is no longer finite. The message names step and term."""


def lr_factor(optim: OptimSpec, number: int, steps: int) -> float:
    """Factor on the learning rate at step `number`: linear warm-up, then constant or a half cosine to 0."""
    if number < optim.warmup:
        return (number + 1) / optim.warmup
    if optim.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (number - optim.warmup) / max(1, steps - optim.warmup)))


def adam(
    model: Swapper, optim: OptimSpec, device: torch.device, networks: Mapping[str, nn.Module] | None = None
) -> torch.optim.Adam:
    """One fused Adam over the parameter groups of a model, then a group for each loss term's own network.

    `base_lr` of a group is its rate before the schedule; a network's is the body's times its factor `lr`.
    """
    rates = {"vae": optim.lr * optim.vae_lr, "body": optim.lr}
    groups = [{"params": list(ps), "lr": rates[name], "base_lr": rates[name]} for name, ps in model.rate_groups()]
    for network in (networks or {}).values():
        rate = optim.lr * getattr(network, "lr", 1.0)
        groups.append({"params": list(network.parameters()), "lr": rate, "base_lr": rate})
    return torch.optim.Adam([g for g in groups if g["params"]], betas=optim.betas, fused=device.type in ("cpu", "cuda"))


def check_finite(values: dict[str, Tensor], norms: dict[str, Tensor], number: int) -> None:
    """Raise Diverged, naming step and terms, when a loss value or a gradient norm is not finite."""
    found = {f"loss term {name}": v for name, v in values.items()} | {f"gradient of {k}": v for k, v in norms.items()}
    if not bool(torch.isfinite(torch.stack([v.float().reshape(()) for v in found.values()])).all()):
        bad = [name for name, v in found.items() if not math.isfinite(float(v))]
        raise Diverged(f"not finite at step {number}: {', '.join(bad)}")


def state(
    model: Swapper, optimiser: torch.optim.Optimizer, networks: Mapping[str, nn.Module] | None = None
) -> dict[str, Tensor]:
    """Weights, buffers and Adam's moments under the names of a checkpoint; `networks`: those of loss terms."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for term, network in (networks or {}).items():
        tensors |= {f"loss/{term}/{name}": value for name, value in network.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{key}": value for key, value in moments.items()}
    return tensors


def restore(
    kept: Checkpoint,
    model: Swapper,
    optimiser: torch.optim.Optimizer,
    networks: Mapping[str, nn.Module] | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """The inverse of `state`: load a checkpoint and return its step and the history so far."""
    model.load_state_dict(_under("model.", kept.tensors))
    for term, network in (networks or {}).items():
        network.load_state_dict(_under(f"loss/{term}/", kept.tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in kept.tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".", 2)
            moments.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, own in optimiser.state.items():
        for key, value in own.items():
            if value.shape == parameter.shape:  # fused Adam walks through memory: moments must lie as their weights do
                own[key] = torch.empty_like(parameter).copy_(value)
    return kept.meta["step"], kept.meta["history"]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class Buffers:
    """A copy of the buffers of networks as they were before a step.

    An attempt that runs out of memory half-way has moved batch norm's statistics already; the next attempt must not
    find them moved. One call a step and kind of number, hence the grouping.
    """

    def __init__(self, *networks: nn.Module) -> None:
        live: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for network in networks:
            for buffer in network.buffers():
                live[buffer.dtype].append(buffer)
        self._pairs = [(group, [torch.empty_like(buffer) for buffer in group]) for group in live.values()]

    def keep(self) -> None:
        """Copy them."""
        for live, kept in self._pairs:
            torch._foreach_copy_(kept, live)

    def put_back(self) -> None:
        """As they were when `keep` was called."""
        for live, kept in self._pairs:
            torch._foreach_copy_(live, kept)
