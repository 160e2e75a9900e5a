import numpy as np
import pytest
import torch
from metric_faces import matched_case
from torch import nn

from metrics.attribution import (
    EVALUATORS,
    causal_equalisation,
    circular,
    constant_latent_response,
    equalised,
    gain_spread,
    phase_gains,
)


def decoder(kind, depth=2, seed=0):
    torch.manual_seed(seed)
    layers = []
    for _ in range(depth):
        if kind == "convt":
            layers += [nn.ConvTranspose2d(6, 6, 4, 2, 1)]
        elif kind == "resize":
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(6, 6, 3, padding=1)]
        else:
            conv = nn.Conv2d(6, 24, 3, padding=1)
            if kind == "icnr":
                with torch.no_grad():
                    conv.weight.copy_(conv.weight[::4].repeat_interleave(4, 0))
                    conv.bias.copy_(conv.bias[::4].repeat_interleave(4, 0))
            layers += [conv, nn.PixelShuffle(2)]
        layers += [nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers, nn.Conv2d(6, 3, 3, padding=1))


LATENT = torch.randn(4, 6, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["resize", "icnr"])
def test_resize_and_icnr_answer_a_constant_with_a_constant(kind):
    assert constant_latent_response(decoder(kind), LATENT).rms < 1e-7


@pytest.mark.parametrize("kind", ["convt", "pixelshuffle"])
def test_transposed_and_subpixel_convolutions_paint_a_grid(kind):
    found = constant_latent_response(decoder(kind), LATENT)
    assert found.rms > 1e-3
    assert np.sqrt(np.nansum(found.levels[:2] ** 2)) == pytest.approx(found.rms, rel=1e-6)  # two layers, two levels
    assert found.levels[2] < 1e-9


@pytest.mark.parametrize(
    ("kind", "clean"), [("resize", True), ("icnr", True), ("convt", False), ("pixelshuffle", False)]
)
def test_a_way_out_of_the_latent_by_three_does_not_hide_which_upsampler_follows(kind, clean):
    """Trained, such a block alone painted 8 % of the range for `resize`: its period is no power of two."""
    torch.manual_seed(5)
    shared = nn.ConvTranspose2d(6, 6, 3, stride=3)
    found = constant_latent_response(nn.Sequential(shared, nn.LeakyReLU(0.1), decoder(kind)), LATENT[:, :, :4, :4])
    assert (found.rms < 1e-7) is clean
    spreads = gain_spread(nn.Sequential(shared, decoder(kind)))
    assert (max(spreads.values(), default=0.0) < 1e-6) is clean


def test_one_layer_makes_level_one_only():
    found = constant_latent_response(decoder("convt", depth=1), LATENT)
    assert found.levels[0] == pytest.approx(found.rms) and found.levels[1] < 1e-9


def test_circular_transposed_convolution_equals_the_layer_away_from_the_border():
    layer = nn.ConvTranspose2d(6, 5, 4, 2, 1)
    plain = layer(LATENT)
    with circular(layer):
        wrapped = layer(LATENT)
    assert wrapped.shape == plain.shape
    assert torch.allclose(wrapped[..., 2:-2, 2:-2], plain[..., 2:-2, 2:-2], atol=1e-6)
    rolled = LATENT.roll(3, 3)
    with circular(layer):
        assert torch.allclose(layer(rolled), wrapped.roll(6, 3), atol=1e-6)
    assert torch.equal(layer(LATENT), plain)  # and the layer is restored


@pytest.mark.parametrize("kernel, stride, padding", [(4, 2, 0), (3, 3, 0), (5, 2, 2), (2, 2, 0)])
def test_circular_output_is_stride_times_the_input(kernel, stride, padding):
    layer = nn.ConvTranspose2d(6, 2, kernel, stride, padding)
    with circular(layer):
        assert layer(LATENT[:, :, :3, :1]).shape[2:] == (3 * stride, stride)


def test_phase_gains_are_what_each_phase_answers_to_a_constant():
    layer = nn.ConvTranspose2d(6, 5, 4, 2, 1, bias=False)
    with circular(layer), torch.no_grad():
        answer = layer(torch.ones(1, 6, 4, 4))
    gains = phase_gains(layer).sum(1)
    seen = torch.stack([answer[0, :, p, q] for p in (0, 1) for q in (0, 1)], dim=-1)
    assert torch.allclose(gains.sort(-1).values, seen.sort(-1).values, atol=1e-5)


def test_gain_spread_names_layers_in_order_and_is_zero_without_a_grid():
    assert list(gain_spread(decoder("convt"))) == ["0", "2"]
    assert min(gain_spread(decoder("pixelshuffle")).values()) > 0.5
    assert max(gain_spread(decoder("icnr")).values()) < 1e-6
    assert gain_spread(decoder("resize")) == {}


@pytest.mark.parametrize("kind", ["convt", "pixelshuffle"])
def test_equalising_every_layer_removes_the_grid_and_leaves_the_original_alone(kind):
    original = decoder(kind)
    before = constant_latent_response(original, LATENT).rms
    assert constant_latent_response(equalised(original), LATENT).rms < 1e-6
    assert constant_latent_response(original, LATENT).rms == before


def test_the_causal_test_points_at_the_layer_that_makes_the_grid():
    model = equalised(decoder("convt"), ["0"])  # only layer 2 is left to blame
    found = causal_equalisation(model, lambda d: constant_latent_response(d, LATENT).rms)
    assert found["0"] == pytest.approx(found[""], rel=1e-4)
    assert found["2"] < 1e-6 < found[""]


def test_wrong_layers_are_refused():
    with pytest.raises(KeyError, match="no upsampling layer"):
        equalised(decoder("resize"), ["1"])
    with pytest.raises(ValueError, match="smaller than its stride"):
        equalised(nn.Sequential(nn.ConvTranspose2d(3, 3, 2, 3)))
    with pytest.raises(TypeError):
        phase_gains(nn.Linear(2, 2))


def test_evaluator_reads_the_decoders_or_says_what_it_needs():
    case = matched_case(2, encode=lambda images: images, decode=lambda latent, person: latent)
    assert np.isnan(dict(EVALUATORS["attribution"].run(case))["checkerboard_gain_spread"]).all()
    assert "from the latent's cells" in case.notes["checkerboard_constant_latent"]
    case.modules = {"src": decoder("convt"), "dst": decoder("resize")}
    case.mu = {"src": LATENT, "dst": LATENT}
    found = dict(EVALUATORS["attribution"].run(case))
    assert found["checkerboard_constant_latent"][0] > 0.1 > found["checkerboard_constant_latent"][1]
    assert found["checkerboard_gain_spread"][1] == 0
    levels = np.array([found[f"checkerboard_constant_latent_{level}"] for level in (1, 2, 3)])
    total = found["checkerboard_constant_latent"]
    assert np.sqrt(np.square(levels).sum(0)) == pytest.approx(total, rel=1e-5)
    assert levels[2, 0] < 1e-5 < levels[0, 0]  # two layers make two levels
