"""Loss terms with a network of their own in the loop: resumption, clipping, divergence, memory."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import CPU, after, assert_equal, history_of, run
from tiny_training import spec_of, store_in
from torch import Tensor, nn

from harness.data.store import FaceStore
from harness.options import build_model
from harness.train import checkpoint, loop, optimise, terms
from harness.train import step as step_module
from harness.train.step import train_step
from models.adversarial import AdversarialIdentity
from models.step import Step

CRITICS = {
    "l1": 1.0,
    "adversarial_identity": {"weight": 0.1, "width": 8, "learn_every": 2, "lr": 0.5},
    "image_discriminator": {"weight": 0.05, "width": 4, "r1_every": 3, "every": 2},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    return store_in(tmp_path_factory.mktemp("root"))


def test_resumed_run_equals_uninterrupted_run_with_networks_of_losses(store: FaceStore, tmp_path: Path) -> None:
    spec = spec_of(optim={"steps": 10}, loss=CRITICS)
    whole = run(spec, store, tmp_path / "whole")
    last = 0
    for step in (1, 6):  # after 1 neither network has learned yet: Adam has no moments of them
        with pytest.raises(loop.Interrupted):
            run(spec, store, tmp_path / "parts", stop=after(step - last))
        last = step
    rest = run(spec, store, tmp_path / "parts")
    assert rest.resumed_from == 6
    assert_equal(whole.model, rest.model)
    rows = history_of(tmp_path / "parts")
    assert rows == history_of(tmp_path / "whole")
    kept = [checkpoint.load(tmp_path / name / "checkpoint") for name in ("whole", "parts")]
    assert kept[0] is not None and kept[1] is not None
    ours, theirs = kept[0].tensors, kept[1].tensors
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert {name.split("/")[1] for name in ours if name.startswith("loss/")} == set(CRITICS) - {"l1"}


def test_history_tells_a_networks_objective_and_log_and_keeps_them_out_of_the_total(
    store: FaceStore, tmp_path: Path
) -> None:
    run(spec_of(optim={"steps": 12}, loss=CRITICS), store, tmp_path)
    row = history_of(tmp_path)[-1]
    assert set(row["loss"]) == {
        *CRITICS,
        *("adversarial_identity.own", "adversarial_identity.accuracy"),
        *("image_discriminator.own", "image_discriminator.real", "image_discriminator.fake"),
    }
    weights = {"l1": 1.0, "adversarial_identity": 0.1, "image_discriminator": 0.05}
    assert row["total"] == pytest.approx(sum(weight * row["loss"][name] for name, weight in weights.items()))
    assert {"adversarial_identity", "image_discriminator"} < set(row["grad_norm"])
    assert row["lr"] == pytest.approx(1e-2 * 0.5 * (1 + math.cos(math.pi * 11 / 12)))


def test_a_network_of_a_loss_has_its_own_rate_and_leaves_the_models_start_alone() -> None:
    plain, spec = spec_of(), spec_of(loss=CRITICS)
    torch.manual_seed(0)
    alone = build_model(plain)
    torch.manual_seed(0)
    model = build_model(spec)
    critics = terms.networks(terms.build_losses(spec, model))
    assert_equal(alone, model)
    groups = optimise.build_optimiser(model, spec.optim, CPU, critics).param_groups
    assert [group["base_lr"] for group in groups] == [5e-3, 1e-2, 5e-3, 1e-2]
    assert [len(group["params"]) for group in groups[2:]] == [6, 6]


def step_once(model: nn.Module, made: list, spec: Any, number: int = 5) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(3)
    batch = {p: (torch.rand(6, 4, 16, 16, generator=noise),) * 2 for p in ("src", "dst")}
    optimiser = optimise.build_optimiser(model, spec.optim, CPU, terms.networks(made))  # type: ignore[arg-type]
    torch.manual_seed(1)
    return train_step(model, made, optimiser, batch, (number, 8), 1, "fp32", spec)[1]  # type: ignore[arg-type]


def test_a_networks_learning_does_not_move_the_swapper_in_its_step() -> None:
    class Silent(AdversarialIdentity):
        """The network learns; the encoder hears nothing."""

        def __call__(self, step: Step) -> Tensor:
            return step.zero()

    spec = spec_of(loss={"l1": 1.0})
    found = []
    for extra in (False, True):
        torch.manual_seed(0)
        model = build_model(spec)
        made = terms.build_losses(spec, model)
        if extra:
            silent = Silent(width=8)
            silent.bind(model, 16)
            before = [p.detach().clone() for p in silent.parameters()]
            made.append(("silent", 1.0, silent))
        norms = step_once(model, made, spec)
        found.append(model)
    assert_equal(*found)
    assert float(norms["silent"]) > 0
    assert all(not torch.equal(old, new) for old, new in zip(before, silent.parameters(), strict=True))


@pytest.mark.parametrize("clip", [1e-3, 0.0])
def test_the_gradient_of_a_network_is_clipped_on_its_own(clip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(loss=CRITICS, optim={"clip": clip})
    torch.manual_seed(0)
    model = build_model(spec)
    made = terms.build_losses(spec, model)
    seen: dict[str, float] = {}

    def keep(self: Any, *_: Any) -> None:
        for name, network in terms.networks(made).items():
            seen[name] = math.sqrt(sum(float(p.grad.square().sum()) for p in network.parameters()))  # type: ignore[union-attr]

    monkeypatch.setattr(torch.optim.Adam, "step", keep)
    norms = step_once(model, made, spec)
    for name, norm in seen.items():
        assert float(norms[name]) > 1e-3
        assert norm == pytest.approx(clip or float(norms[name]), rel=1e-2)


@pytest.mark.parametrize("part", ["own", "term"])
def test_a_network_that_is_not_finite_ends_in_divergence_named_by_its_term(
    store: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    whole = AdversarialIdentity.own if part == "own" else AdversarialIdentity.of

    def poisoned(self: AdversarialIdentity, *given: Any) -> Tensor:
        calls = next(count)
        return whole(self, *given) * (math.nan if calls >= 6 else 1.0)  # type: ignore[operator, arg-type]

    count = itertools.count()
    monkeypatch.setattr(AdversarialIdentity, "own" if part == "own" else "of", poisoned)
    spec = spec_of(loss={"l1": 1.0, "adversarial_identity": {"weight": 0.1, "width": 8}})
    said = (
        "at step 6: loss term adversarial_identity.own"
        if part == "own"
        else "at step 3: loss term adversarial_identity"
    )
    with pytest.raises(optimise.Diverged, match=f"{said.replace('.', '[.]')}, gradient"):
        run(spec, store, tmp_path)


def test_a_step_in_which_every_term_rests_changes_nothing() -> None:
    spec = spec_of(loss={"cycle": {"weight": 1.0, "start": 0.9}}, model={"norm": "none"})
    model = build_model(spec)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert step_once(model, terms.build_losses(spec, model), spec, number=0) == {}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_an_attempt_without_memory_leaves_no_trace_in_batch_norm(
    store: FaceStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure after the whole forward pass, then the same in two parts, equals two parts from the beginning."""
    spec = spec_of(optim={"steps": 1}, loss={"l1": 1.0})
    found, whole = [], step_module.forward
    for fails in (True, False):
        calls: list[int] = []

        def forward(model: Any, batch: Any, *rest: Any, fails: bool = fails, calls: list = calls) -> Any:
            calls.append(len(batch["src"][0]))
            if fails or len(calls) > 1:
                step = whole(model, batch, *rest)
            if len(calls) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return step

        monkeypatch.setattr(step_module, "forward", forward)
        found.append(run(spec, store, tmp_path / str(fails)).model)
        assert calls == [6, 3, 3]
    assert_equal(*found)


def test_a_loss_that_does_not_suit_the_model_is_told_when_it_is_made() -> None:
    spec = spec_of(loss={"l1": 1.0, "mask": 1.0})
    with pytest.raises(ValueError, match="predicts no mask"):
        terms.build_losses(spec, build_model(spec))
