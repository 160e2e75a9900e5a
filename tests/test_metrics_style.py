"""Path length in w and style mixing, on decoders whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from metric_faces import matched_case
from tiny_training import spec_of, store_in

from harness.score.case import build_case
from metrics.case import PEOPLE, mean_of
from metrics.style import EVALUATORS, colour, share_of
from models.style import style
from models.variants import grid

CPU = torch.device("cpu")
FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def test_a_share_is_one_at_the_coarse_end_zero_at_the_fine_end_and_nan_between_equals() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    assert share_of(a, b, a).item() == 1 and share_of(b, b, a).item() == 0
    assert share_of(torch.lerp(b, a, 0.25), b, a).item() == pytest.approx(0.25)
    assert torch.isnan(share_of(a, b, b)).all()


def test_colour_has_no_place() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(colour(x), colour(x.roll((3, 2), (2, 3))))


def linear_case(stretch: float, height: int = 16, width: int = 16, contrast: float = 0.01):
    """A decoder that is linear in z, and a mapping that stretches z: path lengths in w and z are known."""
    weight = torch.randn(3 * height * width, 4, generator=torch.Generator().manual_seed(1)) * contrast
    mu = {p: torch.randn(6, 4, generator=torch.Generator().manual_seed(k)) for k, p in enumerate(("src", "dst"))}

    def paint(code, person):
        return 0.5 + (code @ weight.T).view(-1, 3, height, width)

    size = max(height, width)
    whole = matched_case(6, size=size)
    cut = {name: {p: x[..., :height, :width] for p, x in getattr(whole, name).items()} for name in ("images", "alpha")}
    outputs = {"swap": {"src->dst": cut["images"]["dst"], "dst->src": cut["images"]["src"]}, "rec": cut["images"]}
    case = replace(whole, **cut, **outputs, mu=mu, decode=paint, encode=lambda x: x)
    case.mapped = lambda z, person: stretch * z
    case.decode_mapped = paint
    return case, weight, mu


def test_path_length_in_w_of_a_linear_decoder_is_the_length_of_the_stretched_way() -> None:
    case, weight, mu = linear_case(2.0)
    found = dict(EVALUATORS["mapped_path"].run(case))
    way = 2 * (mu["src"].roll(1, 0) - mu["src"])
    expected = (way @ weight.T).square().sum(1).numpy() / (3 * 16 * 16)
    kept = np.isfinite(found["ppl_w"][:6])
    assert kept.sum() >= 4 and np.allclose(found["ppl_w"][:6][kept], expected[kept], rtol=2e-2)
    assert np.allclose(found["ppl_ratio"], 4.0, rtol=2e-2)


def test_the_perceptual_path_is_measured_by_the_perceptual_distance_of_the_case() -> None:
    case, *_ = linear_case(2.0)
    assert dict(EVALUATORS["mapped_path"].run(case))["ppl_feature_ratio"].shape == (2,)
    assert "fixed random network" in case.notes["ppl_feature_ratio"]
    other, *_ = linear_case(2.0)
    other.perceptual = lambda x, y: (x - y).square().flatten(1).sum(1)  # a distance whose ratio is known
    assert np.allclose(dict(EVALUATORS["mapped_path"].run(other))["ppl_feature_ratio"], 4.0, rtol=2e-2)
    assert "ppl_feature_ratio" not in other.notes


@FEW
@given(height=st.integers(16, 80), width=st.integers(16, 80), stretch=st.floats(0.25, 4))
def test_the_ratio_of_paths_is_the_squared_stretch_at_any_size(height: int, width: int, stretch: float) -> None:
    case, *_ = linear_case(stretch, height, width)
    case.perceptual = lambda x, y: (x - y).square().flatten(1).sum(1)
    found = dict(EVALUATORS["mapped_path"].run(case))
    assert (found["ppl_w"][np.isfinite(found["ppl_w"])] >= 0).all()
    for name in ("ppl_ratio", "ppl_feature_ratio"):
        assert np.allclose(found[name], stretch**2, rtol=5e-2) and name not in case.notes


@FEW
@given(share=st.floats(-0.5, 1.5), tint=st.floats(-0.5, 1.5), seed=st.integers(0, 10**6))
@example(share=1, tint=0, seed=0)  # landmarks follow the coarse half and colour the fine one, exactly
def test_the_shares_of_a_mix_are_read_as_they_are_also_beyond_its_two_faces(share: float, tint: float, seed: int):
    generator = torch.Generator().manual_seed(seed)
    code = {p: 0.2 + 0.6 * torch.rand(5, 2, generator=generator) for p in PEOPLE}
    drawn: list[tuple[torch.Tensor, torch.Tensor]] = []

    def paint(structure, colours):
        """Flat pictures; where their landmarks are is known to the reader."""
        picture = colours.view(-1, 1, 1, 1).expand(-1, 3, 16, 16).clone()
        drawn.append((picture, structure.view(-1, 1, 1).expand(-1, 3, 2)))
        return picture

    case = matched_case(5, size=16, mu=code, encode=lambda x: x)
    case.regressor = lambda images: {"landmarks": next(marks for picture, marks in drawn if picture is images)}
    case.decode = lambda z, person: paint(z[:, 0], z[:, 1])
    case.mix = lambda a, b, person, depth: paint(b[:, 0].lerp(a[:, 0], share), b[:, 1].lerp(a[:, 1], tint))
    case.style_layers = 4
    found = dict(EVALUATORS["mixing"].run(case))
    for name, expected in (("mix_structure", share), ("mix_colour", tint)):
        read = found[name][np.isfinite(found[name])]
        assert len(read) and np.allclose(read, expected, atol=1e-2), name


def test_a_decoder_that_collapsed_has_no_share_and_no_ratio_and_says_why() -> None:
    case, *_ = linear_case(2.0, contrast=0.0)
    case.regressor = lambda images: {"landmarks": images.new_zeros(len(images), 3, 2)}
    case.mix, case.style_layers = (lambda a, b, person, depth: case.decode(b, person)), 4
    found = {name: v for group in EVALUATORS.values() for name, v in group.run(case)}
    assert np.nanmax(found["ppl_w"]) == 0
    for name in ("ppl_ratio", "ppl_feature_ratio", "mix_structure", "mix_colour"):
        assert np.isnan(mean_of(found[name])) and "undefined" in case.notes[name], name


def test_only_style_based_swappers_are_asked(tmp_path) -> None:
    spec, store = spec_of(), store_in(tmp_path)
    plain = build_case(grid(16, width=4, channels=4).eval(), spec, store, CPU)
    assert [*EVALUATORS["mixing"].run(plain)] == [] and [*EVALUATORS["mapped_path"].run(plain)] == []
    assert plain.modules is not None
    styled = build_case(style(16, channels=8, mapping_width=8, width=8).eval(), spec, store, CPU)
    assert styled.modules is None
    with torch.no_grad():
        found = dict(EVALUATORS["mapped_path"].run(styled)) | dict(EVALUATORS["mixing"].run(styled))
    assert set(found) == {"ppl_w", "ppl_ratio", "ppl_feature_ratio", "mix_structure", "mix_colour"}
    assert len(found["ppl_w"]) == 2 * styled.count and len(found["ppl_ratio"]) == 2
