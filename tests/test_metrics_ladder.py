import numpy as np
import pytest
import torch
from metric_faces import matched_case
from test_metrics_recognition import colour_embedder, strangers
from test_metrics_structure import Lookup

from metrics import (
    checkerboard,
    factors,
    identity,
    leakage,
    path,
    perceptual,
    recognition,
    reconstruction,
    sharpness,
    structure,
)
from metrics.case import DIRECTIONS, PEOPLE, Evaluator, mean_of
from metrics.info import MetricInfo
from metrics.ladder import LADDERS, check, judge
from metrics.references import (
    blend_case,
    blurred_case,
    checkerboard_case,
    copy_case,
    latent_case,
    mean_face_case,
    oracle_case,
    wrong_pose_case,
)

ROOMS = (checkerboard, factors, identity, leakage, path, perceptual, recognition, reconstruction, sharpness, structure)
EVERY = {name: evaluator for room in ROOMS for name, evaluator in room.EVALUATORS.items()}


def everything(count=20):
    case = matched_case(count, embedder=colour_embedder, distractors=lambda: strangers(60))
    case.regressor = Lookup(case)
    people = torch.rand(150, 6, generator=torch.Generator().manual_seed(3))
    case.crowd = lambda: (torch.zeros(150, 3, 8, 8), people)
    return case


@pytest.fixture(scope="module")
def rows():
    return {row.metric: row for row in check(everything(), EVERY)}


def test_every_metric_has_a_row_and_every_ladder_a_metric(rows):
    assert set(rows) == {info.name for evaluator in EVERY.values() for info in evaluator.infos}
    assert {row.ladder for row in rows.values()} - {""} == set(LADDERS)


def test_every_metric_with_a_ladder_is_valid_on_the_test_faces(rows):
    refused = {name: row.reason for name, row in rows.items() if row.ladder and not row.valid}
    assert set(refused) == {"rec_lpips", "swap_lpips"}  # these faces come without pretrained weights
    assert all("pretrained trunk" in reason for reason in refused.values())


def test_rows_without_a_ladder_are_not_judged_and_say_so(rows):
    row = rows["kl_nats"]
    assert row.valid is None and row.monotone is None and "no ladder" in row.reason and np.isnan(row.ends).all()


def test_the_rungs_of_the_blend_are_read_as_they_are(rows):
    assert rows["identity_transfer"].values == pytest.approx((0, 0.25, 0.5, 0.75, 1), abs=1e-5)
    assert rows["leak_gap"].ends == pytest.approx((1, 0), abs=1e-5)


def test_copy_oracle_and_mean_face_paint_what_they_should():
    case = everything(4)
    assert torch.equal(copy_case(case).swap["src->dst"], case.images["src"])
    assert torch.equal(oracle_case(case).swap["src->dst"], case.images["dst"])
    mean = mean_face_case(case)
    assert torch.allclose(mean.swap["src->dst"][2], case.images["dst"].mean(0))
    assert torch.allclose(mean.rec["src"][1], case.images["src"].mean(0))
    assert all(made.mu is None and made.decode is None for made in (copy_case(case), oracle_case(case), mean))


def test_the_ends_of_the_blend_are_the_copy_and_the_oracle():
    case = everything(4)
    for way in DIRECTIONS:
        assert torch.equal(blend_case(case, 0.0).swap[way], copy_case(case).swap[way])
        assert torch.allclose(blend_case(case, 1.0).swap[way], oracle_case(case).swap[way], atol=1e-6)


def test_references_leave_the_given_case_alone():
    case = everything(4)
    before = {way: image.clone() for way, image in case.swap.items()}
    for make in (copy_case, mean_face_case, lambda c: checkerboard_case(c, 1, 0.1), lambda c: wrong_pose_case(c, 1.0)):
        make(case)
    assert all(torch.equal(case.swap[way], before[way]) for way in DIRECTIONS)


def test_wrong_poses_are_as_many_as_asked():
    case = everything(8)
    made = wrong_pose_case(case, 0.5)
    moved = [(made.swap["src->dst"][i] != case.truth("src->dst")[i]).any().item() for i in range(8)]
    assert sum(moved) == 4


def test_an_injected_grid_has_the_asked_strength_and_no_blur_leaves_the_oracle():
    case = everything(2)
    change = checkerboard_case(case, 2, 0.01).swap["src->dst"] - case.truth("src->dst")
    assert change.square().mean().sqrt().item() == pytest.approx(0.01, rel=1e-3)
    assert all(torch.equal(blurred_case(case, 0.0).rec[p], case.images[p]) for p in PEOPLE)


@pytest.mark.parametrize("strength", [0.25, 1.0, 2.0])
def test_the_synthetic_leak_has_the_known_variance_share(strength):
    made = latent_case(matched_case(200, 16), strength)
    share = leakage.identity_variance_share(made.mu["src"], made.mu["dst"])
    assert share == pytest.approx(strength**2 / (1 + strength**2), abs=0.02)


