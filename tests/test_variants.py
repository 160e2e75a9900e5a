"""Every registered variant: what it declares is what it computes, and its parameters are grouped once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness import registry
from harness.cli import listing
from harness.options import known_options
from models import anatomy
from models.sharing import embedding, liae, trunk
from models.swapper import PEOPLE, Swapper
from models.variants import dense, grid, pooled, reference

NAMES = sorted(registry.entries("variant"))
# Small widths keep these quick; where a variant knows no such option, its default stays.
SMALL: dict[str, Any] = {"width": 4, "channels": 6, "mapping_width": 8}
EXISTS = {"reference": [(64, {"stages": 2}), (128, {"stages": 3}), (128, {"stages": 2})]}


def built(name: str, size: int, **options: Any) -> Swapper:
    entry = registry.get("variant", name)
    small = {key: value for key, value in SMALL.items() if key in known_options(entry)}
    torch.manual_seed(0)
    return entry.object(size=size, **small | options)


def cases() -> list[tuple[str, int, dict[str, Any]]]:
    default: list[tuple[int, dict[str, Any]]] = [(32, {}), (48, {}), (64, {})]
    return [(name, size, options) for name in NAMES for size, options in EXISTS.get(name, default)]


@pytest.mark.parametrize(("name", "size", "options"), cases(), ids=str)
def test_shapes_are_those_that_the_variant_declares(name: str, size: int, options: dict[str, Any]) -> None:
    model = built(name, size, **options)
    x = torch.rand(2, 3, size, size)
    latent = model.encode(x)
    assert latent.mu.shape == latent.logvar.shape == (2, *model.latent_shape)
    assert model.latent_cells == model.latent_shape[1] * model.latent_shape[2]
    assert set(PEOPLE) <= set(model.people)
    for person in model.people:
        rgb, mask = model.decode_with_mask(latent.mu, person)
        assert rgb.shape == x.shape and rgb.dtype == torch.float32 and mask is None
        assert rgb.min() >= 0 and rgb.max() <= 1
    assert not torch.allclose(model.eval().swap(x, "src"), model.swap(x, "dst"))


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_is_predicted_beside_the_picture_when_asked_for(name: str) -> None:
    size, options = EXISTS.get(name, [(32, {})])[0]
    model = built(name, size, mask=True, **options).eval()
    rgb, mask = model.decode_with_mask(model.encode(torch.rand(2, 3, size, size)).mu, "dst")
    assert mask is not None and mask.shape == (2, 1, size, size) and mask.dtype == torch.float32
    assert 0 <= mask.min() < mask.max() <= 1
    assert rgb.shape == (2, 3, size, size)
    mask.mean().backward()
    reached = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(name.startswith("encoder.") for name in reached)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_in_one_clip_group_and_one_rate_group(name: str) -> None:
    size, options = EXISTS.get(name, [(32, {})])[0]
    model = built(name, size, **options)
    everything = sorted(id(p) for p in model.parameters())
    assert sorted(id(p) for group in model.clip_groups().values() for p in group) == everything
    assert sorted(id(p) for _, group in model.rate_groups() for p in group) == everything
    assert all(model.clip_groups().values())
    assert {id(p) for p in dict(model.rate_groups())["vae"]} == {id(p) for p in model.head.parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_from_both_people(name: str) -> None:
    size, options = EXISTS.get(name, [(32, {})])[0]
    model = built(name, size, logvar_start=-1.0, **options).train()
    z = model.encode(torch.rand(2, 3, size, size)).sample()
    sum(model.decode(z, person).square().mean() for person in PEOPLE).backward()  # type: ignore[union-attr]
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_state_dict_holds_each_tensor_once_and_restores_the_model(name: str) -> None:
    size, options = EXISTS.get(name, [(32, {})])[0]
    model, other = (built(name, size, **options).eval() for _ in range(2))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    kept = model.state_dict()
    assert len({value.data_ptr() for value in kept.values() if value.numel()}) == sum(
        bool(value.numel()) for value in kept.values()
    )
    other.load_state_dict(kept)
    x = torch.rand(1, 3, size, size)
    assert torch.equal(model.swap(x, "dst"), other.swap(x, "dst"))


@pytest.mark.parametrize("name", NAMES)
def test_a_persons_way_is_his_decoder_and_leaves_the_mode_alone(name: str) -> None:
    size, options = EXISTS.get(name, [(32, {})])[0]
    model = built(name, size, mask=True, **options).eval()
    z = torch.randn(2, *model.latent_shape)
    decoders = model.person_decoders()
    for person in PEOPLE:
        assert torch.equal(decoders[person](z), model.decode(z, person))
        decoders[person].train(decoders[person].training)
    assert not any(module.training for module in model.modules())


def test_swaps_are_sampled_only_where_asked_for_and_always_alike() -> None:
    x = torch.rand(2, 3, 32, 32)
    options: dict[str, Any] = {"width": 4, "channels": 4, "logvar_start": 0.0}
    mean, sampled = (grid(32, sample_when_decoding=choice, **options).eval() for choice in (False, True))
    sampled.load_state_dict(mean.state_dict())
    latent = mean.encode(x)
    assert torch.equal(mean.test_code(latent), latent.mu)
    z = sampled.test_code(latent)
    assert torch.equal(z, sampled.test_code(latent)) and not torch.equal(z, latent.mu)
    away = ((z - latent.mu) / (0.5 * latent.logvar).exp()).detach()
    assert abs(float(away.std()) - 1) < 0.2 and not torch.equal(away[0], away[1])
    assert torch.equal(sampled.swap(x, "dst"), sampled.decode(z, "dst"))
    with pytest.raises(ValueError, match="needs a VAE"):
        grid(32, vae=False, sample_when_decoding=True)


def test_a_plain_autoencoder_decodes_its_mean_in_training() -> None:
    assert not grid(32, width=4, vae=False).sample
    assert grid(32, width=4).sample


@pytest.mark.parametrize("cells", [*range(1, 9), (3, 4), (4, 5), (5, 6)], ids=str)
def test_every_grid_swaps_at_64_px(cells: int | tuple[int, int]) -> None:
    model = grid(64, cells, width=4, channels=8).eval()
    assert model.latent_cells == (cells**2 if isinstance(cells, int) else cells[0] * cells[1])
    assert model.swap(torch.rand(1, 3, 64, 64), "dst").shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("size", "stages", "g"), [(32, 1, 3), (64, 1, 7), (64, 2, 3), (128, 2, 7), (128, 3, 3), (256, 3, 7), (256, 4, 3)]
)
def test_the_strided_topology_keeps_the_sources_grids_at_small_sizes(size: int, stages: int, g: int) -> None:
    with torch.device("meta"):
        assert reference(size, stages=stages, width=2, channels=4).latent_shape == (4, g, g)


def test_latent_size_can_be_held_constant_over_grids_and_vectors() -> None:
    sizes = set()
    for build, options in ((grid, {"grid": 3, "channels": 64}), (grid, {"grid": 6, "channels": 16}),
                           (dense, {"channels": 576}), (pooled, {"channels": 576})):  # fmt: skip
        with torch.device("meta"):
            c, h, w = build(64, width=4, **options).latent_shape  # type: ignore[operator]
        sizes.add(c * h * w)
    assert sizes == {576}


def test_pooling_forgets_places_and_flattening_does_not() -> None:
    features = torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    moved = features.roll((2, 3), (2, 3))
    for build, forgets in ((pooled, True), (dense, False)):
        down = build(64, width=2, channels=8).eval().encoder[1]  # type: ignore[index]
        assert torch.allclose(down(features), down(moved), atol=1e-5) is forgets


def test_three_people_share_one_decoder_and_are_told_apart_by_their_codes() -> None:
    torch.manual_seed(0)
    people = ("src", "dst", "third")
    for build in (embedding, trunk, liae):
        model = build(32, people=people, width=4, channels=4).eval()
        assert model.people == people
        z = torch.randn(2, *model.latent_shape)
        pictures = [model.decode(z, person) for person in people]
        for i in range(3):
            assert not torch.allclose(pictures[i], pictures[i - 1])
        groups = model.clip_groups()
        everything = sorted(id(p) for p in model.parameters())
        assert "decoder" in groups
        assert sorted(id(p) for group in groups.values() for p in group) == everything
    codes = embedding(32, people=people, width=4, code=5).clip_groups()
    assert [sum(p.numel() for p in codes[f"decoder_{person}"]) for person in people] == [5, 5, 5]


def test_a_code_of_one_person_gets_no_gradient_from_another() -> None:
    model = embedding(32, width=4, channels=4)
    model.decode(torch.randn(2, 4, 3, 3), "dst").mean().backward()
    assert model.decoders["src"].code.grad is None  # type: ignore[union-attr]
    assert float(model.decoders["dst"].code.grad.abs().sum()) > 0  # type: ignore[union-attr,operator]


def test_liae_paints_the_first_person_from_the_shared_intermediate_alone() -> None:
    model = liae(32, width=4, channels=4).eval()
    z = torch.randn(2, 8, 3, 3)
    other = torch.cat([z[:, :4], torch.randn(2, 4, 3, 3)], dim=1)  # another B, the same AB
    assert torch.equal(model.decode(z, "src"), model.decode(other, "src"))
    assert not torch.allclose(model.decode(z, "dst"), model.decode(other, "dst"))


def test_a_trunk_leaves_each_person_the_asked_number_of_stages() -> None:
    def own(count: int) -> int:
        model = trunk(64, own=count, width=4)
        return sum(isinstance(m, nn.Conv2d) for m in model.decoders["src"].modules())

    assert [own(count) for count in range(4)] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="own must be between 0 and 3"):
        trunk(64, own=4)
    for wrong in (("src",), ("src", "dst", "dst")):
        with pytest.raises(ValueError, match="people must hold src and dst"):
            trunk(64, people=wrong)


@pytest.mark.parametrize("name", NAMES)
def test_the_listed_sizes_are_those_of_the_built_model(name: str) -> None:
    entry = registry.get("variant", name)
    size, options = EXISTS.get(name, [(32, {})])[0]
    known = anatomy.anatomy(entry.object, size, **options)
    model = entry.object(size=size, **options).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.swap(torch.rand(1, 3, size, size), "dst")
    assert known["parameters"] == sum(p.numel() for p in model.parameters())
    assert known["flops"] == counter.get_total_flops()
    c, h, w = known["latent"]
    assert (c, h, w) == model.latent_shape
    assert known["compression"] == round(3 * size**2 / (c * h * w), 2)


def test_products_that_the_listing_does_not_know_are_counted_by_torch() -> None:
    class Odd(nn.Module):
        latent_shape = (1, 1, 1)

        def swap(self, x: torch.Tensor, target: str) -> torch.Tensor:
            return torch.einsum("bchw,bdhw->bcd", x, x)

    assert anatomy.anatomy(lambda size: Odd(), 8)["flops"] == 2 * 9 * 64


def test_the_listing_shows_each_variant_where_it_exists() -> None:
    rows = {row["variant"]: row for row in listing.parts("variant")}
    assert rows["grid"]["px"] == 64 and rows["grid"]["grid"] == "3x3" and rows["grid"]["latent"] == "128x3x3"
    assert rows["reference"]["px"] == 256 and rows["reference"]["compression"] == 21.33
    for row in rows.values():
        assert row["parameters"] > 0 and row["flops"] > 0 and row["description"] and row["options"]
