"""Augmentation: one resampling that equals three steps, with the drawn sizes and chances of the source material."""

import itertools

import cv2
import numpy as np
import pytest
import slow_augment
import torch

from harness.data import augment
from harness.data.streams import generator
from harness.spec import AugmentSpec

ALWAYS = AugmentSpec(probability=1.0)
CALM = AugmentSpec(probability=0.0)


def drawn(spec: AugmentSpec, batch: int = 12, step: int = 0) -> augment.Draws:
    return augment.draw(batch, spec, generator(3, "data", step))


def reference(spec: AugmentSpec, draws: augment.Draws, step: int = 0) -> list[slow_augment.Steps]:
    return slow_augment.steps_of(spec, generator(3, "data", step), len(draws.zoom), draws.field)


def smooth_faces(size: int) -> np.ndarray:
    """(S, S, 4) float32: blobs and stripes that a bilinear interpolation can follow."""
    y, x = np.mgrid[0:size, 0:size] / size
    channels = [np.sin(9 * x + 5 * y), np.cos(11 * y - 4 * x), np.exp(-8 * ((x - 0.4) ** 2 + (y - 0.6) ** 2)), x * y]
    return np.stack(channels, -1).astype(np.float32)


def as_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()


@pytest.mark.parametrize("order", ["warp_zoom", "zoom_warp"])
@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_one_grid_is_the_composition_of_the_three_maps(order, probability):
    spec = AugmentSpec(probability=probability, order=order)
    draws = drawn(spec)
    grid = augment.sampling_grid(draws, 48, order).double().numpy()
    for i, steps in enumerate(reference(spec, draws)):
        assert np.abs(grid[i] - slow_augment.source_points(steps, 48, order)).max() < 1e-5


@pytest.mark.parametrize("order", ["warp_zoom", "zoom_warp"])
def test_one_resampling_looks_like_three_resamplings(order):
    spec = AugmentSpec(probability=1.0, order=order)
    draws = drawn(spec, 6)
    image = smooth_faces(256)
    once, _ = augment.apply(as_batch(image).expand(6, -1, -1, -1), draws, spec)
    for i, steps in enumerate(reference(spec, draws)):
        thrice = slow_augment.three_steps(image, steps, order)
        difference = np.abs(once[i].permute(1, 2, 0).numpy() - thrice)
        # Near the border the order of clamping shows; the middle agrees to interpolation error. One is the range.
        assert difference[32:-32, 32:-32].max() < 0.004
        assert difference.mean() < 0.002


def test_one_resampling_keeps_more_detail_than_three():
    image = np.random.default_rng(0).random((128, 128, 4), np.float32)
    draws = drawn(ALWAYS, 6)
    once, _ = augment.apply(as_batch(image).expand(6, -1, -1, -1), draws, ALWAYS)

    def detail(picture: np.ndarray) -> float:
        return float(cv2.Laplacian(picture[16:-16, 16:-16], cv2.CV_32F).std())

    for i, steps in enumerate(reference(ALWAYS, draws)):
        assert detail(once[i].permute(1, 2, 0).numpy()) > 1.5 * detail(slow_augment.three_steps(image, steps))


def test_without_any_step_an_image_stays_as_it_is():
    image = torch.rand(5, 4, 32, 32)
    same, target = augment.apply(image, drawn(CALM, 5), CALM)
    assert target is same
    assert (same - image).abs().max() < 1e-5


def test_a_draw_means_the_same_at_every_resolution():
    draws = drawn(ALWAYS.model_copy(update={"warp": (0.0, 0.004)}))
    coarse, fine = augment.sampling_grid(draws, 32), augment.sampling_grid(draws, 96)
    # The middle of each 3 x 3 block of the fine grid is a pixel centre of the coarse one. Borders are clamped to pixel
    # centres, which differ by resolution.
    assert (coarse - fine[:, 1::3, 1::3]).abs()[:, 2:-2, 2:-2].max() < 1e-5


def test_each_step_happens_to_half_of_the_images_independently():
    count = 4000
    spec = AugmentSpec(warp_octaves=1, warp=(0.01, 0.01), zoom=(0.9, 0.9))
    draws = drawn(spec, count)
    affine = (draws.affine - torch.eye(2, 3)).abs().amax((1, 2)) > 0
    elastic = draws.field.abs().amax((1, 2, 3)) > 0
    zoomed = draws.zoom < 1
    for first in (affine, elastic, zoomed):
        assert abs(first.float().mean() - 0.5) < 0.03  # 0.008 is one standard deviation
    for first, second in ((affine, elastic), (elastic, zoomed), (affine, zoomed)):
        assert abs((first & second).float().mean() - 0.25) < 0.03


