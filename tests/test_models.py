"""The networks: shapes and sizes of the reference topology, the grid family, upsamplers, latent head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metrics.attribution import circular, constant_latent_response, gain_spread
from models.bottleneck import Gather, GaussianHead, Resample, Scatter, Uneven, resample_matrix
from models.swapper import PEOPLE, Swapper
from models.upsample import UPSAMPLERS, Resize, stage
from models.variants import grid, reference


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("size", "stages", "cells", "top"), [(256, 4, 3, 16), (512, 4, 7, 32), (512, 5, 3, 16)], ids=str
)
def test_reference_topology_has_the_shapes_of_the_source(size: int, stages: int, cells: int, top: int) -> None:
    with torch.device("meta"):
        model = reference(size, stages=stages)
        x = torch.empty(2, 3, size, size)
        body = model.encoder[0](x)  # type: ignore[index]
        mu, logvar = model.encode(x)
        assert body.shape == (2, 256, top, top)
        assert mu.shape == logvar.shape == (2, 1024, cells, cells)
        assert model.latent_shape == (1024, cells, cells)
        for person in PEOPLE:
            assert model.decode(mu, person).shape == (2, 3, size, size)


@pytest.mark.parametrize(("upsample", "millions"), [("convt", 52.41), ("resize", 42.63), ("pixelshuffle", 80.36)])
def test_reference_topology_has_the_parameters_of_the_source(upsample: str, millions: float) -> None:
    with torch.device("meta"):
        assert round(count(reference(256, upsample=upsample)) / 1e6, 2) == millions  # type: ignore[arg-type]


def test_reference_at_512_is_the_same_network_and_not_another() -> None:
    with torch.device("meta"):
        small, large = reference(256).state_dict(), reference(512).state_dict()
    assert {k: v.shape for k, v in small.items()} == {k: v.shape for k, v in large.items()}


@pytest.mark.parametrize("upsample", UPSAMPLERS)
def test_every_upsampler_of_the_reference_ends_at_the_picture_size(upsample: str) -> None:
    model = reference(256, width=2, channels=4, upsample=upsample)  # type: ignore[arg-type]
    x = torch.rand(1, 3, 256, 256)
    picture = model.swap(x, "dst")
    assert picture.shape == x.shape
    assert picture.min() >= 0 and picture.max() <= 1


@pytest.mark.parametrize("size", [32, 64, 96, 256])
def test_parameters_of_the_grid_family_do_not_depend_on_the_grid(size: int) -> None:
    grids: list[int | tuple[int, int]] = [1, 3, 4, 5, 6, 7, 12, (3, 4), (5, 2)]
    sizes = set()
    for cells in grids:
        with torch.device("meta"):
            model = grid(size, cells, width=8, channels=16)
            x = torch.empty(2, 3, size, size)
            mu, _ = model.encode(x)
            assert mu.shape[1:] == model.latent_shape == (16, *((cells, cells) if isinstance(cells, int) else cells))
            assert model.decode(mu, "src").shape == x.shape
        sizes.add(count(model))
    assert len(sizes) == 1


def test_grid_family_computes_what_its_shapes_promise_in_both_directions() -> None:
    torch.manual_seed(0)
    model = grid(32, (3, 4), width=4, channels=6)
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    latent = model.encode(x)
    assert latent.mu.shape == (2, 6, 3, 4)
    out = model.decode(latent.sample(), "dst")
    out.square().mean().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    untouched = [n for n, p in model.named_parameters() if p.grad is None]
    assert untouched and all(name.startswith("decoders.src.") for name in untouched)


@pytest.mark.parametrize(
    ("n_in", "n_out"), [(8, 9), (8, 21), (8, 5), (16, 9), (9, 8), (21, 8), (16, 2), (8, 8), (8, 1)]
)
def test_rows_of_the_resampling_matrix_differ_and_sum_to_one(n_in: int, n_out: int) -> None:
    matrix = resample_matrix(n_in, n_out)
    assert matrix.shape == (n_out, n_in)
    torch.testing.assert_close(matrix.sum(1), torch.ones(n_out))
    assert (matrix >= 0).all()
    assert len({tuple(row.tolist()) for row in matrix}) == n_out


@pytest.mark.parametrize(
    ("before", "after"), [((8, 8), (9, 12)), ((16, 16), (9, 15)), ((21, 9), (8, 8)), ((7, 5), (2, 3))]
)
def test_resampling_agrees_with_torch_where_torch_is_right(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *before, generator=torch.Generator().manual_seed(1))
    ours = Resample(before, after)(x)
    theirs = nn.functional.interpolate(x, after, mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_resampling_to_one_row_keeps_the_columns_apart() -> None:
    x = torch.arange(8.0).expand(1, 1, 8, 8)
    out = Resample((8, 8), (1, 4))(x)
    assert (out[0, 0, 0].diff() > 1).all()
    torch.testing.assert_close(out.mean(), torch.tensor(3.5))


@pytest.mark.parametrize("middle", [9, 12, 15, 21])
def test_a_linear_ramp_survives_up_and_down_resampling_inside(middle: int) -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8).contiguous()
    up = Resample((8, 8), (middle, middle))(ramp)
    positions = (torch.arange(middle) + 0.5) * 8 / middle - 0.5
    torch.testing.assert_close(up[0, 0, 3, 2:-2], positions[2:-2], rtol=0, atol=1e-5)
    back = Resample((middle, middle), (8, 8))(up)
    # the triangle is sampled, not integrated, so that reduction by a broken ratio is a little off; torch's is too
    torch.testing.assert_close(back[..., 2:-2], ramp[..., 2:-2], rtol=0, atol=0.1)


@pytest.mark.parametrize("kind", UPSAMPLERS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_all_upsamplers_share_one_signature_and_multiply_the_size(kind: str, scale: int) -> None:
    layer = UPSAMPLERS[kind](5, 7, scale)
    assert layer(torch.randn(2, 5, 3, 4)).shape == (2, 7, 3 * scale, 4 * scale)
    assert UPSAMPLERS[kind](5, 7)(torch.randn(1, 5, 3, 4)).shape == (1, 7, 6, 8)


def test_shuffle_with_icnr_starts_as_a_nearest_resize() -> None:
    x = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    out = UPSAMPLERS["pixelshuffle_icnr"](4, 3)(x)
    assert torch.equal(out, nn.functional.interpolate(out[..., ::2, ::2], scale_factor=2.0, mode="nearest"))
    plain = UPSAMPLERS["pixelshuffle"](4, 3)(x)
    assert not torch.allclose(plain[..., ::2, ::2], plain[..., 1::2, 1::2])


@pytest.mark.parametrize("upsample", ["resize", "bilinear", "pixelshuffle_icnr"])
def test_a_constant_latent_stays_flat_at_initialisation(upsample: str) -> None:
    torch.manual_seed(3)
    model = reference(256, width=2, channels=8, upsample=upsample)  # type: ignore[arg-type]
    response = constant_latent_response(model.decoders["src"], torch.randn(2, 8, 3, 3))
    assert response.rms < 1e-6


@pytest.mark.parametrize("upsample", ["convt", "pixelshuffle"])
def test_a_constant_latent_shows_a_lattice_at_initialisation_where_filters_overlap_unevenly(upsample: str) -> None:
    torch.manual_seed(3)
    layers = nn.Sequential(stage(upsample, 8, 8, "none"), UPSAMPLERS[upsample](8, 3))
    response = constant_latent_response(layers, torch.randn(2, 8, 4, 4))
    assert response.rms > 1e-2
    assert response.levels[0] > 1e-3


def torus_response(layer: nn.Module) -> torch.Tensor:
    """(2, 2) what a layer with weights of 1 paints from ones, by the parity of row and column, borders left out."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    with circular(layer):
        out = layer(torch.ones(1, 1, 6, 6))[0, 0]
    tile = out[:2, :2]
    assert torch.equal(out, tile.repeat(6, 6))  # the pattern repeats everywhere
    return tile


