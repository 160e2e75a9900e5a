"""Every registered loss trains with every registered variant: three steps, on the CPU, all values finite."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny_training import spec_of

from harness import registry
from harness.options import build_model, known_options
from harness.spec import Spec
from harness.train import optimise, terms
from harness.train.step import train_step
from models.perceptual import Perceptual
from models.pretrained import BadWeights

CPU = torch.device("cpu")
# A variant is built with those of these options that it has; one that needs more is given it in `NEEDS`.
SMALL: dict[str, Any] = {
    "width": 4, "channels": 8, "grid": 2, "cells": 2, "code": 8, "mapping_width": 16, "mapping_depth": 2, "mask": True,
}  # fmt: skip
NEEDS: dict[str, dict[str, Any]] = {"reference": {"size": 64, "stages": 2}, "trunk": {"own": 1}}
LOSSES = [name for name in registry.entries("loss") if name != "trouble"]
ONLY = {"style_mixing": "style"}  # the one variant that has what the loss works on


def offered(name: str) -> bool:
    """Whether the loss can be built here, its weights of other people being present."""
    entry = registry.get("loss", name)
    check = getattr(entry.object, "preflight", None)
    try:
        if check:
            check(known_options(entry))
    except BadWeights:
        return False
    return True


def small(variant: str, loss: dict[str, Any]) -> Spec:
    """The smallest trial of a variant with the given losses."""
    needs = dict(NEEDS.get(variant, {}))
    size = needs.pop("size", 16)
    known = known_options(registry.get("variant", variant))
    options = {key: value for key, value in (SMALL | needs).items() if key in known}
    spec = spec_of(data={"size": size}, loss=loss, optim={"steps": 3, "batch": 2})
    return spec.model_copy(update={"model": type(spec.model)(variant=variant, **options)})


def three_steps(spec: Spec) -> list[dict[str, float]]:
    """The loss values of three steps on noise."""
    torch.manual_seed(0)
    model = build_model(spec)
    made = terms.build_losses(spec, model)
    optimiser = optimise.build_optimiser(model, spec.optim, CPU, terms.networks(made))
    size, rows = spec.data.size, []
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for number in range(3):
        batch = {p: (torch.rand(2, 4, size, size), torch.rand(2, 4, size, size)) for p in ("src", "dst")}
        values, norms = train_step(model, made, optimiser, batch, (number, 3), 1, "bf16", spec)
        optimise.check_finite(values, norms, number)
        rows.append({name: float(value) for name, value in values.items()} | terms.logged(made))
    assert any(not torch.equal(before[name], p) for name, p in model.named_parameters())
    return rows


@pytest.mark.parametrize("variant", registry.entries("variant"))
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_alone_trains_every_variant(loss: str, variant: str) -> None:
    if not offered(loss):  # said before training, not in the middle of it
        with pytest.raises(BadWeights):
            terms.build_losses(small(variant, {loss: 1.0}), build_model(small(variant, {"l1": 1.0})))
        return
    if variant != ONLY.get(loss, variant):
        with pytest.raises(ValueError, match=f"only the variant `{ONLY[loss]}` has"):
            three_steps(small(variant, {loss: {"weight": 1.0}}))
        return
    rows = three_steps(small(variant, {loss: {"weight": 1.0}}))
    assert all(math.isfinite(value) for row in rows for value in row.values())
    assert all(row[loss] != 0 for row in rows)


@pytest.mark.parametrize("variant", registry.entries("variant"))
def test_every_variant_trains_with_all_losses_together(variant: str) -> None:
    has_mask = "mask" in known_options(registry.get("variant", variant))
    fits = [name for name in LOSSES if variant == ONLY.get(name, variant)]
    chosen = [name for name in fits if offered(name) and (has_mask or name != "mask")]
    assert len(chosen) >= 12
    rows = three_steps(small(variant, {name: {"weight": 0.1} for name in chosen}))
    for name in chosen:
        assert all(math.isfinite(row[name]) and row[name] != 0 for row in rows), name


def test_losses_without_their_weights_are_the_perceptual_ones_only() -> None:
    assert {name for name in LOSSES if not offered(name)} <= {"lpips"}
    assert registry.get("loss", "perceptual").object is Perceptual
