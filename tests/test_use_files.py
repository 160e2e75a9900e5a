"""`harness swap` on pictures, folders and videos: what is written, how it is marked, and going on after a stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import finished_trial
import numpy as np
import photo_files
import pytest
import torch
from command import called
from PIL import Image

from harness.cli.signals import Stopped
from harness.photos.light import shown
from harness.photos.picture import read_picture
from harness.photos.video import Selection, frames
from harness.use import files, mark, model
from harness.use.film import Film
from models.photographs import FaceFinder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    finished_trial.write(root)
    return root


@pytest.fixture(scope="module")
def people() -> list[np.ndarray]:
    return photo_files.portraits("src", 3, turned=5)


@pytest.fixture
def run(
    root: Path, finder: FaceFinder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """`harness swap grid ARGUMENTS` with a network that answers with plain orange."""

    def orange(self: model.TrainedSwapper, x: torch.Tensor, to: str) -> tuple[torch.Tensor, None]:
        return torch.tensor([1.0, 0.5, 0.0])[None, :, None, None].expand(x.shape).clone(), None

    monkeypatch.setattr(model.TrainedSwapper, "swap_with_mask", orange)
    monkeypatch.setattr("harness.use.swap.FaceFinder", lambda device: finder)

    def swap(*arguments: Any) -> tuple[int, str, str]:
        command = ["swap", "grid", *map(str, arguments), "--to", "dst", "--results", str(root)]
        return called(command, monkeypatch, capsys)

    return swap  # type: ignore[return-value]


def is_orange(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether a part of a picture became orange, and its rim stayed as it was."""
    changed = np.abs(after.astype(int) - before).max(axis=2) > 30
    rim = np.abs(after[:4].astype(int) - before[:4]).max()
    return bool(changed.mean() > 0.02 and np.median(after[changed], axis=0)[2] < 60 and rim < 12)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_picture_is_swapped_pasted_back_and_marked(run: Run, people: list[Any], tmp_path: Path, suffix: str) -> None:
    Image.fromarray(people[0]).save(tmp_path / f"a b.{suffix}")
    code, out, err = run(tmp_path / f"a b.{suffix}", "--out", tmp_path / f"out.{suffix}")
    assert code == 0 and "1 file written" in out, err
    got = read_picture(tmp_path / f"out.{suffix}")
    assert is_orange(people[0], got.pixels)
    raw = (tmp_path / f"out.{suffix}").read_bytes()
    assert b"compositeWithTrainedAlgorithmicMedia" in raw and b"Synthetic: a face in this picture" in raw
    assert "trial 0123abcd0123abcd, to dst" in str(mark.recipe_of(tmp_path / f"out.{suffix}"))
    assert mark.recipe_of(tmp_path / f"a b.{suffix}") is None


def test_exr_and_sixteen_bits_and_alpha_are_swapped_too(run: Run, people: list[Any], tmp_path: Path) -> None:
    import cv2

    from harness.data.exr import write_exr
    from harness.photos.light import from_bytes

    linear = np.dstack([from_bytes(people[0]), np.ones(people[0].shape[:2], np.float32)])
    write_exr(tmp_path / "a.exr", linear.transpose(2, 0, 1))
    cv2.imwrite(str(tmp_path / "deep.png"), people[0][..., ::-1].astype(np.uint16) * 257)
    Image.fromarray(np.dstack([people[0], np.full(people[0].shape[:2], 200, np.uint8)])).save(tmp_path / "clear.png")
    code, out, _ = run(tmp_path, "--out", tmp_path / "out")
    assert code == 0 and "3 files written" in out and "deep.png: 16 bits a channel: written with 8" in out
    assert is_orange(people[0], shown(read_picture(tmp_path / "out" / "a.exr")))
    assert is_orange(people[0], read_picture(tmp_path / "out" / "deep.png").pixels)
    alpha = read_picture(tmp_path / "out" / "clear.png").alpha
    assert alpha is not None and (alpha == 200).all()
    assert "to dst" in str(mark.recipe_of(tmp_path / "out" / "a.exr"))