def test_uneven_overlap_is_the_grid_of_the_textbook_and_even_overlap_has_none() -> None:
    """Odena et al. 2016: kernel 3 at stride 2 paints a pixel with 4, 2 or 1 taps, kernel 4 always with 4."""
    tile = torus_response(UPSAMPLERS["convt3"](1, 1))
    assert sorted(tile.flatten().tolist()) == [1, 2, 2, 4]
    assert tile[0, 0] * tile[1, 1] == tile[0, 1] * tile[1, 0]  # the product of two one-dimensional patterns
    assert torus_response(UPSAMPLERS["convt"](1, 1)).unique().tolist() == [4.0]


@pytest.mark.parametrize("kind", ["resize", "bilinear", "pixelshuffle_icnr"])
def test_a_constant_stays_constant_on_a_torus_at_any_weights_or_at_initialisation(kind: str) -> None:
    torch.manual_seed(5)
    layer = UPSAMPLERS[kind](3, 2)
    with circular(layer), torch.no_grad():
        out = layer(torch.randn(1, 3, 1, 1).expand(1, 3, 6, 6))
    torch.testing.assert_close(out, out[..., :1, :1].expand_as(out), rtol=1e-5, atol=1e-6)


def test_the_layer_to_blame_is_found_in_a_mixed_decoder() -> None:
    torch.manual_seed(2)
    blamed = reference(64, stages=2, width=4, channels=4, upsample=["resize", "resize", "convt3", "resize"])
    spread = gain_spread(blamed.decoders["src"])
    assert len(spread) == 1 and next(iter(spread.values())) > 0.3
    assert gain_spread(reference(64, stages=2, width=4, channels=4, upsample="resize").decoders["src"]) == {}


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_every_normalisation_builds_and_paints(norm: str) -> None:
    model = grid(32, 3, width=8, channels=4, norm=norm)  # type: ignore[arg-type]
    kinds = {type(m) for m in model.modules()} & {nn.BatchNorm2d, nn.GroupNorm}
    assert kinds == {"batch": {nn.BatchNorm2d}, "group": {nn.GroupNorm}, "none": set()}[norm]
    assert model.swap(torch.rand(2, 3, 32, 32), "dst").isfinite().all()


