"""Importing photographs and videos: what arrives, what is left out and why, and going on after a stop."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import photo_files
import pytest
from command import called
from PIL import Image

from harness.data.decode import file_sha256
from harness.data.exr import read_exr
from harness.data.listing import list_folder
from harness.errors import UsageError
from harness.photos import manifest, sheet
from harness.photos.settings import Settings
from harness.photos.take import Outcome, take
from harness.photos.video import Selection
from models.photographs import Face, FaceFinder


class Everywhere(FaceFinder):
    """Finds a face in the middle of every picture that is not dark, at once."""

    def __init__(self) -> None:
        self.looked = 0

    def faces(self, pixels: np.ndarray) -> list[Face]:
        self.looked += 1
        height, width = pixels.shape[:2]
        if pixels.mean() < 20:
            return []
        landmarks = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.52], [0.42, 0.63], [0.58, 0.63]]) * [width, height]
        return [Face(np.array([0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height]), 0.99, landmarks)]

    def steadied(self, pixels: np.ndarray, face: Face) -> Face:
        return face


def noise(seed: int, size: int = 96) -> np.ndarray:
    """Coloured squares of 12 pixels: pictures that are unlike each other at every size."""
    squares = np.random.default_rng(seed).integers(0, 255, (size // 12, size // 12, 3), np.uint8)
    return squares.repeat(12, axis=0).repeat(12, axis=1)


SMALL = Settings(size=32, sharpness=None)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return photo_files.write_jpgs(tmp_path / "album", [noise(i) for i in range(6)])


def imported(album: Path, out: Path, settings: Settings = SMALL, **more: Any) -> Outcome:
    return take([album], "src", out, settings, finder=more.pop("finder", Everywhere()), **more)


def test_crops_and_their_manifest_tell_where_each_came_from(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    assert imported(album, out).taken == 6
    settings, entries = manifest.read(out / "import" / "src.jsonl")
    assert settings == {"align": "mtcnn", "size": 32, "crop": 1.35, "background": "keep"}
    assert [Path(e.source).name for e in entries] == [f"IMG_{i}.jpg" for i in range(6)]
    for entry in entries:
        file = out / "src" / str(entry.file)
        assert entry.facts["sha256"] == file_sha256(file) and entry.sha256 == file_sha256(entry.source)
        assert len(entry.facts["matrix"]) == 2 and entry.facts["confidence"] == 0.99
        assert entry.facts["matte"] == "hull" and entry.facts["approximate"]
    rgba = read_exr(out / "src" / "IMG_0.exr")
    assert rgba.shape == (4, 32, 32) and rgba[3].max() == 1 and rgba[3].min() == 0 and rgba[:3, 0, 0].max() > 0


def test_the_same_command_does_nothing_twice_and_new_pictures_are_added(album: Path, tmp_path: Path) -> None:
    out, finder = tmp_path / "faces", Everywhere()
    imported(album, out, finder=finder)
    before = {p: p.stat().st_mtime_ns for p in (out / "src").iterdir()}
    Image.fromarray(noise(50)).save(album / "IMG_3b.jpg")
    second = imported(album, out, finder=finder)
    assert (second.taken, second.before, finder.looked) == (1, 6, 7)
    assert {p: p.stat().st_mtime_ns for p in before} == before and len(list((out / "src").iterdir())) == 7


@pytest.mark.parametrize("after", [1, 3])
def test_an_import_that_was_stopped_goes_on_and_ends_as_if_it_had_not_been(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    imported(album, whole)
    add, count = manifest.Manifest.add, iter(range(100))

    def interrupted(self: manifest.Manifest, entry: manifest.Entry) -> None:
        if next(count) == after:
            raise KeyboardInterrupt
        add(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(manifest.Manifest, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            imported(album, torn)
    assert (torn / "import" / "src.png").is_file()
    path = torn / "import" / "src.jsonl"
    path.write_bytes(path.read_bytes()[:-7])  # the last line is torn as well
    assert imported(album, torn).taken == 6 - after + 1
    for name in ("src", "import"):
        ours, theirs = ({p.name: p.read_bytes() for p in (f / name).iterdir() if p.is_file()} for f in (torn, whole))
        assert ours == theirs


def test_other_settings_are_refused_until_it_is_asked_to_begin_anew(album: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    imported(album, out)
    (out / "src" / "mine.exr").write_bytes(b"not of the import")
    with pytest.raises(UsageError, match=r"begun with crop 1\.35, and now it is 2\.0.*--again"):
        imported(album, out, Settings(size=32, crop=2.0, sharpness=None))
    again = imported(album, out, Settings(size=32, crop=2.0, sharpness=None), again=True)
    assert again.taken == 6 and (out / "src" / "mine.exr").exists()


def test_a_file_that_is_there_twice_is_taken_once_and_counted(album: Path, tmp_path: Path) -> None:
    (album / "copy.jpg").write_bytes((album / "IMG_0.jpg").read_bytes())
    outcome = imported(album, tmp_path / "f")
    assert outcome.taken == 6 and outcome.before == 0 and outcome.left_out == {"the same file as another": 1}


def test_near_duplicates_are_left_out_and_name_the_picture_that_was_kept(album: Path, tmp_path: Path) -> None:
    smooth = photo_files.background(np.random.default_rng(0), (96, 96))
    for quality in (95, 60):
        Image.fromarray(smooth).save(album / f"Z{quality}.jpg", quality=quality)
    out = tmp_path / "faces"
    outcome = imported(album, out)
    assert outcome.taken == 7 and outcome.left_out == {"nearly the same": 1}
    (left,) = [e for e in manifest.read(out / "import" / "src.jsonl")[1] if e.reason]
    assert str(left.reason).startswith("nearly the same as Z60.exr: difference 0.0")
    assert imported(album, out).taken == 0  # and is not taken on the second run either


def test_pictures_of_one_name_do_not_overwrite_each_other(album: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(70)).save(album / "IMG_0.png")
    (album / "more").mkdir()
    Image.fromarray(noise(71)).save(album / "more" / "IMG_0.jpg")
    Image.fromarray(noise(72)).save(album / 'it\'s "a" name; $(x)\n.jpg')
    imported(album, tmp_path / "faces")
    names = sorted(p.name for p in (tmp_path / "faces" / "src").iterdir())
    assert len(names) == 9 and sum(name.startswith("IMG_0") for name in names) == 3
    assert all(c.isalnum() or c in "-._" for name in names for c in name)


@pytest.mark.parametrize(("background", "behind"), [("keep", True), ("black", False)])
def test_the_background_is_kept_or_black(album: Path, tmp_path: Path, background: Any, behind: bool) -> None:
    imported(album, tmp_path / "f", Settings(size=32, sharpness=None, background=background))
    rgba = read_exr(tmp_path / "f" / "src" / "IMG_0.exr")
    assert bool(rgba[:3][:, rgba[3] == 0].max() > 0) is behind and rgba[:3][:, rgba[3] == 1].max() > 0


def test_masks_and_alpha_come_before_the_hull(tmp_path: Path) -> None:
    album, masks = photo_files.write_jpgs(tmp_path / "a", [noise(0), noise(1), noise(2)]), tmp_path / "masks"
    masks.mkdir()
    mask = np.zeros((96, 96), np.uint8)
    mask[:, :48] = 255
    Image.fromarray(mask).save(masks / "IMG_0.png")
    Image.fromarray(mask[:50]).save(masks / "IMG_1.png")
    Image.fromarray(np.dstack([noise(3), mask])).save(album / "cut.png")
    outcome = imported(album, tmp_path / "f", Settings(size=32, sharpness=None, masks=masks))
    entries = {Path(e.source).name: e for e in manifest.read(tmp_path / "f" / "import" / "src.jsonl")[1]}
    assert {n: e.facts.get("matte") for n, e in entries.items()} == {
        "IMG_0.jpg": "mask", "IMG_1.jpg": None, "IMG_2.jpg": "hull", "cut.png": "alpha"
    }  # fmt: skip
    assert "mask IMG_1.png is 96 x 50, the picture 96 x 96" in str(entries["IMG_1.jpg"].reason) and outcome.taken == 3
    for name in ("IMG_0.exr", "cut.exr"):
        alpha = read_exr(tmp_path / "f" / "src" / name)[3]
        assert alpha[4:-4, 2:13].min() > 0.99 and alpha[:, 19:].max() < 0.01
    assert read_exr(tmp_path / "f" / "src" / "cut.exr")[:3, :, 19:].max() < 0.01


def test_pictures_that_are_aligned_already_are_taken_as_they_are(tmp_path: Path) -> None:
    album = photo_files.write_jpgs(tmp_path / "a", [])
    for i in range(2):
        Image.fromarray(noise(7)[:, :80]).save(album / f"{i}.png", compress_level=i)
    outcome = imported(album, tmp_path / "f", Settings(align="none", sharpness=None, duplicates=None))
    assert outcome.taken == 2  # though they are the same
    rgba = read_exr(tmp_path / "f" / "src" / "0.exr")
    display = np.where(rgba <= 0.0031308, 12.92 * rgba, 1.055 * rgba.clip(1e-9) ** (1 / 2.4) - 0.055)[:3]
    assert np.abs(display * 255 - noise(7)[8:88, :80].transpose(2, 0, 1)).max() < 0.6
    shrunk = imported(album, tmp_path / "g", Settings(align="none", size=40, sharpness=None, duplicates=None))
    assert shrunk.taken == 2 and read_exr(tmp_path / "g" / "src" / "0.exr").shape == (4, 40, 40)
    large = imported(album, tmp_path / "h", Settings(align="none", size=90))
    assert large.left_out == {"too small": 2}


def test_frames_of_a_video_are_named_by_their_number_and_a_finished_video_is_not_read_again(tmp_path: Path) -> None:
    clip = photo_files.write_video(tmp_path / "my clip.mp4", [noise(i) for i in range(10)])
    half = Settings(size=32, sharpness=None, duplicates=None, selection=Selection(every=5))
    assert imported(clip, tmp_path / "f", half).taken == 2
    assert {p.name for p in (tmp_path / "f" / "src").iterdir()} == {"my-clip-000000.exr", "my-clip-000005.exr"}
    finder = Everywhere()
    assert imported(clip, tmp_path / "f", half, finder=finder).before == 1 and finder.looked == 0
    more = Settings(size=32, sharpness=None, duplicates=None, selection=Selection(every=4))
    assert imported(clip, tmp_path / "f", more).taken == 2  # 4 and 8; 0 is there


def test_bad_files_are_named_each_time_and_the_good_ones_go_on(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = (album / "IMG_0.jpg").read_bytes()
    (album / "cut off.jpg").write_bytes(cut[: len(cut) // 2])
    (album / "zero.png").touch()
    (album / "torn.mkv").write_bytes(b"\x1a\x45\xdf\xa3" + bytes(100))
    (album / "notes.txt").write_text("x")
    os.mkfifo(album / "pipe.jpg")
    monkeypatch.setattr("harness.photos.take.FaceFinder", Everywhere)
    command = ["data", "import", str(album), "--person", "dst", "--out", str(tmp_path / "f"), "--size", "32"]
    for taken in (6, 0):
        code, out, _ = called([*command, "--sharpness", "0"], monkeypatch, capsys)
        assert code == 0 and f"dst: {taken} taken" in out and "not looked at: 1 .txt" in out
        for name, reason in {
            "cut off.jpg": "truncated", "zero.png": "empty file", "torn.mkv": "damaged", "pipe.jpg": "no regular file"
        }.items():  # fmt: skip
            (line,) = [line for line in out.splitlines() if name in line]
            assert reason in line
    code, out, _ = called([*command, "--sharpness", "0", "--json"], monkeypatch, capsys)
    told = json.loads(out)
    assert told["done_before"] == 6 and len(told["bad"]) == 4
    assert (tmp_path / "f" / "import" / "dst.jsonl").read_text().count("torn.mkv") == 1
    assert len(list_folder_of(tmp_path / "f", "dst")) == 6


def list_folder_of(folder: Path, person: str) -> list[Any]:
    (folder / "src").mkdir(exist_ok=True)
    return list_folder(folder).groups[person]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (["nowhere"], 2, "there is no file or folder nowhere"),
        (["--person", "me"], 2, "me"),
        (["--masks", "nowhere"], 2, "--masks nowhere: there is no such folder"),
        (["--like", "nowhere.jpg"], 2, "--like nowhere.jpg: there is no such picture"),
    ],
)
def test_mistakes_are_told_in_one_line(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    change: list[str], code: int, said: str,
) -> None:  # fmt: skip
    command = ["data", "import", str(album), "--person", "src", "--out", str(tmp_path / "f"), *change]
    found, _, err = called(command, monkeypatch, capsys)
    assert found == code and said in err and "Traceback" not in err


def test_like_without_a_recogniser_says_which_file_is_needed(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    from harness.score import weights

    weights.face_embedder.cache_clear()
    command = ["data", "import", str(album), "--person", "src", "--out", str(tmp_path / "f")]
    code, _, err = called([*command, "--like", str(album / "IMG_0.jpg")], monkeypatch, capsys)
    assert code == 4 and "20180402-114759-vggface2.pt" in err and "harness weights" in err


def test_a_folder_without_pictures_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match=r"no picture and no video, but 1 \.txt"):
        imported(tmp_path, tmp_path / "f")


def test_the_contact_sheet_shows_what_was_taken_and_what_was_left_out(album: Path, tmp_path: Path) -> None:
    Image.new("RGB", (96, 96), (0, 0, 10)).save(album / "dark.jpg")
    out = tmp_path / "faces"
    imported(album, out)
    with Image.open(out / "import" / "src.png") as image:
        pixels = np.array(image)
    tile, first = sheet.TILE, sheet.MARGIN + sheet.LABEL
    taken = pixels[first : first + tile, sheet.MARGIN : sheet.MARGIN + tile]
    second = first + tile + sheet.LINES["taken"] * sheet.LINE + sheet.GAP + sheet.LABEL
    left = pixels[second : second + tile, sheet.MARGIN : sheet.MARGIN + tile]
    assert taken.std() > 30 and np.abs(left.astype(int) - [0, 0, 10]).mean() < 5
    assert pixels[second + tile : second + tile + 30, :200].max() > 100  # its reason stands below


def test_two_imports_of_one_person_at_once_are_refused(album: Path, tmp_path: Path) -> None:
    from harness.lock import Busy, claim_trial

    (tmp_path / "f" / "import").mkdir(parents=True)
    with claim_trial(tmp_path / "f" / "import" / ".src"), pytest.raises(Busy, match="is being run by process"):
        imported(album, tmp_path / "f")
