import numpy as np
import pytest
import torch
from metric_faces import faces, matched_case, poses

from metrics.lattice import blur, inject_checkerboard
from metrics.references import blurred_case
from metrics.sharpness import EVALUATORS, band_gains, edge_width, largest


@pytest.fixture(scope="module")
def truth():
    return faces(0, poses(6), 64)[0]


def test_an_exact_copy_has_gain_one_and_all_the_detail(truth):
    found = band_gains(truth, truth)
    assert found.gain.numpy() == pytest.approx(np.ones((6, 3))) and found.detail.numpy() == pytest.approx(
        np.ones((6, 3))
    )
    assert edge_width(truth, truth).numpy() == pytest.approx(np.ones(6))


def test_more_blur_is_less_gain_in_every_band_and_most_in_the_finest(truth):
    gains = torch.stack([band_gains(blur(truth, s), truth).gain.mean(0) for s in (0.5, 1.0, 2.0)])
    assert (gains.diff(dim=0) < 0).all() and (gains < 1).all()
    assert (gains.diff(dim=1)[1:] > 0).all()


def test_half_the_contrast_is_half_the_gain(truth):
    found = band_gains(0.5 * truth, truth)
    assert found.gain.numpy() == pytest.approx(np.full((6, 3), 0.5)) and found.detail.mean().item() == pytest.approx(
        0.5
    )


def test_noise_fakes_gain_but_not_detail(truth):
    noise = 0.05 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    found = band_gains(blur(truth, 2.0) + noise, truth)
    assert found.gain[:, 0].min() > 1 and found.detail[:, 0].max() < 0.5


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_checkerboard_does_not_fake_sharpness(truth, level):
    gridded = band_gains(inject_checkerboard(truth, level, 0.02), truth).gain
    assert gridded.numpy() == pytest.approx(np.ones((6, 3)), abs=0.02)


def test_a_flat_truth_has_no_detail_to_compare():
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert torch.isnan(band_gains(flat, flat).gain).all() and torch.isnan(edge_width(flat, flat)).all()


def test_edges_of_a_blurred_step_widen_by_the_known_ratio():
    step = torch.zeros(1, 1, 64, 64)
    step[..., 32:] = 1
    narrow, wide = blur(step, 1.0), blur(step, 1.5)
    assert edge_width(wide, narrow).item() == pytest.approx(1.5, rel=0.12)


def test_a_shifted_edge_is_not_called_soft(truth):
    assert edge_width(truth.roll(1, 3), truth).mean().item() == pytest.approx(1, abs=0.1)


def test_evaluator_yields_every_name_with_and_without_truth():
    names = {info.name for info in EVALUATORS["sharpness"].infos}
    case = matched_case(3)
    found = dict(EVALUATORS["sharpness"].run(case))
    assert set(found) == names and all(len(v) == 6 for v in found.values())
    case.matched = False
    found = dict(EVALUATORS["sharpness"].run(case))
    assert set(found) == names and np.isnan(found["sharpness_gain_1"]).all() and len(found["rec_sharpness_gain_1"]) == 6
    assert case.notes["sharpness_edge_width"] == "needs ground truth"


@pytest.mark.parametrize("reach", [0, 1, 2, 5])
@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (1, 2, 9, 5), (1, 1, 3, 4)])
def test_the_largest_value_around_is_what_max_pooling_gives(shape, reach):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(reach))
    assert torch.equal(largest(x, reach), torch.nn.functional.max_pool2d(x, 2 * reach + 1, 1, reach))


def test_each_person_is_compared_with_their_own_truth_and_in_the_order_of_the_directions():
    """src->dst paints dst: its values come first among those of swaps, and last among those of reconstructions."""
    case = matched_case(3)
    soft = blurred_case(case, 1.0)
    case = case.with_outputs({**case.swap, "src->dst": soft.swap["src->dst"]}, {**case.rec, "dst": soft.rec["dst"]})
    found = dict(EVALUATORS["sharpness"].run(case))
    alone = band_gains(soft.rec["dst"], case.images["dst"]).gain[:, 0].numpy()
    assert found["sharpness_gain_1"] == pytest.approx([*alone, 1, 1, 1]) and (alone < 0.9).all()
    assert found["rec_sharpness_gain_1"] == pytest.approx([1, 1, 1, *alone])
    width = edge_width(soft.rec["dst"], case.images["dst"]).numpy()
    assert found["sharpness_edge_width"] == pytest.approx([*width, 1, 1, 1]) and (width > 1.05).all()
    assert found["rec_sharpness_edge_width"] == pytest.approx([1, 1, 1, *width])