def test_upsamplers_may_differ_by_stage() -> None:
    mixed = grid(32, 3, width=4, channels=4, upsample=["convt", "pixelshuffle_icnr"])
    kinds = [type(m).__name__ for m in mixed.decoders["src"].modules()]
    assert "PixelShuffle" in kinds and "Resize" not in kinds
    assert mixed.swap(torch.rand(1, 3, 32, 32), "src").shape == (1, 3, 32, 32)
    names = ["convt", "resize", "bilinear", "pixelshuffle", "pixelshuffle_icnr", "resize"]
    strided = reference(256, width=2, channels=4, upsample=names)  # type: ignore[arg-type]
    assert strided.swap(torch.rand(1, 3, 256, 256), "src").shape == (1, 3, 256, 256)


def test_wrong_sizes_and_names_are_told_in_words() -> None:
    with pytest.raises(ValueError, match="size 250 is not divisible"):
        grid(250, 3)
    with pytest.raises(ValueError, match="grid must be at least 1"):
        grid(64, 0)
    with pytest.raises(ValueError, match=r"upsample must be one of convt, convt3, resize.*not 'bicubic'"):
        grid(64, 3, upsample="bicubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lists 5 stages, but this decoder has 3"):
        grid(64, 3, upsample=["resize"] * 5)
    with pytest.raises(ValueError, match="norm must be 'batch', 'group' or 'none', not 'layer'"):
        grid(64, 3, norm="layer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"size 224 with stages 4.*\b256\b"):
        reference(224)
    for wrong in ("bicubic", ["resize", "resize"], []):
        with pytest.raises(ValueError, match="upsample"):
            reference(256, width=2, channels=4, upsample=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="upsample must be one of"):
        Uneven("bicubic", 4, 4, 3)


def test_the_head_starts_with_the_asked_log_variance_and_bounds_it() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 16, 3, 3)
    for start in (-6.0, 0.0):
        mu, logvar = GaussianHead(16, 8, logvar_start=start)(x)
        assert mu.shape == logvar.shape == (4, 8, 3, 3)
        assert abs(logvar.detach().mean().item() - start) < 0.05
        assert mu.detach().std().item() > 0.5
    _, logvar = GaussianHead(16, 8, kernel=1)(1e6 * x)
    logvar = logvar.detach()
    assert logvar.max() == 8 and logvar.min() == -20


