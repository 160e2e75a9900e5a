"""Folders of other pictures: `data check` says how to import them, and aligned ones can be trained from directly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import photo_files
import pytest
from command import called
from PIL import Image

from harness.data.exr import read_exr
from harness.errors import UsageError
from harness.photos.advice import advice
from harness.photos.ready import ready


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three PNG with alpha of each person in album/src and album/dst."""
    for i, person in enumerate(("src", "dst")):
        (tmp_path / "album" / person).mkdir(parents=True)
        for k in range(3):
            rgba = np.full((24, 24, 4), 40 * k + 100 * i, np.uint8)
            rgba[..., 3] = np.tri(24, dtype=np.uint8) * 255
            Image.fromarray(rgba).save(tmp_path / "album" / person / f"{k}.png")
    return tmp_path / "album"


def test_check_counts_other_pictures_and_gives_the_command_that_imports_them(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = called(["data", "check", str(pictures)], monkeypatch, capsys)
    command = f"harness data import {pictures}/src --person src --out {pictures}-aligned"
    assert code == 1 and f"{pictures}/src: 3 .png found; import them: {command}" in out and "Import the pictures" in err
    code, out, _ = called(["data", "check", str(pictures), "--json"], monkeypatch, capsys)
    assert len(json.loads(out)["to_import"]) == 2


def test_two_folders_of_any_name_are_two_people(pictures: Path) -> None:
    album = pictures.rename(pictures.with_name("our photos"))
    for old, new in (("src", "Bert"), ("dst", "Anna")):
        (album / old).rename(album / new)
    anna, bert = advice(album)
    assert "Anna: 3 .png found" in anna and "Anna' --person src" in anna and "Bert' --person dst" in bert
    (album / "loose.png").write_bytes(b"of nobody")
    assert advice(album) == [anna, bert]
    (album / "Carl").mkdir()
    (album / "loose.png").rename(album / "Carl" / "1.png")
    (line,) = advice(album)
    assert line.startswith(f"{album}: 7 .png found")


@pytest.mark.parametrize(("place", "said"), [("src/0.png", "is a file. Expected a folder"), ("src", "3 .png found")])
def test_check_of_a_file_or_of_one_persons_folder_says_what_it_is(
    pictures: Path, place: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = called(["data", "check", str(pictures / place)], monkeypatch, capsys)
    assert code == 2 and said in err


def test_aligned_pictures_are_brought_into_exr_once(pictures: Path, tmp_path: Path) -> None:
    folder = Path(ready(str(pictures), tmp_path / "data"))
    files = sorted((folder / "src").iterdir())
    assert [file.name for file in files] == ["0.exr", "1.exr", "2.exr"]
    rgba = read_exr(folder / "dst" / "2.exr")
    assert np.array_equal(rgba[3], np.tri(24)) and rgba[:3][:, np.tri(24) == 0].max() == 0
    before = [file.stat().st_mtime_ns for file in files]
    assert ready(str(pictures), tmp_path / "data") == str(folder)
    assert [file.stat().st_mtime_ns for file in files] == before
    (pictures / "src" / "0.png").unlink()
    assert ready(str(pictures), tmp_path / "data") != str(folder)


def test_a_folder_of_exr_is_left_as_it_is(pictures: Path, tmp_path: Path) -> None:
    for person in ("src", "dst"):
        (pictures / person / "a.exr").touch()
    assert ready(str(pictures), tmp_path / "data") == str(pictures)
    assert ready("builtin", tmp_path) == "builtin" and not (tmp_path / "data").exists()


def test_without_pictures_of_both_people_the_advice_is_given(pictures: Path, tmp_path: Path) -> None:
    for path in (pictures / "dst").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match=r"no pictures of both people; .*3 \.png found; import them"):
        ready(str(pictures), tmp_path / "data")


def test_a_run_plans_with_pictures_of_any_format(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photo_files.write_jpgs(pictures / "src", [np.full((24, 24, 3), 9 * i, np.uint8) for i in range(4)])
    out = tmp_path / "results"
    command = ["run", "smoke", "--dry-run", "--set", f"data.source={pictures}", "--out", str(out), "--json"]
    code, told, err = called(command, monkeypatch, capsys)
    assert (
        code == 0 and "pictures taken as they are" in err and {t["pair"] for t in json.loads(told)["trials"]} == {"own"}
    )
    assert len(list((out / "data").glob("imported-*/src/*.exr"))) == 7
