import numpy as np
import pytest
import torch
from metric_faces import matched_case

from metrics.path import EVALUATORS, filtered, interpolation_error, path_lengths


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


A = draw(20, 7, seed=3).double()


@pytest.mark.parametrize("epsilon", [1e-1, 1e-3, 1e-4, 1e-5])
def test_a_linear_decoder_has_the_squared_length_of_its_image_at_every_step(epsilon):
    z0, z1 = draw(30, 7).double(), draw(30, 7, seed=1).double()
    found = path_lengths(lambda z: z @ A.T, z0, z1, epsilon=epsilon, generator=torch.Generator().manual_seed(2))
    assert found.numpy() == pytest.approx(((z1 - z0) @ A.T).square().sum(1).numpy(), rel=1e-5)


def test_float32_is_enough_for_the_default_step():
    z0, z1 = draw(30, 7), draw(30, 7, seed=1)
    found = path_lengths(lambda z: z @ A.float().T, z0, z1)
    assert found.numpy() == pytest.approx(((z1 - z0) @ A.float().T).square().sum(1).numpy(), rel=0.05)


def test_bfloat16_is_refused():
    with pytest.raises(ValueError, match="bfloat16"):
        path_lengths(lambda z: z, draw(2, 3).bfloat16(), draw(2, 3).bfloat16())


def test_a_winding_decoder_has_a_longer_path_than_a_straight_one():
    z0, z1 = torch.zeros(64, 1), torch.ones(64, 1)
    straight = path_lengths(lambda z: z, z0, z1).mean()
    winding = path_lengths(lambda z: z + 0.2 * torch.sin(20 * z), z0, z1).mean()
    assert straight.item() == pytest.approx(1, rel=0.02) and winding > 5


def test_the_filter_drops_the_extremes_only():
    kept = filtered(np.arange(201.0))
    assert np.isnan(kept[[0, 1, 199, 200]]).all() and not np.isnan(kept[2:199]).any()


def test_interpolation_error_is_zero_for_a_linear_world_and_known_for_a_bent_one():
    z0, z1, shares = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), torch.tensor([0.0, 0.5, 1.0])
    truth = torch.stack([torch.lerp(z0, z1, s) for s in shares])
    assert interpolation_error(lambda z: z, z0, z1, truth, shares).max() == 0
    assert interpolation_error(lambda z: z**2, z0, z1, truth, shares)[1].tolist() == pytest.approx([0.25, 0.25])


def test_evaluator_scales_with_the_square_of_the_decoder_and_exposes_a_constant_one():
    def scored(scale):
        case = matched_case(16, encode=lambda images: images, decode=lambda z, person: 0.5 + scale * z)
        case.mu = dict(case.images)
        return case, np.nanmean(dict(EVALUATORS["path"].run(case))["ppl"])

    assert scored(0.5)[1] / scored(0.25)[1] == pytest.approx(4, rel=0.02)
    case, value = scored(0.0)
    assert value == 0 and "constant" in case.notes["ppl"]


def test_the_way_between_two_poses_is_judged_against_its_true_picture():
    def scored(decode):
        case = matched_case(8, encode=lambda images: images, decode=decode)
        case.pose = torch.linspace(0, 1, 8)[:, None]
        case.images = {p: case.pose[:, :, None, None].expand(-1, 3, 16, 16) for p in ("src", "dst")}
        case.mu = dict(case.images)
        case.rec = dict(case.images)
        case.render = lambda person, pose: pose[:, :, None, None].expand(-1, 3, 16, 16)
        return dict(EVALUATORS["interpolation"].run(case))

    straight = scored(lambda z, person: z)
    assert straight["interpolation_error"].shape == (14,)
    assert np.abs(straight["interpolation_error"]).max() < 1e-6
    shifted = scored(lambda z, person: z + 0.1)
    assert shifted["interpolation_error"] == pytest.approx(0.1, abs=1e-6)
    assert shifted["interpolation_excess"] == pytest.approx(0.1, abs=1e-6)
