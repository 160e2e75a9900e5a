"""Readers of photographs: the face embedder from a file made on the spot, and MTCNN on a real face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import weight_files
from metric_faces import matched_case
from skimage import data
from torch import Tensor, nn

from metrics.perceptual import EVALUATORS as PERCEPTUAL
from metrics.perceptual import random_feature_distance
from metrics.structure import EVALUATORS as STRUCTURE
from models.photographs import HEAD, LANDMARKS, FaceFinder, FaceNet, pose_of
from models.pretrained import BadWeights, MissingWeights


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        yield weight_files.install(tmp_path_factory.mktemp("torch"), "vggface2", patch)


@pytest.fixture(scope="module")
def face() -> Tensor:
    """A portrait, (1, 3, 200, 200) in [0, 1]; the face is in the middle."""
    return torch.as_tensor(np.array(data.astronaut()[20:220, 120:320])).permute(2, 0, 1)[None] / 255


def test_the_embedder_gives_unit_vectors_alike_from_two_instances(installed: Path, face: Tensor) -> None:
    images = torch.cat([face, face.flip(2)])
    one, two = FaceNet("vggface2"), FaceNet("vggface2")
    vectors = one(images)
    assert vectors.shape == (2, 512) and torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.equal(vectors, two(images)) and not torch.allclose(vectors[0], vectors[1], atol=1e-3)
    assert len(one.weights_sha256) == 64 and one.name == "facenet-vggface2"


def test_the_embedder_does_as_the_package_does(installed: Path, face: Tensor) -> None:
    from facenet_pytorch import InceptionResnetV1, fixed_image_standardization

    theirs = InceptionResnetV1(pretrained="vggface2").eval()  # reads the same file from TORCH_HOME
    crop = nn.functional.interpolate(face, (160, 160), mode="bilinear", antialias=True)
    with torch.no_grad():
        assert torch.allclose(FaceNet("vggface2")(crop), theirs(fixed_image_standardization(crop * 255)), atol=1e-5)


def test_the_embedder_stays_in_eval_inside_a_parent_that_trains(installed: Path) -> None:
    parent = nn.Sequential(FaceNet("vggface2"))
    parent.train()
    assert not any(module.training for module in parent[0].modules())
    assert not any(parameter.requires_grad for parameter in parent.parameters())


def test_a_missing_embedder_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"20180408-102900-casia-webface\.pt.*no hash known"):
        FaceNet("casia")


def test_a_recorded_hash_guards_a_file_without_a_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weight_files.install(tmp_path, "vggface2", monkeypatch)
    file.with_name(f"{file.name}.sha256").write_text(f"{'0' * 64}  {file.name}\n")
    with pytest.raises(BadWeights, match="damaged"):
        FaceNet("vggface2")


@pytest.mark.parametrize("size", [200, 64])
def test_a_face_is_found_where_it_is_at_any_size(face: Tensor, size: int) -> None:
    small = nn.functional.interpolate(face, (size, size), mode="bilinear", antialias=True)
    read = FaceFinder()(torch.cat([small, torch.zeros_like(small), torch.rand(1, 3, size, size), small]))
    assert read["found"].tolist() == [1, 0, 0, 1]
    assert torch.isnan(read["landmarks"][1:3]).all()
    left, right, nose, *mouth = read["landmarks"][0]
    assert read["landmarks"].shape == (4, len(LANDMARKS), 2) and ((left > 0.2) & (right < 0.8)).all()
    assert left[0] < nose[0] < right[0] and left[1] < nose[1] < mouth[0][1]
    assert torch.equal(read["landmarks"][0], read["landmarks"][3])


@pytest.mark.parametrize("angles", [(0, 0, 0), (35, -10, 5), (-20, 25, -40)])
def test_pose_is_that_of_the_head_whose_view_the_landmarks_are(angles: tuple[float, float, float]) -> None:
    """A head turned by known angles, seen orthographically at any scale and place."""
    yaw, pitch, roll = np.deg2rad(angles)
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    view = (about_z @ about_x @ about_y @ HEAD.T)[:2].T * 0.004 + [0.4, 0.6]
    got = pose_of(np.stack([view, np.full((5, 2), np.nan)]))
    assert np.isnan(got[1]).all()
    (a, _, b), (c, _, d), (_, _, e) = about_z @ about_x @ about_y
    assert got[0] == pytest.approx(np.rad2deg([np.arctan2(b, e), np.arcsin(-d), np.arctan2(c, a)]), abs=1e-6)


def test_yaw_of_built_in_heads_follows_the_true_yaw() -> None:
    from harness.data import faces
    from harness.data.encoding import to_display
    from harness.data.frames import plan

    block = plan("near", 12, 2, 0)[0]
    rgba = faces.render(block.identity.expand(12, -1), block.poses[:12], 128, 1).rgba
    shown = to_display(rgba[:, :3] + 0.2 * (1 - rgba[:, 3:]))
    read = FaceFinder()(shown)
    yaw = block.poses[:12, [factor.name for factor in faces.POSE].index("yaw")]
    seen = read["found"] > 0
    assert seen.sum() >= 10 and np.corrcoef(yaw[seen], read["pose"][seen, 0])[0, 1] > 0.9


def test_structure_of_photographs_is_landmarks_angles_and_detection(face: Tensor) -> None:
    case = matched_case(2)
    photograph = nn.functional.interpolate(face, (64, 64), mode="bilinear", antialias=True).expand(2, -1, -1, -1)
    case.images = {"src": photograph, "dst": photograph}
    case.swap = {"src->dst": photograph, "dst->src": torch.zeros_like(photograph)}
    case.rec, case.landmarks, case.landmark_names, case.pose = case.images, None, (), None
    case.matched, case.regressor = False, FaceFinder()
    found = dict(STRUCTURE["structure"].run(case))
    assert found["detection_rate"].tolist() == [1, 1, 0, 0]
    assert found["landmark_error"][:2] == pytest.approx([0, 0]) and np.isnan(found["landmark_error"][2:]).all()
    assert found["yaw_error"][:2] == pytest.approx([0, 0]) and np.isnan(found["yaw_error"][2:]).all()
    for name in ("landmark_error_floor", "yaw_error_floor", "expression_error"):
        assert np.isnan(found[name]).all() and "no expression" in case.notes[name]
    assert set(found) == {info.name for info in STRUCTURE["structure"].infos}


def test_without_a_trunk_the_number_is_not_called_lpips() -> None:
    case = matched_case(3)
    case.rec = {person: 0.9 * image for person, image in case.images.items()}
    found = dict(PERCEPTUAL["perceptual_rec"].run(case))
    assert found["rec_random_feature_distance"].shape == (6,) and (found["rec_random_feature_distance"] > 0).all()
    assert np.isnan(found["rec_lpips"]).all() and "harness weights" in case.notes["rec_lpips"]
    infos = {info.name: info for info in PERCEPTUAL["perceptual_rec"].infos}
    assert "not LPIPS" in infos["rec_random_feature_distance"].description


def test_with_a_trunk_its_distance_is_published_and_the_stand_in_is_not() -> None:
    case = matched_case(3)
    case.swap = {way: case.images["src"] for way in case.swap}
    case.perceptual = lambda x, y: (x - y).abs().mean((1, 2, 3))
    found = dict(PERCEPTUAL["perceptual_swap"].run(case))
    assert (found["swap_lpips"][:3] > 0).all() and (found["swap_lpips"][3:] == 0).all()
    assert np.isnan(found["swap_random_feature_distance"]).all()


def test_pictures_too_small_for_the_trunk_are_noted() -> None:
    def refuses(x: Tensor, y: Tensor) -> Tensor:
        raise ValueError("needs pictures of 32 pixels")

    case = matched_case(2, size=16, perceptual=refuses)
    assert np.isnan(dict(PERCEPTUAL["perceptual_rec"].run(case))["rec_lpips"]).all()
    assert case.notes["rec_lpips"] == "needs pictures of 32 pixels"


def test_the_random_features_are_always_the_same() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
    assert random_feature_distance(ramp, ramp) == 0
    assert float(random_feature_distance(ramp, ramp.mT)) == pytest.approx(2.801576, rel=1e-4)
