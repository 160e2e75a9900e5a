"""The optimiser of two parts: who moves what, what a step of Muon does, and that it is resumed exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.optimize import linprog
from tiny_training import spec_of, store_in
from torch import nn

from harness import registry
from harness.options import build_model
from harness.spec import OptimSpec
from harness.train import loop, muon, optimise

CPU = torch.device("cpu")
MUON = {"algorithm": "muon", "muon_lr": 0.02}


def optim_of(**values: object) -> OptimSpec:
    return OptimSpec.model_validate(MUON | values)


@pytest.mark.parametrize("variant", ["grid", "reference", "dense", "style", "embedding"])
@pytest.mark.parametrize("algorithm", ["adam", "muon"])
def test_every_weight_belongs_to_one_part(variant: str, algorithm: str) -> None:
    model = registry.get("variant", variant).object(
        size=64, width=8, **({"stages": 2} if variant == "reference" else {})
    )
    model = model.to(memory_format=torch.channels_last)
    made = optimise.build_optimiser(model, optim_of(algorithm=algorithm), CPU)
    held = [parameter for group in made.param_groups for parameter in group["params"]]
    assert len(held) == len({p.data_ptr() for p in held}) == len(list(model.parameters()))
    assert {p.data_ptr() for p in held} == {p.data_ptr() for p in model.parameters()}
    if algorithm == "adam":
        assert list(made.parts) == ["adam"]
        return
    moved = {p.data_ptr() for group in made.parts["muon"].param_groups for p in group["params"]}
    names = {name for name, p in model.named_parameters() if p.data_ptr() in moved}
    assert any("head" in name for name in names) and any(not name.startswith(("encoder", "head")) for name in names)
    assert not [name for name in names if name.endswith("bias")]
    sides = [min(p.shape[:2]) for p in model.parameters() if p.data_ptr() in moved]
    assert min(sides) >= optimise.MATRIX_CHANNELS  # neither the picture's three channels nor a person's code


def test_the_vae_branches_run_at_their_factor_in_both_parts() -> None:
    model = build_model(spec_of(model={"width": 8, "channels": 8}))
    made = optimise.build_optimiser(model, optim_of(lr=1e-2), CPU)
    assert [group["base_lr"] for group in made.parts["adam"].param_groups] == [5e-3, 1e-2]
    assert [group["base_lr"] for group in made.parts["muon"].param_groups] == [0.01, 0.02]


class Net(nn.Module):
    """As much of a swapper as an optimiser sees: one convolution (16 -> 24) and its bias."""

    def __init__(self, memory_format: torch.memory_format) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(16, 24, 3).to(memory_format=memory_format)  # type: ignore[call-overload]

    def rate_groups(self):
        yield "body", list(self.parameters())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("of_gradient", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("precision", "astray"), [("bf16", 0.1), ("fp32", 1e-4)])
def test_a_step_of_muon_is_the_gradient_with_its_singular_values_brought_near_one(
    layout: torch.memory_format, of_gradient: torch.memory_format, precision: str, astray: float
) -> None:
    net = Net(layout)
    made = optimise.build_optimiser(net, optim_of(), CPU, precision=precision)  # type: ignore[arg-type]
    before = net.conv.weight.detach().clone()
    gradient = 1e-3 * torch.randn(24, 16, 3, 3, generator=torch.Generator().manual_seed(1))
    net.conv.weight.grad, net.conv.bias.grad = gradient.contiguous(memory_format=of_gradient), torch.ones(24)
    made.step()
    update = ((before - net.conv.weight.detach()) / 0.02).reshape(24, -1)
    left, _, right = torch.linalg.svd(gradient.reshape(24, -1), full_matrices=False)
    in_its_axes = left.T @ update @ right.T
    values = in_its_axes.diagonal()
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3  # the iteration stops near 1
    assert float((in_its_axes - torch.diag(values)).abs().max()) < astray
    made.zero_grad()
    assert net.conv.weight.grad is None and net.conv.bias.grad is None


def test_a_weight_without_a_gradient_stays_where_it_is() -> None:
    net = Net(torch.channels_last)
    made = optimise.build_optimiser(net, optim_of(), CPU)  # type: ignore[arg-type]
    for number in range(2):  # at the second step momentum is there, and must not move what rests
        before = net.conv.weight.detach().clone()
        net.conv.weight.grad = torch.ones_like(net.conv.weight) if number == 0 else None
        made.step()
        assert torch.equal(before, net.conv.weight) == (number == 1)


def test_a_resumed_run_with_muon_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    spec = spec_of(model={"width": 8, "channels": 8}, optim={"steps": 12, **MUON})
    whole = loop.train(spec, 0, store, CPU, tmp_path / "whole").model.state_dict()
    with pytest.raises(loop.Interrupted):
        calls = iter(range(100))
        loop.train(spec, 0, store, CPU, tmp_path / "parts", stop=lambda: next(calls) >= 6)
    rest = loop.train(spec, 0, store, CPU, tmp_path / "parts")
    assert rest.resumed_from == 7
    assert [name for name, value in rest.model.state_dict().items() if not torch.equal(value, whole[name])] == []
    adam = loop.train(spec_of(model={"width": 8, "channels": 8}, optim={"steps": 12}), 0, store, CPU, tmp_path / "adam")
    weight = "head.mu.weight"
    assert not torch.equal(adam.model.state_dict()[weight], whole[weight])


@pytest.mark.parametrize("change", [{"algorithm": "sgd"}, {"muon_lr": 0}, {"muon_momentum": 1.0}])
def test_impossible_settings_are_refused(change: dict) -> None:
    with pytest.raises(ValidationError):
        optim_of(**change)


def test_each_polynomial_is_the_best_on_the_interval_that_the_one_before_it_leaves() -> None:
    low, high = muon.SMALLEST, 1.0
    for polynomial in muon.POLYNOMIALS:
        x = np.concatenate([np.geomspace(low, high, 2000), np.linspace(low, high, 2000)])
        powers, ones = np.stack([x, x**3, x**5], axis=1), np.ones((len(x), 1))
        bounds = np.block([[powers, -ones], [-powers, -ones]])
        best = linprog([0, 0, 0, 1], bounds, np.concatenate([ones, -ones]), bounds=[(None, None)] * 3 + [(0, None)])
        assert polynomial == pytest.approx(best.x[:3], rel=1e-3)
        low, high = 1 - best.x[3], 1 + best.x[3]
    assert low > 0.73 and high < 1.27


@pytest.mark.parametrize("smallest", [-1.2, -4.0, -9.0])
@pytest.mark.parametrize("shape", [(8, 8), (24, 144), (144, 24), (3, 900)])
def test_by_the_gram_matrix_the_iteration_is_the_same(shape: tuple[int, int], smallest: float) -> None:
    """The oracle: the polynomials of the singular values themselves, in double precision."""
    generator = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(*shape, generator=generator).double(), full_matrices=False)
    values = torch.logspace(0, smallest, min(shape)).double()
    expected = values / values.norm()
    for a, b, c in muon.POLYNOMIALS:
        expected = a * expected + b * expected**3 + c * expected**5
    found = muon.orthogonal_by_gram((left * values @ right).float())
    assert torch.allclose(found.double(), left * expected @ right, atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 8), (24, 144), (144, 24), (3, 900)])
def test_the_iteration_brings_even_small_singular_values_near_one(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    left, _, right = torch.linalg.svd(torch.randn(*shape, generator=generator), full_matrices=False)
    wanted = torch.logspace(0, -1.2, min(shape))
    values = torch.linalg.svdvals(muon.orthogonal(left * wanted @ right).float())
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def test_the_iteration_leaves_a_zero_matrix_finite() -> None:
    assert torch.equal(muon.orthogonal(torch.zeros(4, 6)), torch.zeros(4, 6, dtype=torch.bfloat16))
    assert torch.equal(muon.orthogonal_by_gram(torch.zeros(4, 6)), torch.zeros(4, 6))


def test_a_weight_that_no_matrix_can_share_memory_with_is_an_error_and_not_left_behind() -> None:
    weight = nn.Parameter(torch.randn(16, 16, 3, 3).transpose(2, 3))
    part = muon.Muon([weight], lr=0.1)
    weight.grad = torch.ones_like(weight)
    with pytest.raises(RuntimeError, match="view"):
        part.step()
