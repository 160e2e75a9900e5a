import numpy as np
import pytest
import torch
from metric_faces import POSE_NAMES, matched_case

from metrics.case import DIRECTIONS, driver_of
from metrics.structure import EVALUATORS, gain, landmark_error, r2


class Lookup:
    """A regressor that knows the evaluation images: it answers with the factors of the nearest one, plus a bias."""

    pose_names = POSE_NAMES

    def __init__(self, case, bias=0.0):
        self.images = torch.cat([case.images["src"], case.images["dst"]]).flatten(1)
        self.pose = torch.cat([case.pose, case.pose])
        self.landmarks = torch.cat([case.landmarks["src"], case.landmarks["dst"]])
        self.bias = bias

    def __call__(self, images):
        nearest = torch.cdist(images.flatten(1), self.images).argmin(1)
        return {"pose": self.pose[nearest] + self.bias, "landmarks": self.landmarks[nearest] + self.bias / 100}


def scores(case):
    return dict(EVALUATORS["structure"].run(case))


@pytest.fixture(scope="module")
def oracle():
    case = matched_case(16)
    case.regressor = Lookup(case)
    return case


def test_every_name_yielded_has_a_description(oracle):
    assert set(scores(oracle)) == {info.name for info in EVALUATORS["structure"].infos}


def test_oracle_and_copy_both_keep_the_structure(oracle):
    copy = oracle.with_outputs({way: oracle.images[driver_of(way)] for way in DIRECTIONS})
    for case in (oracle, copy):
        found = scores(case)
        assert found["yaw_error"].max() == 0 and found["expression_error"].max() == 0
        assert found["yaw_r2"].item() == pytest.approx(1) and found["blink_gain"].item() == pytest.approx(1)
        assert found["rec_smile_r2"].item() == pytest.approx(1)


def test_pictures_of_the_people_themselves_are_read_once_for_all_cases_that_show_them():
    case, seen = matched_case(4), []
    look = Lookup(case)

    def counted(images):
        seen.append(images)
        return look(images)

    counted.pose_names = POSE_NAMES
    case.regressor = counted
    oracle = scores(case)
    assert len(seen) == 2
    copy = scores(case.with_outputs({way: case.images[driver_of(way)] for way in DIRECTIONS}))
    assert len(seen) == 2
    other = scores(case.with_outputs({way: case.images[driver_of(way)].flip(0) for way in DIRECTIONS}))
    assert len(seen) == 4
    assert oracle["yaw_r2"].item() == copy["yaw_r2"].item() == pytest.approx(1) and other["yaw_r2"].item() < 0.9


def test_a_face_that_never_moves_follows_nothing(oracle):
    frozen = {way: oracle.truth(way)[:1].expand_as(oracle.truth(way)) for way in DIRECTIONS}
    found = scores(oracle.with_outputs(frozen))
    assert found["yaw_gain"].item() == pytest.approx(0, abs=1e-6)
    assert found["yaw_r2"].item() <= 0
    assert found["landmark_error"].mean() > 0.05 and found["yaw_error"].mean() > 5


def test_the_regressors_own_error_is_the_floor_and_is_taken_off():
    case = matched_case(8)
    case.regressor = Lookup(case, bias=3.0)
    found = scores(case)
    assert found["yaw_error_floor"] == pytest.approx(np.full(16, 3.0), abs=1e-5)
    assert found["yaw_error"] == pytest.approx(np.zeros(16), abs=1e-5)
    assert found["landmark_error_floor"].min() > 0 and np.abs(found["landmark_error"]).max() < 1e-6
    assert found["floor_yaw_r2"].item() < 1


def test_landmark_error_is_in_eye_distances():
    truth = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [1.0, 4.0]]])
    assert landmark_error(truth + torch.tensor([0.0, 1.0]), truth, (0, 1)).item() == pytest.approx(0.5)


def test_profile_views_are_normalised_by_the_face_diagonal():
    truth = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [3.0, 4.0]]]).expand(3, -1, -1)
    error = landmark_error(truth + torch.tensor([0.0, 1.0]), truth, (0, 1), torch.tensor([44.0, 46.0, -46.0]))
    assert error.tolist() == pytest.approx([10.0, 0.2, 0.2], rel=1e-5)


def test_gain_and_r2_of_known_lines():
    truth = np.linspace(-1, 1, 11)
    assert gain(0.5 * truth + 3, truth) == pytest.approx(0.5)
    assert r2(truth, truth) == 1 and r2(0 * truth, truth) == 0
    assert r2(0.5 * truth, truth) == pytest.approx(0.75)
    assert np.isnan(r2(truth, np.ones(11))) and np.isnan(gain(truth, np.ones(11)))


def test_without_true_factors_the_regressors_reading_of_the_driver_is_the_reference(oracle):
    case = matched_case(8, regressor=oracle.regressor)
    case.matched, case.pose, case.landmarks = False, None, None
    found = scores(case)
    assert found["yaw_error"].max() == 0 and found["yaw_error_floor"].max() == 0


def test_detection_rate_is_counted_when_the_regressor_can_fail_and_explained_when_not(oracle):
    assert np.isnan(scores(oracle)["detection_rate"]).all() and "detection_rate" in oracle.notes
    case = matched_case(8)
    lookup = Lookup(case)

    class Detector:
        pose_names = POSE_NAMES

        def __call__(self, images):
            return {**lookup(images), "found": torch.arange(len(images)) % 2}

    case.regressor = Detector()
    assert scores(case)["detection_rate"].mean() == 0.5


def test_a_regressor_that_misses_a_factor_is_refused_by_name():
    case = matched_case(4)
    case.regressor = Lookup(case)
    case.regressor.pose_names = ("yaw", "pitch", "roll", "smile", "mouth_open", "lids", "brow", "gaze_x", "gaze_y")
    with pytest.raises(ValueError, match="does not read blink"):
        scores(case)