def metric(values, direction="higher", ends=(None, None), ideal=1.0):
    info = MetricInfo("made_up", direction, "share", ideal, "for this test", "blend", ends)
    return judge(info, tuple(np.linspace(0, 1, len(values))), values)


def test_a_metric_that_does_not_move_is_invalid():
    row = metric((0.5, 0.5, 0.5))
    assert row.valid is False and "no better than the bad" in row.reason


def test_a_metric_that_turns_back_is_invalid():
    row = metric((0.0, 0.8, 0.3, 1.0))
    assert row.valid is False and row.monotone is False and "not monotone" in row.reason


def test_a_metric_of_the_wrong_sign_is_invalid():
    assert metric((1.0, 0.5, 0.0)).valid is False
    assert metric((1.0, 0.5, 0.0), direction="lower").valid is True


def test_a_metric_that_misses_its_known_end_is_invalid():
    row = metric((0.3, 0.6, 1.0), ends=(0.0, 1.0))
    assert row.monotone is True and row.valid is False and "bad end is 0.3" in row.reason


def test_an_undefined_rung_makes_a_metric_invalid_and_is_named():
    row = metric((0.0, float("nan"), 1.0))
    assert row.valid is False and "undefined on 0.5" in row.reason


def test_a_metric_without_direction_must_approach_its_ideal():
    assert metric((3.0, 2.0, 1.0), direction="none").valid is True
    assert metric((0.2, 0.7, 1.0), direction="none").valid is True
    assert metric((1.0, 2.0, 3.0), direction="none").valid is False


def test_what_the_case_lacks_is_said_and_not_judged():
    row = next(r for r in check(matched_case(4), structure.EVALUATORS) if r.metric == "yaw_error")
    assert row.valid is None and row.reason == "needs regressor"


def test_a_recogniser_that_is_invalid_here_makes_its_metrics_invalid():
    def blind(images):
        return torch.nn.functional.normalize(images.mean((2, 3)) * 0 + torch.tensor([1.0, 0.0, 0.0]), dim=1)

    case = matched_case(12, embedder=blind)
    row = next(r for r in check(case, recognition.EVALUATORS) if r.metric == "id_cos_target")
    assert row.valid is False and "AUC" in row.reason


def test_an_unknown_ladder_and_a_case_without_truth_are_refused():
    broken = Evaluator(lambda case: [], (MetricInfo("x", "higher", "", 1.0, "", ladder="stairs"),))
    with pytest.raises(ValueError, match="stairs"):
        check(matched_case(4), [broken])
    case = matched_case(4)
    case.matched = False
    with pytest.raises(ValueError, match="ground truth"):
        check(case, EVERY)


def fooled_by(value, known, **more):
    """The row of a metric that says `value` everywhere, and must lie in the range `known` on the mean face."""
    info = MetricInfo("made_up", "lower", "", 0.0, "for this test", controls={"mean_face": known}, **more)
    made_up = Evaluator(lambda case: [("made_up", np.array([value]))], (info,))
    return check(matched_case(4, 16), [made_up])[0]


def test_a_metric_that_a_control_fools_is_invalid():
    row = fooled_by(0.0, (0.5, 1.0))
    assert row.valid is False and row.controls == {"mean_face": 0.0}
    assert row.reason == "0 on mean_face, known to lie between 0.5 and 1"
    assert fooled_by(0.7, (0.5, 1.0)).valid is True


def test_a_metric_must_be_undefined_where_its_control_says_so():
    assert fooled_by(0.0, None).reason == "0 on mean_face, where it must be undefined"
    assert fooled_by(np.nan, None).valid is True
    assert fooled_by(np.nan, (0.5, 1.0)).valid is False


def test_an_unknown_control_is_named():
    info = MetricInfo("x", "higher", "", 1.0, "", controls={"ghosts": None})
    with pytest.raises(ValueError, match="'ghosts'"):
        check(matched_case(4), [Evaluator(lambda case: [], (info,))])


def test_a_reference_that_several_metrics_share_is_read_once():
    seen = []

    def run(case):
        seen.append(case.swap["src->dst"].mean().item())
        yield "a", np.array([1.0])
        yield "b", np.array([1.0])

    infos = (
        MetricInfo("a", "higher", "", 1.0, "", ladder="blend", controls={"oracle": (0, 1), "copy": (0, 1)}),
        MetricInfo("b", "higher", "", 1.0, "", ladder="blur", controls={"ghost": (0, 1)}),
    )
    check(matched_case(4, 16), [Evaluator(run, infos)])
    assert len(seen) == len(LADDERS["blend"].rungs) + len(LADDERS["blur"].rungs) - 1  # both ladders end at the oracle


def test_nothing_is_averaged_over_what_is_left():
    values = np.ones(20)
    values[:2] = np.nan
    assert mean_of(values) == 1
    values[2] = np.nan
    assert np.isnan(mean_of(values))
    assert np.isnan(mean_of(np.array([])))
