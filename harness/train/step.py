"""One step of training: both people through the model, every term of the objective, one move of the optimiser."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from harness.spec import Spec
from harness.train.optimise import Optimiser
from harness.train.terms import Term, networks, own_objectives
from models.step import Step
from models.swapper import PEOPLE, Swapper


def train_step(
    model: Swapper,
    terms: list[Term],
    optimiser: Optimiser,
    batch: dict[str, tuple[Tensor, Tensor]],
    at: tuple[int, int],
    parts: int,
    precision: str,
    spec: Spec,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """One optimiser step over `parts` micro-batches: loss values by term, gradient norms by network before clipping.

    The objective of a term's own network is called `<term>.own`. It joins the same backward pass: term and network
    see each other detached.
    """
    model.train()
    sums: dict[str, Tensor] = {}
    chunks = {p: list(zip(*(part.chunk(parts) for part in batch[p]), strict=True)) for p in PEOPLE}
    for pieces in zip(*(chunks[p] for p in PEOPLE), strict=True):
        step = forward(model, dict(zip(PEOPLE, pieces, strict=True)), at, precision, spec.data.encoding)
        share = len(step.z[PEOPLE[0]]) / len(batch[PEOPLE[0]][0])
        values = {name: share * term(step) for name, _, term in terms}
        own = {name: share * value for name, value in own_objectives(terms, step).items()}
        objective = torch.stack([*(weight * values[name] for name, weight, _ in terms), *own.values()]).sum()
        if objective.requires_grad:  # not when every term rests at this step
            objective.backward()
        for name, value in (values | own).items():
            sums[name] = sums.get(name, 0.0) + value.detach()
    groups = model.clip_groups() | {name: list(network.parameters()) for name, network in networks(terms).items()}
    norms = {
        name: nn.utils.clip_grad_norm_(group, spec.optim.clip if spec.optim.clip > 0 else math.inf)
        for name, group in groups.items()
        if any(parameter.grad is not None for parameter in group)
    }
    optimiser.step()
    optimiser.zero_grad()
    return sums, norms


def forward(
    model: Swapper,
    batch: dict[str, tuple[Tensor, Tensor]],
    at: tuple[int, int],
    precision: str,
    encoding: str = "srgb",
) -> Step:
    """Both people through the encoder in one pass, then each through their own decoder.

    `batch`: input and target (B, 4, H, W) of each person; `at`: number of this step and of all.
    """
    inputs = {p: batch[p][0][:, :3] for p in PEOPLE}
    x = torch.cat([inputs[p] for p in PEOPLE]).contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"):
        latent = model.encode(x)
        z = latent.sample() if model.sample else latent.mu
        by_person = {name: dict(zip(PEOPLE, t.chunk(2), strict=True)) for name, t in
                     (("z", z), ("mu", latent.mu), ("logvar", latent.logvar))}  # fmt: skip
        decoded = {p: model.decode_with_mask(by_person["z"][p], p) for p in PEOPLE}
    target = {p: batch[p][1][:, :3] for p in PEOPLE}
    alpha = {p: batch[p][1][:, 3:] for p in PEOPLE}
    rec, mattes = ({p: decoded[p][0] for p in PEOPLE}, {p: decoded[p][1] for p in PEOPLE})
    mu, logvar, codes = (by_person[name] for name in ("mu", "logvar", "z"))
    return Step(inputs, target, alpha, rec, mu, logvar, codes, *at, model, mattes, precision, encoding)
