"""Path length in w and style mixing, on decoders whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from metric_faces import matched_case
from tiny_training import spec_of, store_in

from harness.score.case import build_case
from metrics.style import EVALUATORS, colour, share_of
from models.style import style
from models.variants import grid

CPU = torch.device("cpu")


def test_a_share_is_one_at_the_coarse_end_zero_at_the_fine_end_and_nan_between_equals() -> None:
    a, b = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, -1.0]])
    assert share_of(a, b, a).item() == 1 and share_of(b, b, a).item() == 0
    assert share_of(torch.lerp(b, a, 0.25), b, a).item() == pytest.approx(0.25)
    assert torch.isnan(share_of(a, b, b)).all()


def test_colour_has_no_place() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(colour(x), colour(x.roll((3, 2), (2, 3))))


def linear_case(stretch: float):
    """A decoder that is linear in z, and a mapping that stretches z: path lengths in w and z are known."""
    weight = torch.randn(3 * 16 * 16, 4, generator=torch.Generator().manual_seed(1)) * 0.01
    mu = {p: torch.randn(6, 4, generator=torch.Generator().manual_seed(k)) for k, p in enumerate(("src", "dst"))}

    def paint(code, person):
        return 0.5 + (code @ weight.T).view(-1, 3, 16, 16)

    case = matched_case(6, size=16, mu=mu, decode=paint, encode=lambda x: x)
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


def test_mixing_reads_what_the_coarse_half_carries() -> None:
    """Landmarks follow the coarse code and colour the fine one, exactly."""
    code = {p: torch.rand(5, 2, generator=torch.Generator().manual_seed(k)) for k, p in enumerate(("src", "dst"))}

    def paint(structure, tint):
        # a grey ramp starting at a row that the code gives, times a tint; the reader sees the row through `marks`
        picture = tint.view(-1, 1, 1, 1).expand(-1, 3, 16, 16).clone()
        picture[:, 0, 0, 0] = structure
        return picture

    class Reader:
        def __call__(self, images):
            return {"landmarks": images[:, 0, 0, 0].view(-1, 1, 1).expand(-1, 3, 2)}

    case = matched_case(5, size=16, mu=code, encode=lambda x: x, regressor=Reader())
    case.decode = lambda z, person: paint(z[:, 0], z[:, 1])
    case.mix = lambda a, b, person, depth: paint(a[:, 0], b[:, 1])
    case.style_layers = 4
    found = dict(EVALUATORS["mixing"].run(case))
    assert np.allclose(found["mix_structure"], 1, atol=1e-3)
    assert np.abs(found["mix_colour"]).max() < 0.1


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
