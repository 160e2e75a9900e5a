import numpy as np
import pytest
import torch
from metric_faces import faces, matched_case, poses

from metrics.case import PEOPLE
from metrics.checkerboard import EVALUATORS, inject_grid, lattice_energy, spectrum_picture
from metrics.lattice import blur, grid_pattern, lattice_points, power_spectra, readable_levels

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
    readings = np.array([lattice_energy(inject_grid(people[size], level, a), people[size]).rms for a in AMPLITUDES])
    slope = np.polyfit(np.log(AMPLITUDES), np.log(readings[:, level - 1]), 1)[0]
    assert slope == pytest.approx(1, abs=0.02)
    assert readings[:, level - 1] / AMPLITUDES == pytest.approx(np.ones(4), abs=0.02)
    others = [j for j in range(3) if j != level - 1]
    assert np.abs(readings[:, others]).max() < 1e-5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_grid_in_a_noisy_residual_is_read_within_a_tenth(people, size, level):
    output = inject_grid(people[size], level, 0.01) + noise(8, size, 0.01, seed=1)
    found = lattice_energy(output, people[size])
    assert found.rms[level - 1] == pytest.approx(0.01, rel=0.1)
    clean = lattice_energy(people[size] + noise(8, size, 0.01, seed=1), people[size])
    others = [j for j in range(3) if j != level - 1]
    assert np.abs(found.rms[others] - clean.rms[others]).max() < 3e-4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("level", [1, 2])
def test_a_grid_in_the_images_themselves_adds_its_own_power(people, size, level):
    before = lattice_energy(people[size])
    after = lattice_energy(inject_grid(people[size], level, 0.02))
    added = after.peak[level - 1] - before.peak[level - 1]
    assert np.sqrt(added) == pytest.approx(0.02, rel=0.1)


def test_a_grid_in_one_colour_channel_is_seen(people):
    tinted = people[64].clone()
    tinted[:, :1] = inject_grid(tinted[:, :1], 1, 0.01)
    tinted[:, 1:2] = inject_grid(tinted[:, 1:2], 1, -0.01)  # cancels in luma
    assert lattice_energy(tinted, people[64]).rms[0] == pytest.approx(0.01 * (2 / 3) ** 0.5, rel=0.01)


@pytest.mark.parametrize("size", SIZES)
def test_white_noise_reads_about_zero_decibels(size):
    assert np.abs(lattice_energy(noise(24, size, 0.02)).db).max() < 0.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [(1, 0), (0, 1), (1, 1)])
def test_a_roll_of_one_pixel_changes_nothing(people, size, shift):
    residual = inject_grid(torch.zeros_like(people[size]), 2, 0.01) + noise(8, size, 0.005, seed=2)
    still, rolled = (lattice_energy(x).rms for x in (residual, residual.roll(shift, (2, 3))))
    assert rolled[1] == pytest.approx(still[1], rel=0.02)
    assert np.abs(rolled[[0, 2]] - still[[0, 2]]).max() < 5e-4


@pytest.mark.parametrize("size", (64, 128))
def test_blur_raises_no_flag_and_no_reading(people, size):
    floor = lattice_energy(people[size])
    for sigma in (0.5, 1.0, 2.0):
        softer = lattice_energy(blur(people[size], sigma))
        assert (softer.rms < np.fmax(floor.rms, 0) + 1e-4).all()
        assert not softer.flags(floor).any()


def test_a_modulated_grid_on_the_face_only_is_still_read(people):
    inside = (people[128].sum(1, keepdim=True) > 0.1).float()
    pattern = grid_pattern(128, 128, 1).float()
    found = lattice_energy(people[128] + 0.02 * pattern * blur(inside, 2), people[128])
    covered = power_spectra(0.02 * (pattern * blur(inside, 2))).sum((1, 2)).mean().sqrt().item()
    assert found.rms[0] == pytest.approx(covered, rel=0.1)


def test_equal_images_and_truth_read_nothing(people):
    found = lattice_energy(people[64], people[64])
    assert np.abs(found.rms).max() == 0 and np.abs(found.db).max() == 0 and np.abs(found.per_image).max() == 0


def test_each_images_own_reading_follows_its_own_grid(people):
    strengths = torch.linspace(0.0, 0.02, 8)
    output = torch.cat([inject_grid(x[None], 1, s.item()) for x, s in zip(people[64], strengths, strict=True)])
    assert lattice_energy(output, people[64]).per_image[:, 0] == pytest.approx(strengths.numpy(), abs=1e-4)


def test_small_images_say_which_levels_they_cannot_hold():
    assert [readable_levels(s, s) for s in (15, 16, 31, 32, 63, 64)] == [0, 1, 1, 2, 2, 3]
    found = lattice_energy(inject_grid(noise(16, 32, 0.001), 2, 0.01))
    assert found.rms[1] == pytest.approx(0.01, rel=0.05)
    assert np.isnan(found.rms[2]) and np.isnan(found.per_image[:, 2]).all() and "64 px" in found.reasons[3]


def test_sizes_off_the_lattice_are_read_too():
    assert lattice_energy(inject_grid(noise(8, 100, 0.001), 3, 0.01)).rms[2] == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_sensitivity_is_the_smallest_injected_grid_that_raises_the_flag(people, level):
    truth = people[64]
    output = blur(truth, 1.0) + noise(8, 64, 0.004, seed=3)
    floor = lattice_energy(blur(truth, 1.0), truth)
    smallest = lattice_energy(output, truth).sensitivity(floor)[level - 1]
    verdicts = []
    for share in (0.8, 1.25):
        # Random signs keep the grid and the lack of detail from interfering, as they do over many faces.
        readings = [
            lattice_energy(inject_grid(output, level, sign * share * smallest, seed), truth)
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
    assert clean["cbe_rms_1"].item() == 0 and clean["cbe_flag_1"].item() == 0
    gridded = case.with_outputs({way: inject_grid(image, 1, 0.02) for way, image in case.swap.items()})
    found = dict(EVALUATORS["checkerboard"].run(gridded))
    assert found["cbe_rms_1"].item() == pytest.approx(2.0, rel=0.02)
    assert found["cbe_flag_1"].item() == 1 and found["cbe_flag_2"].item() == 0
    assert "more sensitive" in gridded.notes["cbe_flag_1"]


def test_without_truth_the_reconstruction_is_judged():
    case = matched_case(4)
    case.matched = False
    case.rec = {person: inject_grid(case.images[person], 1, 0.01) for person in PEOPLE}
    assert dict(EVALUATORS["checkerboard"].run(case))["cbe_rms_1"].item() == pytest.approx(1.0, rel=0.02)
    assert "reconstruction" in case.notes["cbe_rms_1"]


def test_spectrum_picture_frames_every_lattice_point_and_shows_a_grid(people):
    picture = spectrum_picture(inject_grid(people[128], 1, 0.01), people[128], side=256)
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    cyan = (picture == (90, 220, 255)).all(-1)
    assert cyan.any()
    corner = picture[1:3, 1:3].astype(int).sum(-1).mean()  # (1/2, 1/2) sits in the corner of the shifted spectrum
    assert corner > picture[30:34, 30:34].astype(int).sum(-1).mean()
