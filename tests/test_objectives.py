"""Adversarial terms against cases with a known answer, and the pace that terms share."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_step import both, step_of
from torch import Tensor, nn

from models.adversarial import AdversarialIdentity, ImageDiscriminator
from models.discriminator import gradient_penalty, latent_critic, patch_critic
from models.step import Pace, Step
from models.swapper import PEOPLE
from models.variants import grid

MODEL = grid(16, 3, width=4, channels=4)


def latents(apart: float, shape: tuple[int, int, int] = (4, 3, 3), count: int = 32, seed: int = 0) -> dict[str, Tensor]:
    """Unit noise, of which the two people's means lie `apart`."""
    noise = torch.Generator().manual_seed(seed)
    middle = {"src": -apart / 2, "dst": apart / 2}
    return {p: torch.randn(count, *shape, generator=noise) + middle[p] for p in PEOPLE}


def adversary(**options) -> AdversarialIdentity:
    torch.manual_seed(0)
    loss = AdversarialIdentity(**options)
    loss.bind(grid(16, 3, width=4, channels=4), 16)
    return loss


def learn(loss: nn.Module, step_at, steps: int = 60, rate: float = 3e-3) -> None:
    optimiser = torch.optim.Adam(loss.parameters(), rate)
    for number in range(steps):
        loss.own(step_at(number)).backward()  # type: ignore[operator]
        optimiser.step()
        optimiser.zero_grad()


def test_the_discriminator_tells_separable_latents_and_guesses_at_equal_ones() -> None:
    for apart, low, high in ((3.0, 0.999, 1.0), (0.0, 0.3, 0.7)):
        loss = adversary()
        learn(loss, lambda n, apart=apart: step_of(model=MODEL, z=latents(apart, seed=n)), 30)
        value = loss.own(step_of(z=latents(apart, count=256, seed=999)))
        assert value is not None
        assert low <= float(loss.log()["accuracy"]) <= high
        assert (float(value.detach()) < 0.05) == (apart > 0)


@pytest.mark.parametrize("mode", ["alternating", "reversal"])
def test_the_adversarial_gradient_draws_separable_latents_together(mode) -> None:
    loss = adversary(mode=mode)
    learn(loss, lambda n: step_of(model=MODEL, z=latents(0.3, seed=n)), 15)
    z = {p: v.requires_grad_() for p, v in latents(0.3, seed=99).items()}
    before = loss(step_of(z=z))
    before.backward()
    assert float(before.detach()) > 0.02
    # Downhill, the people's means approach each other.
    assert float(z["src"].grad.mean()) < 0 < float(z["dst"].grad.mean())  # type: ignore[union-attr]
    after = loss(step_of(z={p: v.detach() - 5 * v.grad for p, v in z.items()}))  # type: ignore[operator]
    assert float(after) < float(before.detach())


def test_an_undecided_discriminator_costs_nothing_in_either_mode() -> None:
    undecided, sure = torch.zeros(5, 2), torch.tensor([[20.0, -20.0]]).expand(5, 2)
    for mode in ("alternating", "reversal"):
        loss = adversary(mode=mode)
        assert float(loss.of(undecided, "src")) == pytest.approx(0, abs=1e-6)
    # Two-sided: being sure is as dear for the wrong answer as for the right one; reversal pays for being fooled.
    two_sided, reversal = adversary(), adversary(mode="reversal")
    assert float(two_sided.of(sure, "src")) == pytest.approx(float(two_sided.of(sure, "dst")))
    assert float(two_sided.of(sure, "src")) == pytest.approx(20 - math.log(2), rel=1e-4)
    assert float(reversal.of(sure, "src")) == pytest.approx(math.log(2))
    assert float(reversal.of(sure, "dst")) < -10


def test_reversal_is_the_negative_gradient_of_the_discriminators_own_loss() -> None:
    loss = adversary(mode="reversal")
    z = {p: v.requires_grad_() for p, v in latents(1.0, count=4).items()}
    loss(step_of(z=z)).backward()
    again = {p: v.detach().requires_grad_() for p, v in z.items()}
    truth = [torch.full((4,), k) for k in range(2)]
    for p, labels in zip(PEOPLE, truth, strict=True):
        (nn.functional.cross_entropy(loss.critic(again[p]), labels) / 2).backward()
        torch.testing.assert_close(z[p].grad, -again[p].grad)  # type: ignore[operator]


@pytest.mark.parametrize("shape", [(4, 3, 3), (6, 1, 1), (3, 2, 5)])
def test_the_latent_discriminator_fits_any_latent(shape: tuple[int, int, int]) -> None:
    assert latent_critic(shape, 2)(torch.randn(5, *shape)).shape == (5, 2)


@pytest.mark.parametrize("size", [8, 16, 48, 64])
def test_the_patch_discriminator_fits_any_picture(size: int) -> None:
    scores = patch_critic(size, 2, width=4)(torch.rand(2, 3, size, size))
    assert scores.shape[:2] == (2, 2) and min(scores.shape[2:]) >= 2


