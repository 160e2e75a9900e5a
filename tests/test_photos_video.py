"""The frames of videos: the selected ones, upright, and a reason where a video breaks off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import photo_files
import pytest

from harness.photos import take
from harness.photos.picture import BadPicture
from harness.photos.reader import Request, read
from harness.photos.video import NEEDED, Selection, frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames, 10 a second; frame i is a grey of 8 i with a white corner, upper left."""
    pictures = [np.full((64, 96, 3), 8 * i, np.uint8) for i in range(30)]
    for pixels in pictures:
        pixels[:16, :16] = 255
    return photo_files.write_video(tmp_path_factory.mktemp("video") / "clip.mp4", pictures, sound=True)


def test_every_frame_comes_in_order_with_its_time(clip: Path) -> None:
    found = list(frames(clip, Selection()))
    assert [f.number for f in found] == list(range(30)) and found[7].time == pytest.approx(0.7)
    assert [round(float(f.pixels[40:, 40:].mean()) / 8) for f in found] == list(range(30))


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Selection(every=10), [0, 10, 20]),
        (Selection(fps=2), [0, 5, 10, 15, 20, 25]),
        (Selection(start=1.0, end=1.5), [10, 11, 12, 13, 14]),
        (Selection(fps=2, start=0.3, end=1.5), [3, 8, 13]),
    ],
)
def test_a_selection_takes_the_frames_that_it_names(clip: Path, wanted: Selection, numbers: list[int]) -> None:
    assert [f.number for f in frames(clip, wanted)] == numbers


@pytest.mark.parametrize(("rotation", "corner"), [(90, (-8, 8)), (180, (-8, -8)), (-90, (8, -8))])
def test_a_video_filmed_lying_down_is_turned_upright(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:16, :16] = 255
    path = photo_files.write_video(tmp_path / "clip.mp4", [pixels] * 3, rotation=rotation)
    upright = next(iter(frames(path, Selection()))).pixels
    assert upright.shape == ((96, 64, 3) if abs(rotation) == 90 else (64, 96, 3)) and upright[corner].min() > 200


def test_a_video_that_breaks_off_gives_its_frames_and_says_where(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (64, 96, 3), np.uint8) for _ in range(30)]
    whole = photo_files.write_video(tmp_path / "whole.mkv", noise).read_bytes()
    (tmp_path / "torn.mkv").write_bytes(whole[: len(whole) // 2])
    items = list(read([Request(str(tmp_path / "torn.mkv"), Selection())]))
    got = [item.frame for item in items if item.picture is not None]
    assert 5 < len(got) < 25 and got == list(range(len(got)))
    assert f"breaks off after frame {got[-1]}" in str(items[-1].reason)


def test_a_short_video_that_breaks_off_is_noticed_too(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 64, 96, 3), np.uint8)
    whole = photo_files.write_video(tmp_path / "whole.mkv", noise)
    assert len(list(frames(whole, Selection()))) == 12
    (tmp_path / "torn.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    with pytest.raises(BadPicture, match=r"breaks off after frame .*of 1.2 s"):
        list(frames(tmp_path / "torn.mkv", Selection()))


def test_what_is_no_video_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 100)
    with pytest.raises(BadPicture, match="damaged"):
        list(frames(tmp_path / "a.mp4", Selection()))


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Path
) -> None:
    monkeypatch.setattr(take, "can_read_videos", lambda: False)
    with pytest.raises(take.EnvironmentProblem) as problem:
        take.take([clip], "src", tmp_path / "faces", take.Settings())
    assert str(problem.value) == NEEDED and "[video]" in NEEDED and not (tmp_path / "faces").exists()
