import io
from functools import lru_cache

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_faces import faces, matched_case, poses
from PIL import Image
from torch.nn.functional import interpolate

from metrics.case import PEOPLE
from metrics.checkerboard import EVALUATORS, inject_checkerboard, lattice_energy, spectrum_picture
from metrics.lattice import blur, checkerboard_pattern, lattice_points, power_spectra, readable_levels

SIZES = (64, 128, 256)
AMPLITUDES = np.array([0.001, 0.003, 0.01, 0.03])


def noise(count, size, sigma, seed=0):
    return sigma * torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def people():
    """8 faces at each size, with a little camera noise so that no background is empty."""
    return {size: faces(0, poses(8), size)[0] + noise(8, size, 0.002) for size in SIZES}


def test_a_level_holds_the_frequencies_with_an_odd_numerator():
    assert lattice_points(1) == [(0, 1), (1, 0), (1, 1)]
    assert [len(lattice_points(level)) for level in (1, 2, 3)] == [3, 12, 48]


def test_power_sums_to_the_mean_square_of_noise():
    assert power_spectra(noise(32, 64, 0.1)).sum((1, 2)).mean().item() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_injected_grids_read_with_slope_one_and_stay_on_their_level(people, size, level):
    readings = np.array(
        [lattice_energy(inject_checkerboard(people[size], level, a), people[size]).rms for a in AMPLITUDES]
    )
    slope = np.polyfit(np.log(AMPLITUDES), np.log(readings[:, level - 1]), 1)[0]
    assert slope == pytest.approx(1, abs=0.02)
    assert readings[:, level - 1] / AMPLITUDES == pytest.approx(np.ones(4), abs=0.02)
    others = [j for j in range(3) if j != level - 1]
    assert np.abs(readings[:, others]).max() < 1e-5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_grid_in_a_noisy_residual_is_read_within_a_tenth(people, size, level):
    output = inject_checkerboard(people[size], level, 0.01) + noise(8, size, 0.01, seed=1)
    found = lattice_energy(output, people[size])
    assert found.rms[level - 1] == pytest.approx(0.01, rel=0.1)
    clean = lattice_energy(people[size] + noise(8, size, 0.01, seed=1), people[size])
    others = [j for j in range(3) if j != level - 1]
    assert np.abs(found.rms[others] - clean.rms[others]).max() < 3e-4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [1, 2])
def test_a_grid_in_the_images_themselves_adds_its_own_power(people, size, level):
    before = lattice_energy(people[size])
    after = lattice_energy(inject_checkerboard(people[size], level, 0.02))
    signed = [np.sign(found.rms[level - 1]) * found.rms[level - 1] ** 2 for found in (before, after)]
    assert np.sqrt(signed[1] - signed[0]) == pytest.approx(0.02, rel=0.1)


def test_a_grid_in_one_colour_channel_is_seen(people):
    tinted = people[64].clone()
    tinted[:, :1] = inject_checkerboard(tinted[:, :1], 1, 0.01)
    tinted[:, 1:2] = inject_checkerboard(tinted[:, 1:2], 1, -0.01)  # cancels in luma
    assert lattice_energy(tinted, people[64]).rms[0] == pytest.approx(0.01 * (2 / 3) ** 0.5, rel=0.01)


@pytest.mark.parametrize("size", SIZES)
def test_white_noise_reads_about_zero_decibels(size):
    assert np.abs(lattice_energy(noise(24, size, 0.02)).db).max() < 0.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (1, 1)])
def test_a_roll_of_one_pixel_changes_nothing(people, size, shift):
    residual = inject_checkerboard(torch.zeros_like(people[size]), 2, 0.01) + noise(8, size, 0.005, seed=2)
    still, rolled = (lattice_energy(x).rms for x in (residual, residual.roll(shift, (2, 3))))
    assert rolled[1] == pytest.approx(still[1], rel=0.02)
    assert np.abs(rolled[[0, 2]] - still[[0, 2]]).max() < 5e-4


