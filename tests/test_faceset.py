"""The built-in face set on disk: exact truth, honest splits, all or nothing, and the store made from it."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_faces
import torch
from PIL import Image

from harness.data import faces
from harness.data.exr import read_exr
from harness.data.faceset import check_folder, make_faceset, preview_sheet
from harness.data.fingerprint import data_fingerprint, generation
from harness.data.store import open_store
from harness.errors import UsageError
from harness.files import file_sha256
from harness.spec import DataSpec, LooseSpec

SMALL = {"pair": "far", "frames": 16, "eval_frames": 16, "size": 16, "seed": 5, "supersample": 1}
SPEC = DataSpec(pair="far", frames=16, eval_frames=16, size=16, render_supersample=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "set"
    make_faceset(folder, **SMALL)
    return folder


@pytest.fixture(scope="module")
def manifest(made) -> dict:
    return json.loads((made / "manifest.json").read_text())


def test_the_folder_has_its_layout_and_every_file_its_hash(made, manifest):
    files = sorted(p.relative_to(made).as_posix() for p in made.rglob("*.exr"))
    assert files == sorted(frame["file"] for frame in manifest["frames"])
    assert {f.rpartition("/")[0] for f in files} == {"src", "dst", "eval/src", "eval/dst"}
    assert len(files) == 64
    assert all(file_sha256(made / frame["file"]) == frame["sha256"] for frame in manifest["frames"])
    assert manifest["synthetic"] is True and manifest["kind"] == "builtin"
    assert manifest["pose_names"] == [factor.name for factor in faces.POSE]
    assert [p.name for p in made.parent.iterdir()] == ["set"]


def test_an_evaluation_image_is_the_exact_swap_of_its_namesake(made, manifest):
    frames = {frame["file"]: frame for frame in manifest["frames"]}
    for name in ("00000.exr", "00015.exr"):
        src, dst = frames[f"eval/src/{name}"], frames[f"eval/dst/{name}"]
        assert src["pose"] == dst["pose"] and src["landmarks"] != dst["landmarks"]
        identity = torch.tensor([manifest["identity"]["dst"]])
        truth = faces.render(identity, torch.tensor([src["pose"]]), 16, 1)
        difference = np.abs(read_exr(made / dst["file"]) - truth.rgba[0].numpy())
        assert difference.max() < 1e-3  # half floats, six digits of pose
        np.testing.assert_allclose(dst["landmarks"], truth.landmarks[0].numpy(), atol=1e-5)
        assert np.abs(read_exr(made / src["file"]) - read_exr(made / dst["file"])).max() > 0.05


def test_poses_are_blocked_by_region(manifest):
    regions: dict[str, list[str]] = {}
    for frame in manifest["frames"]:
        regions.setdefault(frame["file"].rpartition("/")[0], []).append(frame["region"])
    actual = faces.pose_region(torch.tensor([frame["pose"] for frame in manifest["frames"]]))
    assert actual == [frame["region"] for frame in manifest["frames"]]
    assert set(regions["src"]) == {"interior"}
    assert regions["dst"].count("corner") == 3 and regions["dst"].count("interior") == 13
    assert regions["eval/src"] == regions["eval/dst"]
    assert [regions["eval/src"].count(r) for r in ("interior", "corner", "extrapolation")] == [10, 3, 3]


def test_no_evaluation_pose_is_a_training_pose(manifest):
    poses = {
        split: {tuple(f["pose"]) for f in manifest["frames"] if f["split"] == split} for split in ("train", "eval")
    }
    assert len(poses["train"]) == 32 and len(poses["eval"]) == 16
    assert not poses["train"] & poses["eval"]


def test_the_same_numbers_make_the_same_files_and_another_seed_others(made, manifest, tmp_path):
    again = make_faceset(tmp_path / "again", **SMALL)
    other = make_faceset(tmp_path / "other", **{**SMALL, "seed": 6})
    hashes = [[frame["sha256"] for frame in m["frames"]] for m in (manifest, again, other)]
    assert hashes[0] == hashes[1]
    assert not set(hashes[0]) & set(hashes[2])


def test_a_failure_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    render, calls = faces.render, []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        return render(*arguments)

    monkeypatch.setattr(faces, "render", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        make_faceset(tmp_path / "set", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_and_an_unknown_pair_are_refused(made, tmp_path):
    with pytest.raises(UsageError, match="exists already"):
        make_faceset(made, **SMALL)
    with pytest.raises(UsageError, match="unknown pair 'twins': one of near, mid, far"):
        make_faceset(tmp_path / "set", **{**SMALL, "pair": "twins"})


def test_progress_ends_at_the_total(tmp_path):
    calls = []
    make_faceset(tmp_path / "set", **{**SMALL, "frames": 4, "eval_frames": 2}, progress=lambda *c: calls.append(c))
    assert calls[-1] == ("rendering faces", 12, 12)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


def test_a_check_names_bad_files_and_counts_good_ones(made, tmp_path):
    report = check_folder(made)
    assert report.ok and report.synthetic and report.sizes == {"16 x 16": 64}
    assert report.good == {"src": 16, "dst": 16, "eval/src": 16, "eval/dst": 16}

    own = tiny_faces.write_folder(tmp_path / "own", 3, 2)
    (own / "dst" / "000.exr").write_bytes(b"nothing")
    report = check_folder(own)
    assert not report.ok and not report.synthetic
    assert report.good == {"src": 3, "dst": 1}
    assert [name for name, _ in report.bad] == ["dst/000.exr"]
    with pytest.raises(UsageError, match="no such face folder"):
        check_folder(tmp_path / "nowhere")


def test_a_check_compares_with_the_manifest(made, tmp_path):
    copy = tmp_path / "copy"
    make_faceset(copy, **{**SMALL, "frames": 4, "eval_frames": 2})
    (copy / "src" / "00001.exr").write_bytes((made / "src" / "00003.exr").read_bytes())  # a sound file, the wrong one
    (copy / "dst" / "00002.exr").unlink()
    bad = dict(check_folder(copy).bad)
    assert bad.keys() == {"src/00001.exr", "dst/00002.exr"}
    assert "manifest's SHA-256" in bad["src/00001.exr"]


def test_the_preview_shows_faces_of_every_subfolder(made, tmp_path):
    preview_sheet(made, tmp_path / "pictures" / "sheet.png", columns=8, tile=32)
    sheet = np.asarray(Image.open(tmp_path / "pictures" / "sheet.png").convert("RGB")).astype(float)
    assert sheet.shape[1] == 2 * 24 + 8 * 38 - 6
    bands = np.array_split(sheet[24:-24], 4)
    assert all(band.max() > 200 and band.std() > 20 for band in bands)


def test_the_store_of_the_built_in_set_knows_the_truth(tmp_path):
    store = open_store(SPEC, 5, tmp_path)
    assert store.truth and store.synthetic and store.heldout is None
    assert {p: x.shape for p, x in store.people.items()} == {p: (16, 4, 16, 16) for p in ("src", "dst")}
    assert store.eval["src"].shape == store.eval["dst"].shape == (16, 4, 16, 16)
    assert store.eval_pose.shape == (16, len(faces.POSE)) and len(store.eval_region) == 16
    assert store.eval_landmarks["dst"].shape == (16, len(faces.LANDMARKS), 2)
    np.testing.assert_allclose(store.identity["src"], faces.pair("far")[0].numpy(), atol=1e-6)
    truth = faces.render(torch.tensor(store.identity["dst"])[None], torch.tensor(store.eval_pose[7])[None], 16, 1)
    assert np.abs(store.eval["dst"][7].astype(np.float32) - truth.rgba[0].numpy()).max() < 1e-3


def test_a_damaged_built_in_set_is_rendered_again(tmp_path):
    first = open_store(SPEC, 5, tmp_path)
    expected = np.array(first.people["src"])
    (path,) = (tmp_path / "data").glob("faces-*/src/00003.exr")
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 8
    path.write_bytes(damaged)
    (first.folder / "store.json").unlink()  # with its store intact the set itself is not needed
    again = open_store(SPEC, 5, tmp_path)
    np.testing.assert_array_equal(again.people["src"], expected)
    assert again.quarantined == ()


def test_a_made_set_given_as_a_folder_keeps_its_truth_and_loses_bad_pairs_whole(tmp_path):
    folder = tmp_path / "set"
    make_faceset(folder, **SMALL)
    (folder / "eval" / "src" / "00002.exr").write_bytes(b"broken")
    store = open_store(SPEC.model_copy(update={"source": str(folder)}), 0, tmp_path)
    assert store.truth and store.synthetic
    assert len(store.eval["src"]) == len(store.eval["dst"]) == len(store.eval_pose) == 15
    assert [name for name, _ in store.quarantined] == ["eval/src/00002.exr"]
    frames = json.loads((folder / "manifest.json").read_text())["frames"]
    third = next(frame for frame in frames if frame["file"] == "eval/dst/00003.exr")
    np.testing.assert_allclose(store.eval_pose[2], third["pose"], rtol=1e-6)
    np.testing.assert_array_equal(store.eval["dst"][2], read_exr(folder / "eval/dst/00003.exr").astype(np.float16))


def test_straight_alpha_is_not_asked_of_the_built_in_set(tmp_path):
    with pytest.raises(UsageError, match=r"data\.alpha.*premultiplied"):
        open_store(SPEC.model_copy(update={"alpha": "straight"}), 0, tmp_path)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"pair": "near"}, True),
        ({"frames": 17}, True),
        ({"eval_frames": 17}, True),
        ({"size": 24}, True),
        ({"render_supersample": 2}, True),
        ({"variation": "free"}, True),
        ({"loose": LooseSpec(roll=9.0)}, True),
        ({"loose": LooseSpec(roll=2.0)}, False),  # as aligned faces have it
        ({"repeat": 9}, False),
        ({"target": "unwarped"}, False),
        ({"minimum": 3}, False),
    ],
)
def test_the_fingerprint_follows_what_makes_the_images(change, differs):
    changed = data_fingerprint(SPEC.model_copy(update=change), 5)
    assert (changed != data_fingerprint(SPEC, 5)) == differs
    assert data_fingerprint(SPEC, 6) != data_fingerprint(SPEC, 5)


def test_each_replicate_shows_the_pair_that_its_seed_counts():
    assert [generation(DataSpec(), seed)["pair"] for seed in (0, 1, 7)] == [0, 1, 7]
    drawn, numbered = (data_fingerprint(SPEC.model_copy(update={"pair": pair}), 3) for pair in ("random", 3))
    assert drawn == numbered != data_fingerprint(SPEC.model_copy(update={"pair": 4}), 3)


def test_the_distance_counts_for_random_people_only():
    named, drawn = SPEC, SPEC.model_copy(update={"pair": 3})
    for data, differs in ((named, False), (drawn, True)):
        nearer = data.model_copy(update={"distance": (0.4, 0.6)})
        assert (data_fingerprint(nearer, 0) != data_fingerprint(data, 0)) == differs


def test_a_set_is_aligned_throughout_unless_asked_otherwise(made, manifest, tmp_path):
    loose = make_faceset(tmp_path / "loose", **SMALL, loose=faces.FREE._replace(crop=1.2)._asdict())
    assert manifest["spec"]["loose"] == faces.ALIGNED._asdict()
    for found, allowed in ((manifest, faces.ALIGNED), (loose, faces.FREE._replace(crop=1.2))):
        low, high = faces.pose_range(allowed)
        for split in ("train", "eval"):
            poses = torch.tensor([frame["pose"] for frame in found["frames"] if frame["split"] == split])
            assert (poses >= low - 1e-4).all() and (poses <= high + 1e-4).all()
            roll = poses[:, faces.POSE_INDEX["roll"]]
            assert roll.abs().max() > 0.7 * allowed.roll
    store = open_store(DataSpec(source=str(tmp_path / "loose"), size=16), 0, tmp_path)
    assert store.loose == faces.FREE._replace(crop=1.2)._asdict()


def test_a_set_of_random_people_shows_that_pair(tmp_path):
    made = make_faceset(tmp_path / "set", **{**SMALL, "pair": 12, "frames": 2, "eval_frames": 2}, distance=(0.5, 0.7))
    src, dst = faces.random_pair(12, (0.5, 0.7))
    assert torch.allclose(torch.tensor(made["identity"]["src"]), src, atol=1e-5)
    assert torch.allclose(torch.tensor(made["identity"]["dst"]), dst, atol=1e-5)
    with pytest.raises(UsageError, match="between 3 and 4 standard deviations"):
        make_faceset(tmp_path / "other", **{**SMALL, "pair": 12}, distance=(3.0, 4.0))
    assert not (tmp_path / "other").exists()


def test_the_fingerprint_of_a_folder_follows_content_and_names_not_time_stamps(tmp_path):
    import os

    folder = tiny_faces.write_folder(tmp_path / "own", 3, 3)
    data = DataSpec(source=str(folder))
    first = data_fingerprint(data, 0)
    for path in folder.rglob("*.exr"):
        os.utime(path, (1e9, 1e9))  # old enough to be remembered
    assert data_fingerprint(data, 0) == data_fingerprint(data, 1) == first
    assert list((tmp_path / "cache").rglob("hashes-*.json"))
    os.utime(folder / "src" / "000.exr")
    assert data_fingerprint(data, 0) == first
    (folder / "src" / "000.exr").write_bytes((folder / "src" / "001.exr").read_bytes())
    second = data_fingerprint(data, 0)
    (folder / "dst" / "002.exr").rename(folder / "dst" / "003.exr")
    assert len({first, second, data_fingerprint(data, 0)}) == 3


def test_a_damaged_manifest_is_named(tmp_path):
    folder = tiny_faces.write_folder(tmp_path / "own", 2, 2)
    for text in (
        "{",
        '{"kind": "builtin"}',
        '{"kind": "builtin", "spec": 1, "identity": 1, "frames": [{"file": 3}], '
        '"pose_names": [], "landmark_names": []}',
    ):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(UsageError, match=r"manifest\.json"):
            check_folder(folder)
    (folder / "manifest.json").write_text('{"kind": "somebody else\'s"}')
    assert check_folder(folder).ok
