import numpy as np
import pytest
import torch
from metric_faces import faces, matched_case, poses

from metrics.case import DIRECTIONS, PEOPLE, driver_of
from metrics.identity import EVALUATORS, leak_gap, swap_mask, transfer
from metrics.references import mean_face_case


def scores(case):
    return dict(EVALUATORS["identity"].run(case))


def blended(case, share):
    """A swap that went `share` of the way from the driver to the truth."""
    return case.with_outputs(
        {way: torch.lerp(case.images[driver_of(way)], case.truth(way), share) for way in DIRECTIONS}
    )


@pytest.fixture(scope="module")
def oracle():
    return matched_case(12)


def test_every_name_yielded_has_a_description(oracle):
    assert set(scores(oracle)) == {info.name for info in EVALUATORS["identity"].infos}


def test_oracle_transfers_fully_and_leaks_nothing(oracle):
    found = scores(oracle)
    assert found["identity_transfer"] == pytest.approx(np.ones(24), abs=1e-5)
    assert found["off_axis"] == pytest.approx(np.zeros(24), abs=1e-5)
    assert found["leak_gap"] == pytest.approx([0], abs=1e-6)
    assert found["swap_error"].max() == 0


def test_copy_transfers_nothing_and_leaks_everything(oracle):
    found = scores(blended(oracle, 0.0))
    assert np.abs(found["identity_transfer"]).max() == 0
    assert found["leak_gap"] == pytest.approx([1])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_blend_reads_its_own_strength(oracle, share):
    found = scores(blended(oracle, share))
    assert found["identity_transfer"] == pytest.approx(np.full(24, share), abs=1e-5)
    assert found["leak_gap"] == pytest.approx([1 - share], abs=1e-5)
    assert found["off_axis"].max() < 1e-5


def test_collapsed_mean_face_is_exposed_by_the_off_axis_residual(oracle):
    mean = {way: oracle.truth(way).mean(0, keepdim=True).expand_as(oracle.truth(way)) for way in DIRECTIONS}
    found = scores(oracle.with_outputs(mean))
    assert found["identity_transfer"].mean() > 0.7  # the projection alone is fooled
    assert found["off_axis"].min() > 0.1


def test_off_axis_reads_an_orthogonal_change_of_known_size():
    driver, truth = torch.zeros(1, 4), torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    along, off = transfer(torch.tensor([[1.0, 3.0, 0.0, 0.0]]), driver, truth)
    assert along.item() == pytest.approx(0.5)
    assert off.item() == pytest.approx(1.5)


def test_transfer_is_undefined_where_driver_and_truth_look_alike(oracle):
    twin = matched_case(4)
    twin.images["dst"][0] = twin.images["src"][0] + 0.001
    values = scores(twin)["identity_transfer"]
    assert np.isnan(values[[0, 4]]).all() and not np.isnan(np.delete(values, [0, 4])).any()
    assert "2 of 8" in twin.notes["identity_transfer"]


def with_poor_reconstructions(case, pictures):
    """The case, its reconstructions of the first `pictures` poses replaced by the other person's picture."""
    poor = {p: case.rec[p].clone() for p in PEOPLE}
    for person, other in zip(PEOPLE, reversed(PEOPLE), strict=True):
        poor[person][:pictures] = case.images[other][:pictures]
    return case.with_outputs(case.swap, rec=poor)


def test_leak_gap_is_undefined_when_over_a_tenth_of_the_reconstructions_is_no_better_than_a_copy(oracle):
    poor = with_poor_reconstructions(oracle, 2)
    assert np.isnan(scores(poor)["leak_gap"]).all()
    assert "4 of 24 pictures are reconstructed hardly better than by a copy" in poor.notes["leak_gap"]
    assert scores(with_poor_reconstructions(oracle, 1))["leak_gap"] == pytest.approx([-1 / 11], abs=0.05)


