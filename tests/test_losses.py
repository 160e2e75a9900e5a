"""Every loss term against a case whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_step import both, step_of
from torch import Tensor

from harness import registry
from models.losses import KL, L1, LOSSES, FaceL1, Gradient, LatentPositional, LatentStatistics, Mask, Structural
from models.swapper import PEOPLE
from models.variants import grid


def test_every_registered_loss_is_a_finite_differentiable_scalar() -> None:
    torch.manual_seed(0)
    for name, loss in LOSSES.items():
        assert registry.get("loss", name).object is loss
        rec = {p: torch.rand(2, 3, 16, 16, requires_grad=True) for p in PEOPLE}
        mu = {p: torch.randn(2, 4, 3, 3, requires_grad=True) for p in PEOPLE}
        mask = {p: torch.rand(2, 1, 16, 16, requires_grad=True) for p in PEOPLE}
        value = loss()(step_of(rec=rec, mu=mu, z=mu, mask=mask))
        assert value.shape == () and torch.isfinite(value), name
        value.backward()
        touched = [
            t for group in (rec, mu, mask) for t in group.values() if t.grad is not None and t.grad.abs().sum() > 0
        ]
        assert touched, name


def test_face_l1_weighs_two_means_each_over_its_own_pixels() -> None:
    alpha = torch.zeros(2, 1, 16, 16)
    alpha[:, :, :, :4] = 1.0  # a quarter is face
    alpha[:, :, :, 4] = 0.9  # the rim is no face
    rec = torch.full((2, 3, 16, 16), 0.5)
    rec[:, :, :, :4] += 0.2
    rec[:, :, :, 4:] -= 0.1
    case = step_of(rec=both(rec), alpha=both(alpha))
    assert float(FaceL1()(case)) == pytest.approx(0.2 + 0.1 * 0.1, abs=1e-6)
    assert float(FaceL1(background=1.0)(case)) == pytest.approx(0.3, abs=1e-6)
    assert float(L1()(case)) == pytest.approx((4 * 0.2 + 12 * 0.1) / 16, abs=1e-6)


def test_face_l1_per_pixel_is_three_times_that_per_value() -> None:
    rec, target, alpha = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    both = [FaceL1(per=reading).of(rec, target, alpha) for reading in ("value", "pixel")]
    assert float(both[1]) == pytest.approx(3 * float(both[0]), rel=1e-5)


def test_face_l1_of_pictures_without_a_face_is_the_background_alone() -> None:
    case = step_of(rec=both(torch.full((2, 3, 16, 16), 0.7)), alpha=both(torch.zeros(2, 1, 16, 16)))
    assert float(FaceL1(background=0.5)(case)) == pytest.approx(0.1, abs=1e-6)


def test_losses_average_the_two_people() -> None:
    rec = {"src": torch.full((2, 3, 16, 16), 0.5), "dst": torch.full((2, 3, 16, 16), 0.9)}
    assert float(L1()(step_of(rec=rec))) == pytest.approx(0.2, abs=1e-6)


def test_gradient_term_counts_a_step_edge_and_ignores_a_shift_of_brightness() -> None:
    edge = torch.full((2, 3, 16, 16), 0.5)
    edge[..., 8:] += 0.3  # one of 15 horizontal differences is 0.3; halved sizes keep the edge
    expected = 0.3 * (1 / 15 + 1 / 7 + 1 / 3) / 3
    assert float(Gradient()(step_of(rec=both(edge)))) == pytest.approx(expected, rel=1e-5)
    assert float(Gradient(levels=1)(step_of(rec=both(edge.mT)))) == pytest.approx(0.3 / 15, rel=1e-5)
    assert float(Gradient()(step_of(rec=both(torch.full((2, 3, 16, 16), 0.8))))) == pytest.approx(0, abs=1e-6)


def test_dssim_is_zero_for_equal_pictures_and_known_for_constant_ones() -> None:
    torch.manual_seed(1)
    noise = torch.rand(2, 3, 16, 16)
    assert float(Structural()(step_of(rec=both(noise), target=both(noise)))) == pytest.approx(0, abs=1e-5)
    a, b, c1 = 0.2, 0.7, 0.01**2
    case = step_of(rec=both(torch.full((2, 3, 16, 16), a)), target=both(torch.full((2, 3, 16, 16), b)))
    expected = (1 - (2 * a * b + c1) / (a * a + b * b + c1)) / 2
    assert float(Structural()(case)) == pytest.approx(expected, rel=1e-3)
    negative = step_of(rec=both(1 - noise), target=both(noise))
    assert float(Structural()(negative)) > 0.5


def test_kl_has_its_closed_form() -> None:
    assert float(KL()(step_of())) == 0
    mu, logvar = torch.full((2, 4, 3, 3), 1.5), torch.full((2, 4, 3, 3), math.log(0.25))
    expected = 0.5 * (1.5**2 + 0.25 - 1 - math.log(0.25))
    assert float(KL()(step_of(mu=both(mu), logvar=both(logvar)))) == pytest.approx(expected, rel=1e-6)
    q = torch.distributions.Normal(1.5, 0.5)
    assert expected == pytest.approx(float(torch.distributions.kl_divergence(q, torch.distributions.Normal(0, 1))))


def test_free_bits_floor_each_element_and_stop_its_gradient() -> None:
    mu = torch.zeros(2, 4, 3, 3)
    mu[:, 0] = 2.0  # 2 nats; the other three channels cost nothing
    mu.requires_grad_()
    value = KL(free_bits=0.5)(step_of(mu=both(mu)))
    assert float(value.detach()) == pytest.approx((2.0 + 3 * 0.5) / 4)
    value.backward()
    assert mu.grad is not None and (mu.grad[:, 0] > 0).all() and (mu.grad[:, 1:] == 0).all()


def test_kl_ramps_linearly_over_its_part_of_the_run() -> None:
    mu = both(torch.ones(2, 4, 3, 3))
    values = [float(KL(ramp=0.5)(step_of(number, 10, mu=mu))) for number in range(10)]
    assert values == pytest.approx([0.5 * min(1, (n + 1) / 5) for n in range(10)])


def test_statistical_latent_term_ignores_the_order_of_pictures_and_the_positional_one_does_not() -> None:
    torch.manual_seed(0)
    src = torch.randn(8, 4, 3, 3)
    dst = src[torch.tensor([3, 0, 7, 1, 2, 6, 5, 4])]
    case = step_of(z={"src": src, "dst": dst})
    assert float(LatentStatistics()(case)) == pytest.approx(0, abs=1e-9)
    assert float(LatentPositional()(case)) > 0.5


def test_statistical_latent_term_is_the_squared_difference_of_means_and_variances() -> None:
    src = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 4, 3, 3)  # mean 0, variance 2
    assert float(LatentStatistics()(step_of(z={"src": src, "dst": src + 0.5}))) == pytest.approx(0.25)
    assert float(LatentStatistics()(step_of(z={"src": src, "dst": 2 * src}))) == pytest.approx((8 - 2) ** 2)
    assert float(LatentPositional()(step_of(z={"src": src, "dst": src + 0.5}))) == pytest.approx(0.25)


def test_statistical_latent_term_of_single_pictures_compares_means_only() -> None:
    src = torch.ones(1, 4, 3, 3)
    assert float(LatentStatistics()(step_of(z={"src": src, "dst": 3 * src}))) == pytest.approx(4.0)


@pytest.mark.parametrize("loss", [FaceL1(), L1(), Gradient(), Structural()], ids=lambda x: type(x).__name__)
def test_gradients_agree_with_finite_differences(loss) -> None:
    torch.manual_seed(2)
    target = torch.rand(2, 3, 16, 16)
    rec = torch.rand(2, 3, 16, 16, requires_grad=True)
    alpha = (torch.rand(2, 1, 16, 16) > 0.5).float()

    def value(picture: Tensor) -> Tensor:
        return loss(step_of(rec=both(picture), target=both(target), alpha=both(alpha)))

    (slope,) = torch.autograd.grad(value(rec), rec)
    ahead = slope / slope.norm()
    with torch.no_grad():
        measured = (value(rec + 1e-2 * ahead) - value(rec - 1e-2 * ahead)) / 2e-2
    assert float(slope.norm()) == pytest.approx(float(measured), rel=0.03)
    assert float(measured) > 0


def test_mask_loss_is_known_for_flat_mattes() -> None:
    alpha = torch.zeros(2, 1, 16, 16)
    alpha[..., :4] = 1.0
    case = step_of(mask=both(torch.full((2, 1, 16, 16), 0.25)), alpha=both(alpha))
    assert float(Mask()(case)) == pytest.approx((0.75 * 4 + 0.25 * 12) / 16)
    assert float(Mask(kind="bce")(case)) == pytest.approx(-(math.log(0.25) * 4 + math.log(0.75) * 12) / 16, rel=1e-5)
    assert float(Mask()(step_of(mask=both(alpha), alpha=both(alpha)))) == 0


def test_mask_loss_asks_for_a_model_with_a_mask_and_leaves_it_as_it_was() -> None:
    with pytest.raises(ValueError, match="predicts no mask"):
        Mask().bind(grid(16, 3, width=4, channels=4), 16)
    model = grid(16, 3, width=4, channels=4, mask=True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Mask().bind(model, 16)
    assert model.training and all(torch.equal(before[name], value) for name, value in model.state_dict().items())