def test_sampling_has_the_head_s_mean_and_spread() -> None:
    from models.swapper import Latent

    torch.manual_seed(0)
    z = Latent(torch.full((20_000,), 2.0), torch.full((20_000,), 2 * torch.tensor(0.5).log())).sample()
    assert abs(float(z.mean()) - 2) < 0.02 and abs(float(z.std()) - 0.5) < 0.02


@pytest.mark.parametrize("build", [lambda: grid(32, 3, width=4), lambda: reference(256, width=2, channels=4)])
def test_parameter_groups_hold_each_parameter_once(build) -> None:
    model: Swapper = build()
    everything = sorted(id(p) for p in model.parameters())
    clipped = [id(p) for group in model.clip_groups().values() for p in group]
    rated = [id(p) for _, group in model.rate_groups() for p in group]
    assert sorted(clipped) == sorted(rated) == everything
    assert set(model.clip_groups()) == {"encoder", "decoder_src", "decoder_dst"}
    assert {id(p) for p in model.head.parameters()} == {id(p) for p in dict(model.rate_groups())["vae"]}


def test_the_two_decoders_share_nothing_and_paint_differently() -> None:
    torch.manual_seed(0)
    model = grid(32, 3, width=4, channels=4)
    own = {id(p) for p in model.decoders["src"].parameters()}
    assert not own & {id(p) for p in model.decoders["dst"].parameters()}
    x = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(model.swap(x, "src"), model.swap(x, "dst"))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("ours", "theirs", "shape"), [(Gather, nn.Conv2d, (9, 6)), (Scatter, nn.ConvTranspose2d, (3, 2))]
)
def test_a_convolution_by_blocks_is_that_convolution(layout, ours: type, theirs: type, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = ours(5, 7, 3).to(memory_format=layout)
    general = theirs(5, 7, 3, stride=3)
    general.load_state_dict(layer.state_dict())
    x = torch.randn(2, 5, *shape).contiguous(memory_format=layout)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    found, expected = layer(inputs[0]), general(inputs[1])
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for mine, general_s in zip((inputs[0], *layer.parameters()), (inputs[1], *general.parameters()), strict=True):
        torch.testing.assert_close(mine.grad, general_s.grad)


@pytest.mark.parametrize(("c_in", "c_out", "height", "width"), [(5, 4, 7, 6), (3, 8, 1, 1), (16, 2, 2, 9)])
def test_the_faster_resize_and_convolution_equals_the_plain_one(c_in: int, c_out: int, height: int, width: int) -> None:
    """In float64, to rounding: the output, and the gradients of input, weight and bias."""
    torch.manual_seed(0)
    x = torch.randn(2, c_in, height, width, dtype=torch.float64, requires_grad=True)
    layer = Resize(c_in, c_out).double()
    assert layer.conv.bias is not None
    resized = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
    plain = nn.functional.conv2d(resized, layer.conv.weight, layer.conv.bias, padding=1)
    fast = layer(x)
    torch.testing.assert_close(fast, plain)
    weights = (x, layer.conv.weight, layer.conv.bias)
    ours, theirs = (torch.autograd.grad((out**3).sum(), weights) for out in (fast, plain))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), plain)


def test_the_faster_resize_and_convolution_computes_in_the_precision_of_autocast() -> None:
    layer, x = Resize(8, 4), torch.randn(2, 8, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        fast = layer(x)
        with torch.no_grad():
            plain = layer(x)
    assert fast.dtype == plain.dtype == torch.bfloat16
    torch.testing.assert_close(fast.float(), plain.float(), rtol=0.05, atol=0.05)
