"""The store: decoded once, bad files named, damage noticed, shared by processes."""

import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tiny_faces

from harness.data.decode import Job, decode_files, decode_one
from harness.data.exr import write_exr
from harness.data.pack import DamagedPack, read_pack
from harness.data.store import FaceStore, open_store
from harness.errors import EnvironmentProblem, UsageError
from harness.files import file_sha256
from harness.spec import DataSpec

HOME = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return tiny_faces.write_folder(tmp_path / "own")


def spec(folder: Path, **changes: object) -> DataSpec:
    return DataSpec(source=str(folder), **{"size": 16, **changes})


def shown(images: np.ndarray) -> list[int]:
    return [tiny_faces.index_of(image) for image in images]


def in_process(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=60, **options)


def test_an_own_folder_is_split_into_training_and_held_out_images(folder, tmp_path):
    store = open_store(spec(folder, holdout=0.2), 0, tmp_path)
    held = [4, 9, 14, 19]
    for person in ("src", "dst"):
        assert shown(store.heldout[person]) == held
        assert shown(store.people[person]) == [i for i in range(20) if i not in held]
        assert store.people[person].dtype == np.float16
        np.testing.assert_array_equal(store.people[person][3, :, 5, 5], tiny_faces.colour(person, 3))
    assert not store.truth and not store.synthetic
    assert store.eval is None and store.manifest is None and store.identity is None
    assert store.quarantined == ()


def test_without_held_out_images_the_training_images_are_scored_and_this_is_noted(folder, tmp_path):
    store = open_store(spec(folder, holdout=0), 0, tmp_path)
    assert shown(store.heldout["src"]) == shown(store.people["src"]) == list(range(20))
    assert "training images" in dict(store.notes)["data.holdout"]


def test_the_second_opening_decodes_nothing(folder, tmp_path):
    calls = []
    first = open_store(spec(folder), 0, tmp_path, lambda *call: calls.append(call))
    assert calls[-1] == ("decoding images", 40, 40)
    calls.clear()
    again = open_store(spec(folder), 7, tmp_path, lambda *call: calls.append(call))
    assert not calls
    assert again.folder == first.folder and again.fingerprint == first.fingerprint
    again.people["src"][:] = 0  # copy-on-write: a careless caller harms only himself
    assert shown(open_store(spec(folder), 0, tmp_path).people["src"]) == shown(first.people["src"])


def test_bad_files_are_named_and_left_out_and_the_rest_goes_on(folder, tmp_path):
    whole = (folder / "src" / "003.exr").read_bytes()
    (folder / "src" / "003.exr").write_bytes(whole[:-20])
    write_exr(folder / "dst" / "010.exr", np.ones((4, 8, 8), np.float32))
    (folder / "src" / "._000.exr").write_bytes(b"a side file of another system")
    store = open_store(spec(folder), 0, tmp_path)
    reasons = dict(store.quarantined)
    assert reasons.keys() == {"src/003.exr", "dst/010.exr"}
    assert "damaged" in reasons["src/003.exr"]
    assert "smaller than data.size 16" in reasons["dst/010.exr"]
    seen = shown(store.people["src"]) + shown(store.heldout["src"])
    assert sorted(seen) == [i for i in range(20) if i != 3]
    assert (folder / "src" / "003.exr").exists()


def test_too_few_readable_images_say_who_why_and_what_is_expected(folder, tmp_path):
    for i in range(6):
        (folder / "dst" / f"{i:03d}.exr").write_bytes(b"broken")
    with pytest.raises(UsageError) as caught:
        open_store(spec(folder), 0, tmp_path)
    for part in ("dst has 14 readable", "data.minimum is 16", "dst/000.exr: not an EXR file", f"{folder}/src/*.exr"):
        assert part in str(caught.value)
    assert caught.value.code == 2
    assert len(open_store(spec(folder, minimum=14), 0, tmp_path).people["dst"]) == 13


