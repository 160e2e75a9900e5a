import numpy as np
import pytest
import torch
from metric_faces import matched_case
from pytorch_msssim import ms_ssim as public_ms_ssim
from skimage.metrics import structural_similarity

from metrics.reconstruction import EVALUATORS, ms_ssim, psnr, scales_that_fit, ssim, to_linear


def pictures(size=64, seed=0, noise=0.08):
    """A smooth picture and a noisy, slightly brighter version of it: (2, 3, size, size) each."""
    draw = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 9, 9, generator=draw), size=size, mode="bicubic")
    smooth = smooth.clamp(0, 1)
    return smooth, (smooth + 0.03 + noise * torch.randn(smooth.shape, generator=draw)).clamp(0, 1)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
def test_ssim_agrees_with_scikit_image(noise):
    a, b = pictures(noise=noise)
    for index, value in enumerate(ssim(a, b)):
        public = structural_similarity(
            a[index].double().numpy(),
            b[index].double().numpy(),
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert value.item() == pytest.approx(public, abs=1e-4)


def test_ms_ssim_agrees_with_a_public_implementation():
    a, b = pictures(192)
    assert scales_that_fit(192, 192) == 5
    assert ms_ssim(a, b).numpy() == pytest.approx(public_ms_ssim(a, b, 1.0, size_average=False).numpy(), abs=1e-4)


def test_ms_ssim_of_small_images_renormalises_the_scales_that_fit():
    assert [scales_that_fit(size, size) for size in (10, 11, 32, 64, 128, 175, 176)] == [0, 1, 2, 3, 4, 4, 5]
    a, b = pictures(16)
    assert ms_ssim(a, b).numpy() == pytest.approx(ssim(a, b).numpy(), abs=1e-6)  # one scale left: it is SSIM


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(ValueError, match="larger than 10"):
        ssim(torch.zeros(1, 3, 10, 10), torch.zeros(1, 3, 10, 10))


def test_psnr_of_a_known_error():
    assert psnr(torch.full((1, 3, 4, 4), 0.1), torch.zeros(1, 3, 4, 4)).item() == pytest.approx(20, abs=1e-4)
    assert psnr(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)).item() == pytest.approx(100)


def test_linear_values_of_known_srgb_ones():
    assert to_linear(torch.tensor([0.0, 0.04045, 0.5, 1.0])).tolist() == pytest.approx(
        [0, 0.0031308, 0.2140411, 1], abs=1e-6
    )


def test_errors_in_face_and_background_are_told_apart():
    case = matched_case(4)
    inside = case.alpha["src"] > 0.9
    case.rec["src"] = case.images["src"] + 0.2 * inside
    found = dict(EVALUATORS["reconstruction"].run(case))
    assert found["rec_l1_face"] == pytest.approx([0.2] * 4 + [0] * 4, abs=1e-6)
    assert found["rec_l1_background"].max() == pytest.approx(0, abs=1e-7)
    assert set(found) == {info.name for info in EVALUATORS["reconstruction"].infos}


def test_exact_outputs_score_the_ideal_of_every_metric():
    case = matched_case(3)
    for evaluator in EVALUATORS.values():
        ideals = {info.name: info.ideal for info in evaluator.infos}
        for name, values in evaluator.run(case):
            assert values == pytest.approx(np.full(6, ideals[name]), abs=1e-4)


def test_the_missing_scales_are_said():
    case = matched_case(2)
    dict(EVALUATORS["reconstruction"].run(case))
    assert "3 of 5" in case.notes["rec_ms_ssim"]


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
def test_more_noise_scores_worse(measure):
    values = [measure(*pictures(noise=noise)).mean().item() for noise in (0.01, 0.05, 0.1, 0.3)]
    assert values == sorted(values, reverse=True)