def test_drawn_sizes_fill_the_ranges_of_the_spec_and_stay_inside():
    count = 3000
    spec = AugmentSpec(probability=1.0, warp_octaves=2)
    draws = drawn(spec, count)
    steps = reference(spec, draws)
    degrees = np.array([s.degrees for s in steps])
    assert 7.9 < np.abs(degrees).max() <= 8 and abs(degrees.mean()) < 0.5
    angle = torch.atan2(draws.affine[:, 1, 0].abs(), draws.affine[:, 1, 1])
    np.testing.assert_allclose(np.degrees(angle.numpy()), np.abs(degrees), atol=1e-3)
    assert 0.029 < np.abs([s.shift for s in steps]).max() <= 0.03
    assert abs(np.mean([s.flip for s in steps]) - 0.5) < 0.03
    assert 0.88 <= draws.zoom.min() < 0.881 and 0.999 < draws.zoom.max() <= 1
    largest = draws.field.abs().amax((1, 2, 3)) / 2  # fractions of the side
    assert largest.min() + 1e-6 >= 0.003 and largest.max() <= 0.012 + 1e-6
    assert abs(largest.mean() - 0.0075) < 2e-4


def test_the_elastic_noise_is_smooth_and_has_all_its_octaves():
    spec = AugmentSpec(probability=1.0, affine=False, zoom_step=False)
    many = drawn(spec, 64)
    moved = augment.sampling_grid(many, 96) - augment.sampling_grid(drawn(CALM, 64), 96)
    window = torch.hann_window(88)
    inner = moved[:, 4:-4, 4:-4, 0] * window * window[:, None]
    power = torch.fft.rfft2(inner).abs().square().mean(0)[:16]
    rings = [power[:, low:high].sum().item() for low, high in ((1, 3), (3, 6), (6, 11), (11, 20), (20, 40))]
    assert all(first > 3 * second for first, second in itertools.pairwise(rings)), rings
    coarse = spec.model_copy(update={"warp_octaves": 3})
    moved = augment.sampling_grid(drawn(coarse, 64), 96) - augment.sampling_grid(drawn(CALM, 64), 96)
    inner = moved[:, 4:-4, 4:-4, 0] * window * window[:, None]
    power = torch.fft.rfft2(inner).abs().square().mean(0)[:16]
    assert power[:, 11:20].sum() < rings[3] / 3  # what the finer octaves add
    # No fold: neighbours keep their order.
    assert (torch.diff(augment.sampling_grid(many, 96)[..., 0], dim=2)[:, 4:-4, 4:-4] > 0).all()


@pytest.mark.parametrize(("switch", "kept"), [("affine", "affine"), ("elastic", "field"), ("zoom_step", "zoom")])
def test_switching_one_step_off_changes_no_other_draw(switch, kept):
    on, off = drawn(AugmentSpec()), drawn(AugmentSpec(**{switch: False}))
    for name in ("affine", "field", "zoom"):
        assert torch.equal(getattr(on, name), getattr(off, name)) == (name != kept)


def test_zoom_after_the_warp_crops_the_smeared_border_and_before_it_keeps_it():
    spec = AugmentSpec(probability=1.0, affine=False, zoom=(0.9, 0.9))
    draws = drawn(spec)
    edge = 1 - 1 / 64
    after = augment.sampling_grid(draws, 64, "warp_zoom")
    before = augment.sampling_grid(draws, 64, "zoom_warp")
    assert after.abs().max() < edge - 1e-3
    smeared = (before.abs() > 0.9 * edge - 1e-6).any(-1).float().mean()
    assert smeared > 0.01


def test_the_unwarped_target_has_the_affine_and_the_zoom_and_not_the_warp():
    draws = drawn(ALWAYS)
    images = as_batch(smooth_faces(64)).expand(12, -1, -1, -1)
    warped, target = augment.apply(images, draws, ALWAYS, target="unwarped")
    still = AugmentSpec(probability=1.0, elastic=False)
    expected, _ = augment.apply(images, drawn(still), still)
    assert torch.allclose(target, expected, atol=1e-6)
    assert (warped - target).abs().mean() > 1e-3


def test_equal_generators_give_equal_draws_and_other_steps_give_others():
    first, again, other = drawn(AugmentSpec()), drawn(AugmentSpec()), drawn(AugmentSpec(), step=1)
    assert all(torch.equal(getattr(first, n), getattr(again, n)) for n in ("affine", "field", "zoom"))
    assert not torch.equal(first.affine, other.affine)


def test_a_batch_without_any_elastic_image_can_be_drawn():
    draws = drawn(CALM, 3)
    assert not draws.field.any()
    assert draws.field.shape == (3, 2, 33, 33)