@pytest.mark.parametrize("missing", ["", "src", "dst"])
def test_a_missing_folder_says_which_layout_is_expected(folder, tmp_path, missing):
    (folder / missing).rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"own.*Expected .*own/src/\*\.exr and .*own/dst/\*\.exr"):
        open_store(spec(folder), 0, tmp_path)


def test_larger_images_are_averaged_and_oblong_ones_cropped_about_the_centre(folder, tmp_path):
    fine = np.random.default_rng(0).random((4, 48, 48)).astype(np.float16).astype(np.float32)
    write_exr(folder / "src" / "000.exr", fine)
    write_exr(folder / "src" / "001.exr", np.pad(fine, ((0, 0), (0, 0), (10, 10)), constant_values=9)[:, :, 0:68])
    store = open_store(spec(folder), 0, tmp_path)
    average = fine.reshape(4, 16, 3, 16, 3).mean((2, 4))
    np.testing.assert_allclose(store.people["src"][0], average, atol=1e-3)
    np.testing.assert_array_equal(store.people["src"][1], store.people["src"][0])
    assert ("src/001.exr", "68 x 48 pixels: cropped about the centre") in store.notes


def test_the_alpha_convention_is_part_of_what_is_stored(folder, tmp_path):
    half = np.full((4, 16, 16), 0.5, np.float32)
    write_exr(folder / "src" / "000.exr", half)
    assert open_store(spec(folder), 0, tmp_path).people["src"][0, 0, 0, 0] == 0.5
    assert open_store(spec(folder, alpha="straight"), 0, tmp_path).people["src"][0, 0, 0, 0] == 0.25


def test_a_changed_file_makes_another_store_and_augmentation_does_not(folder, tmp_path):
    first = open_store(spec(folder), 0, tmp_path)
    same = open_store(spec(folder, repeat=9, target="unwarped", encoding="linear"), 0, tmp_path)
    assert same.folder == first.folder
    write_exr(folder / "src" / "000.exr", np.ones((4, 16, 16), np.float32))
    other = open_store(spec(folder), 0, tmp_path)
    assert other.fingerprint != first.fingerprint and other.folder != first.folder
    assert other.people["src"][0, 0, 0, 0] == 1


def flipped_copies(path: Path, count: int, seed: int = 0):
    """Write `path` with one flipped bit, `count` times, then as it was."""
    whole, rng = path.read_bytes(), random.Random(seed)
    for _ in range(count):
        place = rng.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        yield place
    path.write_bytes(whole)


def test_every_one_of_200_bit_flips_in_a_store_is_caught(folder, tmp_path):
    store = open_store(spec(folder), 0, tmp_path).folder
    key = json.loads((store / "store.json").read_text())["key"]
    caught = 0
    for name, count in (("src.npy", 70), ("heldout-dst.npy", 50), ("store.json", 80)):
        for _ in flipped_copies(store / name, count):
            try:
                read_pack(store, key)
            except DamagedPack:
                caught += 1
    assert caught == 200
    assert read_pack(store, key)[1]["src"].shape == (18, 4, 16, 16)


def test_a_damaged_store_is_built_again_and_this_is_noted(folder, tmp_path):
    store = open_store(spec(folder), 0, tmp_path)
    expected = np.array(store.people["dst"])
    for name in ("dst.npy", "store.json"):
        next(flipped_copies(store.folder / name, 1))
        again = open_store(spec(folder), 0, tmp_path)
        np.testing.assert_array_equal(again.people["dst"], expected)
        assert "built again" in again.notes[0][1]
    (store.folder / "src.npy").unlink()
    assert len(open_store(spec(folder), 0, tmp_path).people["src"]) == 18


def test_every_one_of_200_bit_flips_in_a_file_with_a_known_hash_is_caught(folder):
    path = folder / "src" / "000.exr"
    job = Job(str(path), file_sha256(path))
    reasons = [decode_one(job, 16, "premultiplied", 1 << 20)[1].reason for _ in flipped_copies(path, 200)]
    assert sum("SHA-256" in (why or "") for why in reasons) == 200
    assert decode_one(job, 16, "premultiplied", 1 << 20)[1].reason is None


