import numpy as np
import pytest
import torch
from metric_faces import faces, matched_case, poses

from metrics.case import DIRECTIONS, driver_of
from metrics.identity import EVALUATORS, leak_gap, swap_mask, transfer


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
    assert found["leak_gap"] == pytest.approx(np.zeros(24), abs=1e-6)
    assert found["swap_error"].max() == 0


def test_copy_transfers_nothing_and_leaks_everything(oracle):
    found = scores(blended(oracle, 0.0))
    assert np.abs(found["identity_transfer"]).max() == 0
    assert found["leak_gap"] == pytest.approx(np.ones(24))


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_blend_reads_its_own_strength(oracle, share):
    found = scores(blended(oracle, share))
    assert found["identity_transfer"] == pytest.approx(np.full(24, share), abs=1e-5)
    assert found["leak_gap"] == pytest.approx(np.full(24, 1 - share), abs=1e-5)
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


def test_leak_gap_is_undefined_when_the_reconstruction_is_no_better_than_a_copy(oracle):
    case = oracle.with_outputs(oracle.swap, rec={"src": oracle.images["dst"], "dst": oracle.images["src"]})
    assert np.isnan(scores(case)["leak_gap"]).all()
    assert "noise floor" in case.notes["leak_gap"]


def test_leak_gap_allows_the_swap_the_error_of_the_targets_own_reconstruction():
    mask = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    driver, truth = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert leak_gap(truth - 0.2, driver, truth, truth - 0.2, mask).item() == pytest.approx(0)
    assert leak_gap(truth - 0.6, driver, truth, truth - 0.2, mask).item() == pytest.approx(0.5)


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
