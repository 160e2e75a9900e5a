"""The style-based decoder: what steers which layer, what noise does when, and the two latent spaces."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from metrics.path import path_lengths
from models.step import Step
from models.style import AdaIN, Noise, StyleSwapper, style
from models.style_mixing import StyleMixing
from models.variants import grid


def small(size: int = 32, **options: Any) -> StyleSwapper:
    torch.manual_seed(0)
    model = style(size, **{"width": 4, "channels": 8, "mapping_width": 12} | options)
    assert isinstance(model, StyleSwapper)
    return model.eval()


def latents(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 8, 1, 1, generator=generator), torch.randn(count, 8, 1, 1, generator=generator)


def test_adain_is_instance_normalisation_with_an_affine_function_of_w() -> None:
    torch.manual_seed(0)
    layer, x, w = AdaIN(6, 5), 3 * torch.randn(2, 6, 8, 8) + 5, torch.randn(2, 5)
    scale, shift = layer.affine(w)[:, :, None, None].chunk(2, dim=1)
    expected = nn.functional.instance_norm(x) * (1 + scale) + shift
    torch.testing.assert_close(layer(x, w), expected, rtol=1e-4, atol=1e-4)


def test_noise_is_drawn_in_training_and_absent_or_fixed_in_evaluation() -> None:
    x = torch.zeros(3, 2, 8, 8)
    for fixed in (False, True):
        layer = Noise(2, fixed, seed=4)
        assert torch.equal(layer(x), x)  # the scale starts at 0
        with torch.no_grad():
            layer.scale.copy_(torch.tensor([0.0, 2.0]))
        first, second = layer(x), layer(x)
        assert not torch.equal(first, second) and not torch.equal(first[0], first[1])
        assert torch.equal(first[:, 0], x[:, 0])  # one value for each pixel, a scale for each channel
        assert abs(float(first.detach()[:, 1].std()) - 2) < 0.5
        layer.eval()
        assert torch.equal(layer(x), layer(x))
        assert bool((layer(x) == x).all()) is not fixed
        assert torch.equal(layer(x)[0], layer(x)[2])


@torch.no_grad()
@pytest.mark.parametrize("option", [{}, {"mapping": False}, {"shared_mapping": True}, {"convs": 2}, {"noise": False}])
def test_mixing_at_the_ends_is_decoding_and_between_takes_coarse_layers_from_the_first(option: dict[str, Any]) -> None:
    model, (a, b) = small(**option), latents()
    assert model.layers == 4 * option.get("convs", 1)
    assert torch.equal(model.mix(a, b, "dst", 0), model.decode(b, "dst"))
    assert torch.equal(model.mix(a, b, "dst", model.layers), model.decode(a, "dst"))
    assert torch.equal(model.mix(a, a, "dst", 2), model.decode(a, "dst"))
    distances = [float((model.mix(a, b, "dst", d) - model.decode(a, "dst")).abs().mean()) for d in (0, 2, model.layers)]
    assert distances[0] > 0 and distances[1] > 0 and distances[2] == 0
    for depth in (-1, model.layers + 1):
        with pytest.raises(ValueError, match="depth must be between 0 and"):
            model.mix(a, b, "dst", depth)


def test_a_style_of_a_layer_steers_that_layer_and_the_finer_ones_only() -> None:
    model, (a, b) = small(), latents()
    seen: dict[int, torch.Tensor] = {}
    synthesis = model.decoders["src"][1]  # type: ignore[index]
    for i, layer in enumerate(synthesis.layers):
        layer.register_forward_hook(lambda module, inputs, out, i=i: seen.__setitem__(i, out))
    model.mix(a, a, "src", 2)
    alone = dict(seen)
    model.mix(a, b, "src", 2)
    assert [torch.equal(alone[i], seen[i]) for i in range(4)] == [True, True, False, False]


def test_decoding_is_mapping_and_then_synthesis_in_either_space() -> None:
    z, _ = latents()
    for option, width in (({}, 12), ({"shared_mapping": True}, 12), ({"mapping": False}, 8)):
        model = small(**option)
        w = model.mapped(z, "dst")
        assert w.shape == (2, width) and w.dtype == torch.float32
        assert torch.equal(model.decode_mapped(w, "dst"), model.decode(z, "dst"))
    assert torch.equal(w, z.flatten(1))  # without a mapping w is z
    assert not hasattr(grid(32, width=4), "mapped")


def test_people_share_the_mapping_only_where_asked_for() -> None:
    z, _ = latents()
    own, shared = small(), small(shared_mapping=True)
    assert not torch.allclose(own.mapped(z, "src"), own.mapped(z, "dst"))
    assert torch.equal(shared.mapped(z, "src"), shared.mapped(z, "dst"))
    assert set(own.clip_groups()) == {"encoder", "decoder_src", "decoder_dst"}
    assert set(shared.clip_groups()) == {"encoder", "decoder_src", "decoder_dst", "decoder"}


def test_path_lengths_can_be_taken_in_both_spaces() -> None:
    a, b = latents(4)
    for option, equal in (({"mapping": False}, True), ({}, False)):
        model = small(**option)
        in_z = path_lengths(
            lambda z, model=model: model.decode(z, "src"), a, b, generator=torch.Generator().manual_seed(0)
        )
        wa, wb = model.mapped(a, "src"), model.mapped(b, "src")
        in_w = path_lengths(
            lambda w, model=model: model.decode_mapped(w, "src"), wa, wb, generator=torch.Generator().manual_seed(0)
        )
        assert bool((in_z > 0).all()) and bool((in_w > 0).all())
        assert torch.equal(in_z, in_w) is equal


def test_a_picture_depends_on_the_latent_in_every_layer_and_starts_from_a_constant() -> None:
    model, (a, b) = small(64), latents()
    synthesis = model.decoders["src"][1]  # type: ignore[index]
    assert synthesis.start.shape[2:] == (4, 4)
    assert model.layers == 5
    assert not torch.allclose(model.decode(a, "src"), model.decode(b, "src"))


def test_the_arithmetic_is_near_that_of_the_grid_family() -> None:
    from models.anatomy import anatomy

    ratio = anatomy(style, 64)["flops"] / anatomy(grid, 64)["flops"]
    assert 0.7 < ratio < 1.4


def test_wrong_options_are_told_in_words() -> None:
    for options in ({"convs": 0}, {"mapping_depth": 0}, {"mapping_width": 0}):
        with pytest.raises(ValueError, match="must be at least 1"):
            style(32, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="choose a multiple of"):
        style(50)


def test_the_constant_has_as_many_channels_as_asked_for_and_by_default_those_of_the_first_level() -> None:
    plain, wide = small(), small(constant=512)
    starts = [model.decoders["src"][1].start for model in (plain, wide)]
    assert [tuple(start.shape[1:]) for start in starts] == [(32, 4, 4), (512, 4, 4)]
    assert wide.decode(latents()[0], "src").shape == (2, 3, 32, 32)
    with pytest.raises(ValueError, match="constant must be at least 1"):
        small(constant=0)


def mixing_step(model: StyleSwapper, logvar: float) -> Step:
    z, _ = latents()
    with torch.no_grad():
        target = {p: model.decode(z, p) for p in model.people}
    spread = {p: torch.full_like(z, logvar) for p in model.people}
    alpha, codes = {p: torch.ones(2, 1, 32, 32) for p in model.people}, dict.fromkeys(model.people, z)
    return Step(target, target, alpha, target, codes, spread, codes, 0, 10, model)


@torch.no_grad()
def test_mixing_costs_nothing_where_both_latents_are_the_same_and_something_where_they_differ() -> None:
    model = small()
    certain, unsure = (float(StyleMixing(1.0)(mixing_step(model, logvar))) for logvar in (-60.0, 0.0))
    assert certain < 1e-5 and unsure > 1e-3


def test_mixing_crosses_over_at_every_inner_layer_and_in_its_share_of_the_steps() -> None:
    model, seen = small(), []
    model.mix = lambda a, b, person, depth: seen.append(depth) or model.decode(a, person)  # type: ignore[method-assign]
    torch.manual_seed(0)
    values = [StyleMixing(0.5)(mixing_step(model, 0.0)) for _ in range(200)]
    assert set(seen) == set(range(1, model.layers))
    assert 70 < len(seen) / 2 < 130 and len(values) == 200
    assert all(float(value) == 0 for value in (StyleMixing(0.0)(mixing_step(model, 0.0)) for _ in range(5)))


def test_mixing_moves_the_mapping_and_the_synthesis() -> None:
    model = small().train()
    StyleMixing(1.0)(mixing_step(model, 0.0)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.decoders["src"][0].parameters())


@pytest.mark.parametrize(
    ("model", "message"),
    [(lambda: grid(32, 3, width=4, channels=4), "only the variant `style`"), (lambda: small(vae=False), "has no VAE")],
)
def test_mixing_refuses_models_that_it_cannot_mix(model: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StyleMixing().bind(model(), 32)