def test_a_folder_is_swapped_file_by_file_and_done_ones_are_left_alone(
    run: Run, people: list[Any], tmp_path: Path
) -> None:
    album = photo_files.write_jpgs(tmp_path / "album" / "day one", people[:2], faceless=1).parent
    (album / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    code, out, _ = run(album, "--out", tmp_path / "out")
    assert code == 0 and "2 files written" in out and "not swapped: 1, no face found" in out
    assert "cut.jpg: damaged" in out and not (tmp_path / "out" / "day one" / "wall 0.jpg").exists()
    written = sorted((tmp_path / "out" / "day one").iterdir())
    times = [path.stat().st_mtime_ns for path in written]
    written[1].unlink()
    code, out, _ = run(album, "--out", tmp_path / "out")
    assert "1 file written, 1 done before" in out and written[0].stat().st_mtime_ns == times[0]
    _, out, _ = run(album, "--out", tmp_path / "out", "--feather", "0.1")  # another swap: written anew
    assert "2 files written" in out and not list(tmp_path.rglob("*.part*"))


def test_what_was_not_made_here_is_never_overwritten(run: Run, people: list[Any], tmp_path: Path) -> None:
    for name in ("a.png", "mine.png"):
        Image.fromarray(people[0]).save(tmp_path / name)
    before = (tmp_path / "mine.png").read_bytes()
    code, out, err = run(tmp_path / "a.png", "--out", tmp_path / "mine.png")
    assert code == 1 and "exists already and is no swap made here" in out and "nothing was written" in err
    assert (tmp_path / "mine.png").read_bytes() == before
    code, _, err = run(tmp_path / "a.png", "--out", tmp_path / "a.png")
    assert code == 2 and "this is the input" in err


@pytest.fixture(scope="module")
def clip(people: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    wall = photo_files.background(np.random.default_rng(9))
    pictures = [people[0]] * 3 + [wall] * 2 + [people[1]] * 3
    return photo_files.write_video(tmp_path_factory.mktemp("clip") / "my clip.mp4", pictures, rate=4, sound=True)


@pytest.mark.parametrize("suffix", ["mp4", pytest.param("mkv", marks=pytest.mark.long)])
def test_a_video_keeps_its_frames_their_times_and_its_sound(run: Run, clip: Path, tmp_path: Path, suffix: str) -> None:
    import av

    target = tmp_path / f"out.{suffix}"
    code, out, err = run(clip, "--out", target)
    assert code == 0 and "1 file written" in out and "not swapped: 2, no face found" in out, err
    before, after = (list(frames(path, Selection())) for path in (clip, target))
    first = [clip_[0].time for clip_ in (before, after)]  # Matroska shifts all by the sound's first packet
    times = [[f.time - start for f in found] for found, start in zip((before, after), first, strict=True)]
    assert times[1] == pytest.approx(times[0], abs=2e-3) and first[1] < 0.1
    orange = [is_orange(a.pixels, b.pixels) for a, b in zip(before, after, strict=True)]
    assert orange == [True] * 3 + [False] * 2 + [True] * 3
    assert np.abs(after[3].pixels.astype(int) - before[3].pixels).mean() < 3  # the wall, its colours too
    with av.open(str(clip)) as one, av.open(str(target)) as two:
        packets = [[bytes(p) for p in container.demux(audio=0) if p.size] for container in (one, two)]
        assert packets[0] == packets[1] and "Synthetic: a face in this video" in str(two.metadata)
    assert "1 done before" in run(clip, "--out", target)[1] and [p.name for p in tmp_path.iterdir()] == [target.name]


def test_a_video_that_is_stopped_leaves_nothing_half_written_and_is_done_again(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files, "BATCH", 2)
        add = Film.add

        def stopping(self: Film, pixels: np.ndarray, time: float) -> None:
            if self.frames == 4:
                raise Stopped(signal.SIGINT)
            add(self, pixels, time)

        patch.setattr(Film, "add", stopping)
        code, _, err = run(clip, "--out", tmp_path / "out.mp4")
    assert code == 130 and "the same command continues" in err and not list(tmp_path.iterdir())
    assert run(clip, "--out", tmp_path / "out.mp4")[0] == 0


def test_a_video_that_breaks_off_is_written_as_far_as_it_goes(run: Run, clip: Path, tmp_path: Path) -> None:
    long = photo_files.write_video(tmp_path / "long.mkv", [f.pixels for f in frames(clip, Selection())] * 2, rate=4)
    long.write_bytes(long.read_bytes()[: long.stat().st_size * 2 // 3])
    code, out, _ = run(long, "--out", tmp_path / "out.mkv")
    count = len(list(frames(tmp_path / "out.mkv", Selection())))
    assert code == 0 and f"long.mkv: breaks off after frame {count - 1}" in out and 8 < count < 16


def test_aligned_pictures_need_no_detection_and_stay_crops(
    run: Run, people: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.use.swap.FaceFinder", lambda device: pytest.fail("a face was looked for"))
    Image.fromarray(people[0][:200, :200]).save(tmp_path / "a.png")
    code, out, _ = run(tmp_path / "a.png", "--out", tmp_path / "out.png", "--aligned", "--json")
    assert code == 0 and json.loads(out)["swapped"] == 1
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (32, 32) and image.mode == "RGB" and image.getpixel((5, 5)) == (255, 128, 0)


@pytest.mark.parametrize("how", [["--colour", "match"], ["--blend", "seamless"]])
def test_colours_can_be_matched(run: Run, people: list[Any], tmp_path: Path, how: list[str]) -> None:
    Image.fromarray(people[0]).save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", "--out", tmp_path / "out.png", *how)[0] == 0
    after = read_picture(tmp_path / "out.png").pixels
    assert not is_orange(people[0], after) and np.abs(after.astype(int) - people[0]).max() > 20


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.jpg", "--out", "x.jpg"], 2, "there is no file or folder nowhere.jpg"),
        (["--out", "x.jpg", "--feather", "3", "a.jpg"], 2, "feather"),
    ],
)
def test_mistakes_are_told_in_one_line(run: Run, arguments: list[str], code: int, said: str) -> None:
    found, _, err = run(*arguments)
    assert found == code and said in err and "Traceback" not in err


def test_the_training_pictures_say_how_the_network_wants_to_be_shown(tmp_path: Path, root: Path) -> None:
    from harness.ledger.records import Record
    from harness.photos.manifest import Manifest
    from harness.photos.settings import Settings
    from harness.use.swap import trained_on

    folder = tmp_path / "faces"
    Manifest(folder, "dst").begin(Settings(crop=1.7, background="black").deciding())
    record = Record("a", "a", 0, "done", data={"source": str(folder)})
    assert (trained_on(record)["crop"], trained_on(record)["background"]) == (1.7, "black")
    assert trained_on(Record("a", "a", 0, "done", data={"source": str(tmp_path)})) == {}
    assert trained_on(Record("a", "a", 0, "done", data={"source": "builtin"}))["background"] == "black"
