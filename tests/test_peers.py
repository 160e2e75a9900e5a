"""The plain loop, the peer of the speed claims: its parts are what they should be, and it learns what ours learns."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from peers import compare, leads, plain_loop
from peers.compare import equal, faces, plain, quality
from peers.plain_loop import Faces, noise, read_exr, to_srgb
from tiny_training import spec_of, store_in

from harness.bench.step import StepArm
from harness.data.encoding import to_display
from harness.options import build_model
from models import losses
from models.step import Step
from models.swapper import PEOPLE

LOSS = {"face_l1": 1.0, "gradient": 1.0, "dssim": 1.0, "kl": 0.005, "latent_statistics": 0.05}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store_in(tmp_path)
    return faces(spec_of(), 0, tmp_path)[1]


def test_the_loader_reads_exr_as_the_store_does(folder: Path, tmp_path: Path) -> None:
    store = store_in(tmp_path)
    file = sorted((folder / "src").glob("*.exr"))[0]
    image = read_exr(file)
    assert image.shape == (16, 16, 4) and image.dtype == np.float32
    nearest = np.abs(np.asarray(store.people["src"], np.float32) - image.transpose(2, 0, 1)).max(axis=(1, 2, 3)).min()
    assert nearest < 2e-3  # the store keeps half precision


def test_its_display_values_are_ours() -> None:
    linear = np.linspace(0, 1, 101, dtype=np.float32)
    assert np.allclose(to_srgb(linear), to_display(torch.from_numpy(linear), "srgb").numpy(), atol=1e-5)


def test_its_three_passes_keep_shape_and_range_and_move_pixels(folder: Path) -> None:
    augment = spec_of().data.augment.model_copy(update={"probability": 1.0})
    found = [Faces(folder / "src", augment, seed)[0] for seed in (1, 1, 2)]
    for rgb, alpha in found:
        assert (rgb.shape, alpha.shape, rgb.dtype) == ((3, 16, 16), (1, 16, 16), torch.float32)
        assert min(rgb.min(), alpha.min()) >= 0 and max(rgb.max(), alpha.max()) <= 1
    still = Faces(folder / "src", augment.model_copy(update={"probability": 0.0}), 1)[0][0]
    same, again, other = (rgb for rgb, _ in found)
    assert torch.equal(same, again) and not torch.equal(same, other) and (same - still).abs().mean() > 1e-3


def test_its_noise_has_largest_magnitude_one() -> None:
    field = noise(32, 5, 1.0, np.random.default_rng(0))
    assert field.shape == (2, 32, 32) and np.abs(field).max() == pytest.approx(1.0, rel=1e-5)


def test_its_losses_are_ours_on_one_batch() -> None:
    rng = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=rng)

    rec, target, alpha, code = ({p: rand(4, c, *s) for p in PEOPLE} for c, s in
                                ((3, (32, 32)), (3, (32, 32)), (1, (32, 32)), (5, (3, 3))))  # fmt: skip
    mu, logvar = ({p: rand(4, 5, 3, 3) - 0.5 for p in PEOPLE} for _ in range(2))
    step = Step(target, target, alpha, rec, mu, logvar, code, 0, 1, None)
    ours = {name: losses.LOSSES[name]()(step) for name in LOSS}
    theirs = {
        "face_l1": lambda p: plain_loop.face_l1(rec[p], target[p], alpha[p]),
        "gradient": lambda p: plain_loop.gradient(rec[p], target[p]),
        "dssim": lambda p: plain_loop.dssim(rec[p], target[p]),
        "kl": lambda p: plain_loop.kl(mu[p], logvar[p]),
    }
    for name, term in theirs.items():
        assert torch.allclose(ours[name], torch.stack([term(p) for p in PEOPLE]).mean(), rtol=1e-4), name
    apart = plain_loop.statistical_l2(code["src"], code["dst"])
    assert torch.allclose(ours["latent_statistics"], apart, rtol=1e-4)


def test_its_steps_learn(folder: Path) -> None:
    spec = spec_of(loss=LOSS, optim={"steps": 12, "warmup": 0})
    loop = plain(spec, folder, 12, False, "cpu")
    values = [loop.step() for _ in range(12)]
    assert np.isfinite(values).all() and np.mean(values[-3:]) < np.mean(values[:3])


def test_quality_is_equal_within_the_margin_only() -> None:
    arms = {"plain": {"rec_error": 0.1}, "plain, autocast": {"rec_error": 0.1}}
    assert equal({"ours": {"rec_error": 0.109}, **arms}) and not equal({"ours": {"rec_error": 0.111}, **arms})


@pytest.mark.parametrize(("error_of_a_step", "enough"), [(20.0, 50), (60.0, 200), (120.0, None)])
def test_the_steps_that_are_enough_are_the_fewest_as_good_in_both_errors(
    monkeypatch: pytest.MonkeyPatch, error_of_a_step: float, enough: int | None
) -> None:
    peers = {"plain": {"rec_error": 0.2, "swap_error": 0.5}, "plain, autocast": {"rec_error": 0.1, "swap_error": 0.4}}
    monkeypatch.setattr(compare, "quality_of_peers", lambda *_: peers)
    monkeypatch.setattr(compare, "trained", lambda spec, root, count, *_: count)
    monkeypatch.setattr(
        compare, "errors", lambda spec, count, *_: {"rec_error": 0.1, "swap_error": error_of_a_step / count}
    )
    found = compare.time_to(spec_of(), spec_of(), Path(), 200, parts=(0.1, 0.25, 1.0))
    assert found["enough"] == enough and found["plain"] == peers


def test_a_training_of_ours_has_the_steps_it_is_given_and_a_schedule_that_ends_with_them(tmp_path: Path) -> None:
    given = compare.lasting(spec_of(optim={"steps": 100, "warmup": 50}), 20).optim
    assert (given.steps, given.warmup) == (20, 20)
    store_in(tmp_path)
    short, longer = (compare.trained(spec_of(), tmp_path, steps, "cpu", 0) for steps in (3, 6))
    found = [compare.errors(spec_of(), model, tmp_path, 0, "cpu") for model in (short, longer)]
    assert all(0 < each[name] < 1 for each in found for name in ("rec_error", "swap_error")) and found[0] != found[1]


@pytest.mark.long
def test_both_loops_reach_the_same_error_in_the_same_steps(tmp_path: Path) -> None:
    steps = 100
    spec = spec_of(
        data={"frames": 40, "size": 32}, model={"width": 8, "channels": 16, "logvar_start": -6.0}, loss=LOSS,
        optim={"steps": steps, "batch": 8, "lr": 3e-3, "warmup": 10},
    )  # fmt: skip
    found = quality(spec, tmp_path, steps)
    untrained = quality(spec, tmp_path, 2)
    for arm in ("plain", "plain, autocast"):
        assert found["ours"]["rec_error"] == pytest.approx(found[arm]["rec_error"], rel=0.15), found
        assert found[arm]["rec_error"] < 0.7 * untrained[arm]["rec_error"], (found, untrained)


def test_its_network_is_ours_in_torchs_own_layers() -> None:
    spec = spec_of(data={"size": 32}, model={"grid": 3, "width": 8})
    torch.manual_seed(0)
    ours = build_model(spec).double()
    theirs = copy.deepcopy(ours)
    plain_loop.with_torchs_layers(theirs)
    kinds = {type(module) for module in theirs.modules()}
    assert not kinds & set(plain_loop.TORCHS_OWN) and plain_loop.PlainResize in kinds
    x = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    for model in (ours, theirs):
        model.decode(model.encode(x).mu.double(), "dst").sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None and b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_the_leads_to_a_faster_step_do_the_work_of_the_step_itself() -> None:
    """What is timed against each other ends in the same weights, to rounding; another optimiser does not."""
    optim = {"algorithm": "muon", "muon_lr": 0.02, "warmup": 0}
    spec = spec_of(model={"width": 8, "channels": 16}, loss=LOSS, optim=optim)
    made = leads.arms(spec, "fp32")
    for arm in made.values():
        for number in range(2):
            torch.manual_seed(number)
            arm()

    def kernels(arm: StepArm) -> list[torch.Tensor]:
        """Not the biases before a norm: their gradients are rounding, which Adam makes steps of."""
        return [weight.detach() for weight in arm.model.parameters() if weight.ndim == 4]

    first, *others = made.items()
    expected = kernels(first[1])

    def apart(arm: StepArm) -> float:
        pairs = zip(expected, kernels(arm), strict=True)
        return max(float((one - other).abs().max()) for one, other in pairs)

    fused = made["batch norm and LeakyReLU in one node"].model
    assert any(isinstance(module, leads.NormAndSlope) for module in fused.modules())
    rough = {"all in bf16", "Muon: as usually written, bfloat16", "Adam alone"}
    for name, arm in others:
        assert (apart(arm) < 1e-4) is (name not in rough), name
