"""The recognisers of the built-in faces read people they never saw, and refuse damaged weights."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from harness.cli.recognisers import app
from harness.data.encoding import to_display
from harness.data.faces import IDENTITY_INDEX, LANDMARKS, POSE, identity_split, render, sample_identities, sample_poses
from harness.errors import CheckFailed, EnvironmentProblem
from harness.score import recognisers
from harness.score.recogniser_data import degrade, mirror, people_pool
from models.recognise import WEIGHTS, WeightsError, load, read_record

WHICH = ("judge", "trainer", "regressor")


@pytest.fixture(scope="module")
def held_out():
    return people_pool(recognisers.HELD_OUT, people=24, each=6, seed=3)


@pytest.mark.parametrize("which", ["judge", "trainer"])
def test_embedder_tells_people_apart_that_it_never_saw(which, held_out):
    vectors = recognisers.embedder("cpu", which)(held_out.pictures())
    assert recognisers.auc(vectors, held_out.people) >= recognisers.AUC_FLOOR


def test_regressor_reads_the_expressions_of_people_it_never_saw(held_out):
    reader = recognisers.regressor("cpu")
    assert reader.pose_names == tuple(factor.name for factor in POSE)
    pose = reader(held_out.pictures())["pose"]
    for name, floor in recognisers.R2_FLOORS.items():
        column = reader.pose_names.index(name)
        truth = held_out.poses[:, column]
        r2 = 1 - (pose[:, column] - truth).square().mean() / truth.var(correction=0)
        assert r2 >= floor, f"{name}: R^2 {r2:.3f}"


def test_regressor_finds_landmarks(held_out):
    points = recognisers.regressor("cpu")(held_out.pictures())["landmarks"]
    left, right = LANDMARKS.index("eye_left"), LANDMARKS.index("eye_right")
    apart = (held_out.landmarks[:, left] - held_out.landmarks[:, right]).norm(dim=1)
    error = (points - held_out.landmarks).norm(dim=2).mean(1) / apart
    assert error.mean() < recognisers.LANDMARK_CEILING


def test_readings_survive_an_autoencoders_blur(held_out):
    clean = held_out.pictures()
    blurred = degrade(clean, torch.Generator().manual_seed(0))
    judge, reader = recognisers.embedder("cpu"), recognisers.regressor("cpu")
    assert recognisers.auc(judge(blurred), held_out.people) >= recognisers.AUC_FLOOR
    yaw = reader.pose_names.index("yaw")
    assert (reader(blurred)["pose"][:, yaw] - held_out.poses[:, yaw]).abs().mean() < 5.0


def test_larger_pictures_give_the_readings_of_small_ones():
    rng = identity_split(recognisers.HELD_OUT)
    people, poses = sample_identities(8, rng), sample_poses(8, rng)
    small, large = (to_display(render(people, poses, size, 1, regions=False).rgba[:, :3]) for size in (64, 128))
    judge, reader = recognisers.embedder("cpu"), recognisers.regressor("cpu")
    assert (judge(small) * judge(large)).sum(1).min() > 0.9
    yaw = reader.pose_names.index("yaw")
    assert (reader(small)["pose"][:, yaw] - reader(large)["pose"][:, yaw]).abs().max() < 6.0


@pytest.mark.parametrize("which", ["judge", "trainer"])
def test_embeddings_are_unit_vectors_and_gradients_reach_the_picture_only(which):
    images = torch.rand(3, 3, 80, 80, generator=torch.Generator().manual_seed(0)).requires_grad_()
    model = recognisers.embedder("cpu", which)
    vectors = model(images)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    vectors[:, 0].sum().backward()
    assert images.grad is not None and images.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_surrounding_autocast_does_not_change_a_reading(held_out):
    model, images = recognisers.embedder("cpu"), held_out.pictures(slice(4))
    plain = model(images)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(images), plain, rtol=0, atol=0)


def test_judge_and_trainer_share_neither_architecture_nor_people():
    judge, trainer = read_record("judge"), read_record("trainer")
    assert judge["options"]["architecture"] != trainer["options"]["architecture"]
    assert len({judge["split"], trainer["split"], read_record("regressor")["split"], recognisers.HELD_OUT}) == 4
    everybody = torch.cat([sample_identities(200, identity_split(r["split"])) for r in (judge, trainer)])
    assert len(everybody.unique(dim=0)) == 400


@pytest.mark.parametrize("which", WHICH)
def test_shipped_weights_are_small_and_their_records_say_they_may_be_used(which):
    assert (WEIGHTS / f"{which}.safetensors").stat().st_size < 2.5e6
    assert recognisers.failures(which, read_record(which)["validity"]) == []


@pytest.mark.parametrize("which", WHICH)
def test_weights_with_a_flipped_byte_are_refused_by_name(which, tmp_path):
    for suffix in (".safetensors", ".json"):
        shutil.copy(WEIGHTS / f"{which}{suffix}", tmp_path)
    load(which, tmp_path)
    path = tmp_path / f"{which}.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=rf"{which}\.safetensors is damaged"):
        load(which, tmp_path)
    path.unlink()
    with pytest.raises(WeightsError, match=f"recogniser '{which}' has no weights"):
        load(which, tmp_path)
    (tmp_path / f"{which}.json").write_text("{")
    with pytest.raises(WeightsError, match=rf"{which}\.json is damaged"):
        load(which, tmp_path)


def test_missing_weights_are_a_problem_of_the_environment_that_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(recognisers.recognise.load, "__defaults__", (tmp_path,))
    with pytest.raises(EnvironmentProblem, match="harness recognisers train --which judge"):
        recognisers.embedder("cpu:0", "judge")


@pytest.mark.parametrize(
    "which",
    [pytest.param("judge", marks=pytest.mark.long), pytest.param("trainer", marks=pytest.mark.long), "regressor"],
)
def test_a_few_steps_lower_the_loss_and_leave_a_loadable_pair_of_files(which, tmp_path, monkeypatch):
    monkeypatch.setitem(recognisers.RECIPES, which, replace(recognisers.RECIPES[which], batch=32))
    record = recognisers.train(which, tmp_path, steps=12, people=16, check_people=4)
    assert record["loss"][-1][1] < record["loss"][0][1]
    assert record["sha256"] == read_record(which, tmp_path)["sha256"]
    model = load(which, tmp_path)
    assert not model.training
    again = recognisers.measure(which, model, 4)  # of the file, not of the network in memory
    assert again == record["validity"]


@pytest.mark.long
def test_check_command_prints_the_figures_and_ends_with_1_below_the_floor(tmp_path, monkeypatch):
    good = CliRunner().invoke(app, ["check", "--which", "judge", "--people", "8"])
    assert good.exit_code == 0 and "degraded" in good.stdout
    monkeypatch.setattr(recognisers, "AUC_FLOOR", 1.1)
    bad = CliRunner().invoke(app, ["check", "--which", "judge", "--people", "8"])
    assert isinstance(bad.exception, CheckFailed) and bad.exception.code == 1


def test_mirrored_truth_is_the_truth_of_the_mirrored_picture():
    pool = people_pool(recognisers.HELD_OUT, people=3, each=2, seed=0)
    images, poses, points = mirror(pool.pictures(), pool.poses, pool.landmarks)
    people = pool.identities.clone()
    people[:, IDENTITY_INDEX["parting"]] = 1 - people[:, IDENTITY_INDEX["parting"]]
    shown = render(people, poses, 64, 2, regions=False)
    torch.testing.assert_close(shown.landmarks, points, rtol=0, atol=1e-5)
    assert (to_display(shown.rgba[:, :3]) - images).abs().mean() < 0.02


def test_degradation_without_strength_returns_the_pictures_and_with_it_stays_in_range():
    images = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(degrade(images, torch.Generator().manual_seed(0), 0.0), images, rtol=0, atol=2e-4)
    worse = degrade(images, torch.Generator().manual_seed(0))
    assert worse.min() >= 0 and worse.max() <= 1 and (worse - images).abs().mean() > 0.01