@pytest.mark.parametrize("size", (64, 128))
def test_blur_raises_no_flag_and_no_reading(people, size):
    floor = lattice_energy(people[size])
    for sigma in (0.5, 1.0, 2.0):
        softer = lattice_energy(blur(people[size], sigma))
        assert (softer.rms < np.abs(floor.rms) + 1e-4).all()
        assert not softer.flags(floor).any()


def test_a_modulated_grid_on_the_face_only_is_still_read(people):
    inside = (people[128].sum(1, keepdim=True) > 0.1).float()
    pattern = checkerboard_pattern(128, 128, 1).float()
    found = lattice_energy(people[128] + 0.02 * pattern * blur(inside, 2), people[128])
    covered = power_spectra(0.02 * (pattern * blur(inside, 2))).sum((1, 2)).mean().sqrt().item()
    assert found.rms[0] == pytest.approx(covered, rel=0.1)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 100), (32, 33), (31, 16)])
def test_small_and_narrow_pictures_are_read_too(height, width):
    images = 0.5 + torch.randn(16, 3, height, width, generator=torch.Generator().manual_seed(1)) * 0.01
    readable = readable_levels(height, width)
    assert np.abs(lattice_energy(images).db[:readable]).max() < 1
    gridded = lattice_energy(inject_checkerboard(images, readable, 0.03))
    assert gridded.rms[readable - 1] == pytest.approx(0.03, rel=0.1) and gridded.db[readable - 1] > 10


def test_equal_images_and_truth_read_nothing(people):
    found = lattice_energy(people[64], people[64])
    assert np.abs(found.rms).max() == 0 and np.abs(found.db).max() < 1e-9


def test_small_images_say_which_levels_they_cannot_hold():
    assert [readable_levels(s, s) for s in (15, 16, 31, 32, 63, 64)] == [0, 1, 1, 2, 2, 3]
    found = lattice_energy(inject_checkerboard(noise(16, 32, 0.001), 2, 0.01))
    assert found.rms[1] == pytest.approx(0.01, rel=0.05)
    assert np.isnan(found.rms[2]) and "64 px" in found.reasons[3]


def test_sizes_off_the_lattice_are_read_too():
    assert lattice_energy(inject_checkerboard(noise(8, 100, 0.001), 3, 0.01)).rms[2] == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_sensitivity_is_the_smallest_injected_grid_that_raises_the_flag(people, level):
    truth = people[64]
    output = blur(truth, 1.0) + noise(8, 64, 0.004, seed=3)
    floor = lattice_energy(blur(truth, 1.0), truth)
    smallest = lattice_energy(output, truth).sensitivity(floor)[level - 1]
    verdicts = []
    for share in (0.6, 1.25):
        # Random signs keep the grid and the lack of detail from interfering, as they do over many faces.
        readings = [
            lattice_energy(inject_checkerboard(output, level, sign * share * smallest, seed), truth)
            for seed in range(3)
            for sign in (-1, 1)
        ]
        verdicts.append(np.mean([found.flags(floor)[level - 1] for found in readings]))
    assert verdicts[0] < 0.5 < verdicts[1]


def test_bad_inputs_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        lattice_energy(torch.zeros(1, 3, 64, 64), torch.zeros(2, 3, 64, 64))
    with pytest.raises(ValueError, match="finite"):
        lattice_energy(torch.full((1, 3, 64, 64), float("nan")))