def test_leak_gap_does_not_average_over_the_pictures_that_are_left():
    """Eleven good reconstructions of 128 once made .131 of a swap that was worse than the copy."""
    copy, own, swap = np.full(128, 0.0728), np.full(128, 0.0840), np.full(128, 0.0841)
    own[:11], swap[:11] = 0.010, 0.018
    gap = leak_gap(swap, own, copy, np.full(128, 0.15))
    assert np.isnan(gap.value) and "117 of 128" in gap.reason


def test_a_collapsed_model_has_no_leak_gap(oracle):
    collapsed = mean_face_case(oracle)
    assert np.isnan(scores(collapsed)["leak_gap"]).all()
    assert np.isnan(scores(collapsed)["swap_ratio"]).all()  # 1, its ideal, although nothing is reconstructed
    assert all("mean picture" in collapsed.notes[name] for name in ("leak_gap", "swap_ratio"))


def test_leak_gap_allows_the_swap_the_error_of_the_targets_own_reconstruction():
    own, copy, mean = np.full(4, 0.2), np.full(4, 1.0), np.full(4, 0.9)
    assert leak_gap(np.full(4, 0.2), own, copy, mean).value == pytest.approx(0)
    assert leak_gap(np.full(4, 0.6), own, copy, mean).value == pytest.approx(0.5)


def test_the_ratio_of_swap_and_reconstruction_is_one_of_means():
    case = matched_case(8)
    half = {way: case.truth(way) * 0.5 for way in DIRECTIONS}
    own = {p: case.images[p] * torch.linspace(0.84, 1.0, 8).reshape(8, 1, 1, 1) for p in PEOPLE}
    found = scores(case.with_outputs(half, rec=own))["swap_ratio"]
    assert found.shape == (1,) and found == pytest.approx([6.25], rel=0.02)  # the mean of ratios would be infinite


def test_an_outline_kept_from_the_driver_counts_as_error(oracle):
    # Paint driver pixels only outside of the truth's matte: a mask of the truth alone would not see them.
    outside = oracle.alpha["dst"] <= 0.5
    kept = torch.where(outside, oracle.images["src"], oracle.images["dst"])
    truth_only = (kept - oracle.images["dst"])[oracle.alpha["dst"].expand_as(kept) > 0.5]
    assert truth_only.abs().max() == 0
    found = scores(oracle.with_outputs({**oracle.swap, "src->dst": kept}))
    assert found["swap_error"][:12].min() > 0
    assert found["identity_transfer"][:12].max() < 1


def test_mask_is_the_union_of_both_mattes():
    a, b = torch.tensor([0.9, 0.0, 0.6, 0.4]), torch.tensor([0.0, 0.8, 0.7, 0.5])
    assert swap_mask(a, b).tolist() == [True, True, True, False]


def test_cycle_of_a_copier_is_perfect_and_of_a_collapsed_model_is_not(oracle):
    copier = matched_case(4, encode=lambda images: images, decode=lambda latent, person: latent)
    copier.swap = {way: copier.images[driver_of(way)] for way in DIRECTIONS}
    assert dict(EVALUATORS["cycle"].run(copier))["cycle_error"].max() == 0
    mean = faces(1, poses(64))[0].mean(0)
    collapsed = matched_case(4, encode=lambda images: images, decode=lambda latent, person: mean.expand_as(latent))
    assert dict(EVALUATORS["cycle"].run(collapsed))["cycle_error"].min() > 0.01


def test_evaluator_names_what_a_case_lacks(oracle):
    assert EVALUATORS["identity"].missing(oracle) == ()
    oracle_without = matched_case(4)
    oracle_without.matched = False
    assert EVALUATORS["identity"].missing(oracle_without) == ("truth",)
    with pytest.raises(ValueError, match="ground truth"):
        oracle_without.truth("src->dst")


def test_outputs_of_a_half_precision_model_are_scored_in_float32(oracle):
    case = oracle.with_outputs({way: image.bfloat16() for way, image in oracle.swap.items()})
    assert case.swap["src->dst"].dtype == torch.float32
    assert scores(case)["identity_transfer"] == pytest.approx(np.ones(24), abs=0.01)
