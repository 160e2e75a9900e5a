import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_faces import matched_case

from metrics.case import DIRECTIONS, PEOPLE, driver_of
from metrics.leakage import EVALUATORS, active_units, factor_r2, identity_bits, identity_variance_share, kl_nats


def latents(strength, count=48, size=60, seed=0):
    """Matched latents: a common pose part, private noise, and +-strength times a unit-variance identity direction."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(size=(count, 8)) @ rng.normal(size=(8, size)) / 8**0.5
    identity = rng.normal(size=size)
    identity *= (size / (identity @ identity)) ** 0.5
    return tuple(pose + 0.3 * rng.normal(size=(count, size)) + s * strength * identity for s in (1, -1))


def test_variance_share_of_pure_noise_is_unbiased_around_zero():
    rng = np.random.default_rng(0)
    values = [identity_variance_share(rng.normal(size=(16, 40)), rng.normal(size=(16, 40))) for _ in range(300)]
    standard_error = np.std(values) / len(values) ** 0.5
    assert abs(np.mean(values)) < 3 * standard_error
    assert min(values) < 0 < max(values)


def test_variance_share_of_pure_identity_is_one():
    src, dst = np.ones((8, 5)), np.zeros((8, 5))
    assert identity_variance_share(src, dst) == pytest.approx(1)


def test_variance_share_of_a_known_mixture():
    rng = np.random.default_rng(1)
    pose = rng.normal(size=(4000, 3))
    src, dst = pose + np.array([1.0, 0, 0]), pose - np.array([1.0, 0, 0])
    assert identity_variance_share(src, dst) == pytest.approx(1 / (1 + 3), abs=0.01)


def test_variance_share_does_not_depend_on_repeating_every_unit():
    src, dst = latents(0.3)
    assert identity_variance_share(np.tile(src, 4), np.tile(dst, 4)) == pytest.approx(identity_variance_share(src, dst))


def test_variance_share_rises_with_the_leak():
    values = [identity_variance_share(*latents(s)) for s in (0, 0.1, 0.3, 1, 3)]
    assert values == sorted(values) and abs(values[0]) < 0.01 and values[-1] > 0.85


def test_variance_share_needs_pairs():
    with pytest.raises(ValueError, match="matched pairs"):
        identity_variance_share(np.zeros((3, 2)), np.zeros((2, 2)))


def test_bits_are_one_for_separable_and_none_for_equal_latents():
    separable = identity_bits(*latents(2.0))
    assert separable.linear == pytest.approx(1, abs=0.05) and separable.nonlinear == pytest.approx(1, abs=0.05)
    assert separable.accuracy == 1
    nothing = [identity_bits(*latents(0.0, seed=s)) for s in range(4)]
    assert np.mean([b.linear for b in nothing]) == pytest.approx(0, abs=0.03)
    assert np.mean([b.accuracy for b in nothing]) == pytest.approx(0.5, abs=0.1)


def test_bits_rise_with_the_leak():
    values = [np.mean([identity_bits(*latents(s, seed=k)).linear for k in range(2)]) for s in (0, 0.3, 1.5)]
    assert values == sorted(values)


def test_a_nonlinear_probe_reads_what_a_linear_one_cannot():
    rng = np.random.default_rng(3)
    inner = rng.normal(size=(128, 2)) * 0.3
    angle = rng.uniform(0, 2 * np.pi, 128)
    outer = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 3
    found = identity_bits(inner, outer, matched=False)
    assert found.linear < 0.2 and found.nonlinear > 0.8


def test_bits_of_latents_of_different_sizes_compare():
    small, large = (identity_bits(*latents(2.0, size=size)).linear for size in (40, 3000))
    assert small == pytest.approx(large, abs=0.05)


def planted(size, separation, count=64, seed=0):
    """Matched latents of any size: poses in common, and along one direction +-separation with unit noise."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(size=(count, 20)) @ rng.normal(size=(20, size)) / size**0.5
    along = rng.normal(size=size)
    along /= np.linalg.norm(along)
    return tuple(pose + along * (s * separation + rng.normal(size=(count, 1))) for s in (1, -1))


def information(separation):
    """Bits that two unit normals at +-separation carry about which of them was drawn."""
    x = np.linspace(-12, 12, 20001)
    density = np.exp(-0.5 * x**2) / (2 * np.pi) ** 0.5
    return 1 - np.trapezoid(density * np.logaddexp(0, -2 * separation * (separation + x)) / np.log(2), x)