def test_evaluator_flags_a_grid_in_the_swaps_only_and_says_who_judged():
    case = matched_case(8)
    clean = dict(EVALUATORS["checkerboard"].run(case))
    assert set(clean) == {info.name for info in EVALUATORS["checkerboard"].infos}
    assert clean["checkerboard_rms_1"].item() == 0 and clean["checkerboard_flag_1"].item() == 0
    gridded = case.with_outputs({way: inject_checkerboard(image, 1, 0.02) for way, image in case.swap.items()})
    found = dict(EVALUATORS["checkerboard"].run(gridded))
    assert found["checkerboard_rms_1"].item() == pytest.approx(2.0, rel=0.02)
    assert found["checkerboard_flag_1"].item() == 1 and found["checkerboard_flag_2"].item() == 0
    assert "more sensitive" in gridded.notes["checkerboard_flag_1"]


def test_without_truth_the_reconstruction_is_judged():
    case = matched_case(4)
    case.matched = False
    case.rec = {person: inject_checkerboard(case.images[person], 1, 0.01) for person in PEOPLE}
    assert dict(EVALUATORS["checkerboard"].run(case))["checkerboard_rms_1"].item() == pytest.approx(1.0, rel=0.02)
    assert "reconstruction" in case.notes["checkerboard_rms_1"]


def test_spectrum_picture_frames_every_lattice_point_and_shows_a_grid(people):
    picture = spectrum_picture(inject_checkerboard(people[128], 1, 0.01), people[128], side=256)
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    cyan = (picture == (90, 220, 255)).all(-1)
    assert cyan.any()
    corner = picture[1:3, 1:3].astype(int).sum(-1).mean()  # (1/2, 1/2) sits in the corner of the shifted spectrum
    assert corner > picture[30:34, 30:34].astype(int).sum(-1).mean()


def falling(count, size, seed=0):
    """Pictures whose power falls with the square of the frequency, as natural ones do; cut from larger, no torus."""
    rng, side = torch.Generator().manual_seed(seed), 2 * size
    frequency = torch.hypot(*torch.meshgrid(torch.fft.fftfreq(side), torch.fft.fftfreq(side), indexing="ij"))
    frequency[0, 0] = 1
    spectrum = torch.fft.fft2(torch.randn(count, 3, side, side, generator=rng)) / frequency
    images = torch.fft.ifft2(spectrum).real[..., :size, :size]
    return 0.5 + 0.1 * images / images.std()


@lru_cache
def photographs(side):
    """Crops (N, 3, side, side) of the photographs that come with scikit-image."""
    names = ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "moon")
    crops = []
    for name in names:
        array = np.atleast_3d(getattr(skimage.data, name)())[..., :3]
        image = torch.as_tensor(array.copy()).permute(2, 0, 1).expand(3, -1, -1).float() / 255
        rows, columns = (range(0, n - side + 1, side) for n in image.shape[1:])
        crops += [image[:, i : i + side, j : j + side] for i in rows for j in columns][:12]
    return torch.stack(crops)