def swapper_step(number: int = 15, **values) -> Step:
    torch.manual_seed(1)
    model = grid(16, 3, width=4, channels=4)
    z = {p: torch.randn(4, 4, 3, 3, requires_grad=True) for p in PEOPLE}
    rec = {p: model.decode(z[p], p) for p in PEOPLE}
    target = {p: torch.rand(4, 3, 16, 16) for p in PEOPLE}
    return step_of(number, 100, model, z=z, rec=rec, target=target, **values)


def image_critic(**options) -> ImageDiscriminator:
    torch.manual_seed(0)
    loss = ImageDiscriminator(**{"width": 4} | options)
    loss.bind(grid(16, 3, width=4, channels=4), 16)
    return loss


@pytest.mark.parametrize("loss", [adversary(), adversary(mode="reversal"), image_critic(), image_critic(of="both")])
def test_swapper_and_discriminator_do_not_train_each_other(loss) -> None:
    step = swapper_step()
    loss(step).backward()
    assert all(p.grad is None for p in loss.parameters())
    assert all(z.grad is not None and z.grad.abs().sum() > 0 for z in step.z.values())
    step = swapper_step()
    loss.own(step).backward()
    assert all(p.grad is not None for p in loss.parameters())
    assert all(z.grad is None for z in step.z.values())
    assert all(p.grad is None for p in step.model.parameters())


def test_r1_of_a_linear_critic_is_the_squared_norm_of_its_weights() -> None:
    weights = torch.randn(3 * 16 * 16)
    x = torch.rand(4, 3, 16, 16, requires_grad=True)
    assert float(gradient_penalty(x.flatten(1) @ weights, x)) == pytest.approx(float(weights.square().sum()), rel=1e-5)
    loss = image_critic(conditional=False)
    loss.critic = nn.Sequential(nn.Conv2d(3, 1, 16))
    expected = float(loss.critic[0].weight.detach().square().sum())
    penalty = loss.penalty(x.detach(), "src")
    assert float(penalty.detach()) == pytest.approx(expected, rel=1e-5)
    penalty.backward()  # differentiable once more: the gradient of |w|^2 is 2 w
    torch.testing.assert_close(loss.critic[0].weight.grad, 2 * loss.critic[0].weight.detach())


def test_r1_joins_lazily_with_as_many_times_its_weight() -> None:
    with_r1, without = image_critic(r1=2.0, r1_every=4), image_critic(r1=0.0)
    for number in range(8):
        step = swapper_step(number)
        difference = float((with_r1.own(step) - without.own(step)).detach())  # type: ignore[operator]
        due = sum(float(with_r1.penalty(step.target[p], p).detach()) for p in PEOPLE) / 2
        assert difference == pytest.approx(4 * due if number % 4 == 3 else 0.0, rel=1e-3, abs=1e-6)


def test_the_image_discriminator_knows_its_losses() -> None:
    hinge, soft = image_critic(), image_critic(kind="nonsaturating")
    two, three = torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), 3.0)
    assert float(hinge._tells(two, -three)) == 0 and float(hinge._tells(-two, three)) == 3 + 4
    assert float(hinge._wants_real(two)) == -2
    assert float(soft._tells(two, three)) == pytest.approx(math.log1p(math.exp(-2)) + math.log1p(math.exp(3)))
    assert float(soft._wants_real(two)) == pytest.approx(math.log1p(math.exp(-2)))


def test_the_image_discriminator_learns_to_tell_black_from_white() -> None:
    loss = image_critic(of="rec", r1=0.1, r1_every=2)
    step = step_of(3, rec=both(torch.zeros(2, 3, 16, 16)), target=both(torch.ones(2, 3, 16, 16)))
    learn(loss, lambda n: step, 40, 1e-2)
    said = loss.log()
    assert float(said["real"]) > 0.5 > -0.5 > float(said["fake"])
    fake = torch.zeros(2, 3, 16, 16, requires_grad=True)
    loss(step_of(rec=both(fake))).backward()
    assert fake.grad is not None and float(fake.grad.mean()) < 0  # downhill is brighter


def test_pace_waits_grows_and_rests() -> None:
    assert [Pace().at(step_of(n)) for n in range(3)] == [1, 1, 1]
    assert [Pace(every=3).at(step_of(n)) for n in range(6)] == [0, 0, 3, 0, 0, 3]
    late = [Pace(start=0.4, ramp=0.4).at(step_of(n)) for n in range(10)]
    assert late == pytest.approx([0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1])
    for wrong in ({"every": 0}, {"start": 1.0}, {"ramp": -0.1}):
        with pytest.raises(ValueError, match="are possible"):
            Pace(**wrong)  # type: ignore[arg-type]


def test_a_resting_term_is_zero_and_a_lazy_one_counts_more() -> None:
    step = {n: step_of(n, z=latents(2.0)) for n in (0, 1)}
    lazy, always = adversary(every=2), adversary()
    assert float(lazy(step[0])) == 0
    assert float(lazy(step[1])) == pytest.approx(2 * float(always(step[1])))
    slow = adversary(learn_every=2)
    assert slow.own(step[0]) is None and slow.log() == {} and slow.own(step[1]) is not None