def test_a_file_that_kills_its_decoder_is_a_bad_file_like_any_other(folder, tmp_path, monkeypatch):
    """A site customisation makes the decoding child die on two names, as a hostile file would."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, OpenEXR\n"
        "File = OpenEXR.File\n"
        "def deadly(path, **options):\n"
        "    if path.endswith(('001.exr', '019.exr')):\n"
        "        os.kill(os.getpid(), 11)\n"
        "    return File(path, **options)\n"
        "OpenEXR.File = deadly\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    jobs = [Job(str(path)) for path in sorted((folder / "src").iterdir())]
    outcomes = decode_files(jobs, tmp_path / "rows", 16)
    assert [i for i, outcome in enumerate(outcomes) if outcome.reason] == [1, 19]
    assert "crashed (signal 11)" in outcomes[19].reason
    rows = np.fromfile(tmp_path / "rows", np.float16).reshape(20, 4, 16, 16)
    assert [tiny_faces.index_of(rows[i]) for i in (0, 2, 18)] == [0, 2, 18]


OPEN = """
    import sys
    from pathlib import Path
    from harness.data.store import open_store
    from harness.spec import DataSpec
    stages = set()
    store = open_store(DataSpec(source=sys.argv[1], size=16), 0, Path(sys.argv[2]), lambda stage, *_: stages.add(stage))
    print(len(store.people["src"]), bool(stages - {"waiting for another process"}), "torch" in sys.modules)
"""


def test_processes_that_open_at_once_build_once_and_without_torch(folder, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(OPEN), str(folder), str(tmp_path)]
    children = [subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = sorted(child.communicate(timeout=60)[0].split() for child in children)
    assert answers == [["18", "False", "False"], ["18", "False", "False"], ["18", "True", "False"]]
    assert len([path for path in (tmp_path / "data").iterdir() if path.is_dir()]) == 1


def test_a_builder_that_was_killed_blocks_nobody_and_leaves_nothing(folder, tmp_path):
    killed = in_process(
        """
        import os, signal, sys
        from pathlib import Path
        from harness.data.store import open_store
        from harness.spec import DataSpec
        def die(*call):
            os.kill(os.getpid(), signal.SIGKILL)
        open_store(DataSpec(source=sys.argv[1], size=16), 0, Path(sys.argv[2]), die)
        """,
        folder,
        tmp_path,
    )
    assert killed.returncode == -9
    left = [path.name for path in (tmp_path / "data").iterdir() if path.is_dir()]
    assert len(left) == 1 and left[0].endswith(".tmp")
    store = open_store(spec(folder), 0, tmp_path)
    assert len(store.people["src"]) == 18
    assert [path for path in (tmp_path / "data").iterdir() if path.is_dir()] == [store.folder]


def test_a_full_disk_is_a_plain_message_and_leaves_nothing(folder, tmp_path):
    code = """
        import resource, sys
        from pathlib import Path
        from harness.data.store import open_store
        from harness.errors import EnvironmentProblem
        from harness.spec import DataSpec
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        try:
            open_store(DataSpec(source=sys.argv[1], size=16), 0, Path(sys.argv[2]))
        except EnvironmentProblem as problem:
            print(problem)
            sys.exit(problem.code)
    """
    ended = in_process(code, folder, tmp_path)
    assert ended.returncode == EnvironmentProblem.code == 4, ended.stderr
    assert f"cannot write image data under {tmp_path}/data: File too large" in ended.stdout
    assert not [path for path in (tmp_path / "data").iterdir() if path.is_dir()]
    assert isinstance(open_store(spec(folder), 0, tmp_path), FaceStore)


def test_a_results_folder_that_cannot_be_made_is_a_plain_message(folder, tmp_path):
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(EnvironmentProblem, match=r"cannot write image data under .*results"):
        open_store(spec(folder), 0, tmp_path / "results")


def test_the_child_environment_is_that_of_this_process(folder, tmp_path):
    """The decoder finds the package from any working folder."""
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert len(open_store(spec(folder), 0, Path("results")).people["src"]) == 18
    finally:
        os.chdir(here)