@pytest.mark.parametrize("size", [64, 1152, 6272])
@pytest.mark.parametrize("separation", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_a_planted_leak_of_known_size_reads_its_bits_in_latents_of_any_size(size, separation):
    read = [identity_bits(*planted(size, separation, seed=seed)).linear for seed in range(4)]
    assert np.mean(read) == pytest.approx(information(separation), abs=0.08)


def test_one_exact_coordinate_among_many_is_a_full_bit():
    """A cut to 16 principal components read 0.00 bits here."""
    rng = np.random.default_rng(0)
    pose = rng.normal(size=(64, 200))
    src, dst = (np.concatenate([pose, np.full((64, 1), sign)], axis=1) for sign in (1.0, -1.0))
    found = identity_bits(src, dst)
    assert found.linear == pytest.approx(1, abs=0.05) and found.accuracy == 1
    faint = identity_bits(
        np.concatenate([pose, np.full((64, 1), 0.02)], 1), np.concatenate([pose, np.zeros((64, 1))], 1)
    )
    assert faint.linear == pytest.approx(1, abs=0.05)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_bits_depend_neither_on_scale_nor_on_shift_nor_on_the_names_of_the_people(seed, scale, shift):
    src, dst = planted(30, 1.0, count=16, seed=seed)
    found = identity_bits(src, dst)
    moved = identity_bits(scale * src + shift, scale * dst + shift)
    assert moved.linear == pytest.approx(found.linear, abs=1e-3)
    assert identity_bits(dst, src).linear == pytest.approx(found.linear, abs=1e-3)
    assert found.linear < 1.3


def test_bits_of_unmatched_people_need_no_equal_counts():
    src, dst = latents(2.0)
    assert identity_bits(src, dst[:30], matched=False).linear > 0.8


def test_factor_r2_finds_the_factor_that_leaks():
    rng = np.random.default_rng(4)
    factors = rng.normal(size=(300, 3))
    z = rng.normal(size=(300, 30))
    z[:, 5] += 5 * factors[:, 1]
    found = factor_r2(z, np.concatenate([factors, np.ones((300, 1))], axis=1))
    assert found[1] > 0.9 and abs(found[0]) < 0.1 and abs(found[2]) < 0.1 and np.isnan(found[3])


def test_kl_of_known_gaussians():
    zero = torch.zeros(2, 3, 2, 2)
    assert kl_nats(zero, zero).tolist() == [0, 0]
    assert kl_nats(zero + 1, zero).tolist() == pytest.approx([6, 6])  # mu^2 / 2 for each of 12 values
    expected = 12 * 0.5 * (np.exp(-2) - 1 + 2)
    assert kl_nats(zero, zero - 2).tolist() == pytest.approx([expected] * 2, rel=1e-5)


def test_only_units_that_vary_are_active():
    mu = torch.zeros(50, 4, 1, 1)
    mu[:, 1] = torch.randn(50, 1, 1, generator=torch.Generator().manual_seed(0))
    assert active_units(mu) == 1


def linear_case():
    """A "model" whose latent is the picture itself and whose decoder copies it: the leak is the picture's mean."""
    case = matched_case(12, encode=lambda images: images, decode=lambda z, person: z)
    case.mu = dict(case.images)
    case.logvar = {person: torch.zeros_like(case.mu[person]) for person in PEOPLE}
    case.swap = {way: case.images[driver_of(way)] for way in DIRECTIONS}
    return case


def test_removing_the_mean_shift_of_a_copier_lowers_its_leak_gap():
    found = dict(EVALUATORS["mean_shift"].run(linear_case()))
    assert found["leak_used"].mean() > 0.5
    assert found["leak_gap_no_shift"].mean() < 0.5


def test_a_decoder_that_ignores_the_latent_uses_no_leak():
    case = linear_case()
    fixed = {person: case.images[person].mean(0, keepdim=True) for person in PEOPLE}
    case.decode = lambda z, person: fixed[person].expand_as(z)
    case.swap = {way: fixed[way.split("->")[1]].expand_as(case.images["src"]) for way in DIRECTIONS}
    assert np.abs(dict(EVALUATORS["mean_shift"].run(case))["leak_used"]).max() < 1e-6


def test_evaluator_yields_every_name_and_says_what_is_saturated_or_missing():
    case = linear_case()
    found = dict(EVALUATORS["leakage"].run(case))
    assert set(found) == {info.name for info in EVALUATORS["leakage"].infos}
    assert found["kl_per_cell"][0] == pytest.approx(found["kl_nats"][0] / 64**2)
    assert found["probe_accuracy"].item() == 1 and "saturated" in case.notes["probe_accuracy"]
    case.logvar, case.matched = None, False
    without = dict(EVALUATORS["leakage"].run(case))
    assert np.isnan(without["kl_nats"]).all() and np.isnan(without["identity_variance_share"]).all()
    assert "ground truth" in case.notes["identity_variance_share"]