def compressed(images, quality):
    """The images after JPEG, whose blocks are 8 px wide."""
    found = []
    for image in (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        found.append(torch.as_tensor(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).float() / 255)
    return torch.stack(found)


@pytest.mark.parametrize("size", (64, 100, 128))
def test_a_falling_spectrum_without_a_grid_reads_zero(size):
    """A background from the neighbourhood alone read -1, -0.5 and -2.6 dB here."""
    assert lattice_energy(falling(48, size)).db == pytest.approx([0, 0, 0], abs=0.4)


@pytest.mark.parametrize("side", (64, pytest.param(128, marks=pytest.mark.long)))
def test_photographs_raise_no_flag_as_they_are_blurred_resized_or_compressed(side):
    crops = photographs(side)
    smaller = interpolate(crops, scale_factor=0.8125, mode="bicubic", antialias=True)
    resized = interpolate(smaller, size=side, mode="bilinear", align_corners=False)
    plain = lattice_energy(crops)
    assert np.abs(plain.db).max() < 1.5
    for made in (blur(crops, 0.5), blur(crops, 1.0), blur(crops, 2.0), resized, compressed(crops, 85)):
        assert not lattice_energy(made).flags(plain).any()


def test_a_faint_grid_on_smooth_pictures_is_seen_at_every_level():
    smooth = blur(photographs(64), 1.5)
    plain = lattice_energy(smooth)
    for level, rms in ((1, 0.001), (2, 0.003), (3, 0.006)):
        found = lattice_energy(inject_checkerboard(smooth, level, rms))
        assert found.flags(plain)[level - 1]
        assert plain.sensitivity(plain)[level - 1] < rms


def test_a_single_wave_is_seen_beyond_the_stated_strength_and_hides_below_it():
    images = photographs(64)
    plain = lattice_energy(images)
    hidden = plain.sensitivity(plain, wave=True)[2]
    wave = 2**0.5 * torch.cos(2 * np.pi * torch.arange(64) / 8)[None, None, None, :]  # (0, 1/8)
    assert not lattice_energy(images + 0.3 * plain.sensitivity(plain)[2] * wave).flags(plain)[2]
    assert lattice_energy(images + 1.3 * hidden * wave).flags(plain)[2]


def test_what_an_8_bit_display_rounds_off_is_no_grid():
    flat = torch.full((4, 3, 64, 64), 0.5)
    assert lattice_energy(inject_checkerboard(flat, 1, 1e-5)).db[0] < 0.1
    assert lattice_energy(inject_checkerboard(flat, 1, 1e-3)).db[0] > 10


@settings(max_examples=15, deadline=None)
@given(
    level=st.integers(1, 3), rms=st.floats(0.001, 0.03), height=st.integers(64, 90), width=st.integers(64, 90),
    gain=st.floats(0.3, 1.0),
)  # fmt: skip
def test_a_residual_grid_reads_its_strength_at_any_size_and_the_power_adds(level, rms, height, width, gain):
    truth = gain * falling(1, 90)[..., :height, :width]
    found = lattice_energy(inject_checkerboard(truth, level, rms), truth)
    assert found.rms[level - 1] == pytest.approx(rms, rel=0.05)
    assert found.db[level - 1] > 3


def test_the_same_picture_many_times_counts_once_and_different_ones_each():
    images = noise(24, 64, 0.1)
    assert lattice_energy(images).pictures == pytest.approx(24, rel=0.2)
    assert lattice_energy(images[:1].expand(24, -1, -1, -1)).pictures == pytest.approx(1, abs=1e-6)
    assert lattice_energy(images[:2].repeat(12, 1, 1, 1)).pictures == pytest.approx(2, rel=0.1)
    gridded = inject_checkerboard(images, 1, 0.1)  # what repeats on the lattice makes them no more alike
    assert lattice_energy(gridded).pictures == pytest.approx(lattice_energy(images).pictures, rel=0.01)


def test_a_few_pictures_reach_three_decibels_by_chance_and_are_not_flagged():
    """As the mean face does, which is one picture of each person: 5.8 dB at level 1 on the pair mid."""
    crops = photographs(64)
    data = lattice_energy(crops)
    alone = [lattice_energy(crops[k : k + 1]) for k in range(0, len(crops), 2)]
    assert sum(found.db[0] > 3 for found in alone) > 0.1 * len(alone)
    assert sum(found.flags(data)[0] for found in alone) <= 0.05 * len(alone)  # bricks and grass have lattices of theirs
    assert lattice_energy(inject_checkerboard(crops[:1], 1, 0.05)).flags(data)[0]  # a strong one is seen in one picture


@pytest.mark.parametrize(("level", "rms"), [(1, 0.01), (2, 0.01), (3, 0.02)])
def test_a_grid_on_pictures_without_a_truth_reads_its_strength(level, rms):
    """A plain sum of powers reads the pictures instead: on these, -2 % at level 3 without any grid."""
    smooth = blur(photographs(64), 1.5)
    assert abs(lattice_energy(smooth).rms[level - 1]) < 0.15 * rms
    assert lattice_energy(inject_checkerboard(smooth, level, rms)).rms[level - 1] == pytest.approx(rms, rel=0.1)
