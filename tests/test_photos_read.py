"""Pictures are read as they are meant to be seen, and a bad one is named with its reason while the others go on."""

from __future__ import annotations

import io
import os
import struct
import zlib
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from harness.data.exr import write_exr
from harness.photos.light import linear, shown
from harness.photos.picture import BadPicture, Picture, read_picture
from harness.photos.reader import Read, Request, read
from harness.photos.sources import find

WHOLE = slice(None), slice(None)


@pytest.fixture
def corners() -> np.ndarray:
    """(40, 60, 3) uint8: red upper left, green upper right, blue lower left, grey lower right."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30], pixels[20:, 30:] = (220, 20, 20), (20, 220, 20), (
        20, 20, 220), (128, 128, 128)  # fmt: skip
    return pixels


def bomb(path: Path, side: int = 30_000) -> Path:
    """A PNG of a few bytes whose header claims `side` x `side` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.jpg", "name with 'quotes' \"and\" spaces.PNG"])
def test_a_picture_is_read_whatever_its_format_and_name(tmp_path: Path, corners: np.ndarray, name: str) -> None:
    Image.fromarray(corners).save(tmp_path / name, quality=95, **({"lossless": True} if "webp" in name else {}))
    picture = read_picture(tmp_path / name)
    assert picture.pixels.dtype == np.uint8 and picture.alpha is None and picture.notes == ()
    middle = (slice(4, 14), slice(4, 26))
    assert np.abs(picture.pixels[middle].astype(int) - corners[middle]).max() <= (6 if name.endswith("jpg") else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "16-bit"])
def test_every_exif_orientation_is_turned_upright(
    tmp_path: Path, corners: np.ndarray, orientation: int, kind: str
) -> None:
    lying = {
        1: corners, 2: corners[:, ::-1], 3: corners[::-1, ::-1], 4: corners[::-1], 5: corners.swapaxes(0, 1),
        6: np.rot90(corners, 1), 7: corners[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(corners, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    if kind == "jpg":
        Image.fromarray(np.ascontiguousarray(lying)).save(tmp_path / "a.jpg", quality=95, exif=exif)
        picture = read_picture(tmp_path / "a.jpg")
    else:
        deep = cv2.imencode(".png", np.ascontiguousarray(lying[..., ::-1]).astype(np.uint16) * 257)[1].tobytes()
        block = exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
        (tmp_path / "a.png").write_bytes(deep[:33] + chunk + deep[33:])
        picture = read_picture(tmp_path / "a.png")
        assert picture.pixels.dtype == np.uint16
    assert picture.pixels.shape == corners.shape
    assert np.abs(shown(picture)[[5, 5, 35], [10, 50, 10]].astype(int) - corners[[5, 5, 35], [10, 50, 10]]).max() < 8


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, channels: int, suffix: str) -> None:
    ramp = np.linspace(100, 65000, 64).astype(np.uint16).reshape(8, 8, 1).repeat(channels, axis=2)
    assert cv2.imwrite(str(tmp_path / f"a.{suffix}"), ramp)
    picture = read_picture(tmp_path / f"a.{suffix}")
    assert picture.pixels.shape == (8, 8, 3) and (picture.pixels[..., 1] == ramp[..., 0]).all()
    assert (picture.alpha is not None) == (channels == 4)


def test_a_colour_profile_is_applied(tmp_path: Path) -> None:
    """A profile whose red and blue are exchanged: what is stored as red is seen as blue."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.find(b"rXYZ"), profile.find(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    other = bytes(profile).replace("sRGB".encode("utf-16-be"), "none".encode("utf-16-be")).replace(b"sRGB", b"none")
    Image.new("RGB", (8, 8), (230, 10, 10)).save(tmp_path / "a.png", icc_profile=other)
    red_, _, blue_ = read_picture(tmp_path / "a.png").pixels[4, 4].astype(int)
    assert blue_ > 200 and red_ < 60


def test_cmyk_and_palettes_and_grey_become_rgb(tmp_path: Path, corners: np.ndarray) -> None:
    image = Image.fromarray(corners)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    image.quantize(8).save(tmp_path / "palette.png")
    image.convert("L").save(tmp_path / "grey.jpg")
    cmyk = read_picture(tmp_path / "cmyk.jpg")
    assert cmyk.pixels[5, 10, 0] > 180 and "CMYK" in cmyk.notes[0]
    assert np.abs(read_picture(tmp_path / "palette.png").pixels[5, 10].astype(int) - corners[5, 10]).max() < 30
    assert read_picture(tmp_path / "grey.jpg").pixels.shape == (40, 60, 3)


def test_linear_light_is_premultiplied_by_alpha(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 255, 255, 128]], [[255, 188, 0, 255]]], np.uint8)).save(tmp_path / "a.png")
    found = linear(read_picture(tmp_path / "a.png"), *WHOLE)
    assert found[0, 0] == pytest.approx([128 / 255] * 4)
    assert found[1, 0] == pytest.approx([1, 0.5029, 0, 1], abs=1e-3)


def test_exr_stays_in_linear_light(tmp_path: Path) -> None:
    rgba = np.full((4, 6, 8), 0.25, np.float32)
    rgba[0, 0, 0], rgba[3] = 3.0, 0.5
    write_exr(tmp_path / "a.exr", rgba)
    picture = read_picture(tmp_path / "a.exr")
    assert picture.encoding == "linear" and np.array_equal(linear(picture, *WHOLE).transpose(2, 0, 1), rgba)


def damaged(folder: Path) -> dict[str, str]:
    """Files that cannot be read, and a part of the reason that is expected."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    for suffix in ("jpg", "png", "webp", "tif"):
        buffer = io.BytesIO()
        image.save(buffer, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
        (folder / f"cut.{suffix}").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) // 2])
    (folder / "text.jpg").write_text("no picture at all")
    (folder / "cut.exr").write_bytes(b"\x76\x2f\x31\x01" + b"\0" * 20)
    bomb(folder / "bomb.png")
    bomb(folder / "large.png", 12_000)
    Image.fromarray(np.zeros((4, 4), np.float32)).save(folder / "float.tif")
    return {
        "cut.jpg": "truncated", "cut.png": "damaged", "cut.webp": "damaged|not a picture", "cut.tif": "damaged|not a",
        "text.jpg": "not a picture", "cut.exr": "damaged", "bomb.png": "claims more than the allowed 134,217,728",
        "large.png": "12000 x 12000 pixels, more than", "float.tif": "save it as EXR",
    }  # fmt: skip


def test_each_bad_picture_is_named_and_the_others_go_on(tmp_path: Path, corners: np.ndarray) -> None:
    reasons = damaged(tmp_path)
    Image.fromarray(corners).save(tmp_path / "good.png")
    names = [*reasons, "good.png"]
    with closing(read([Request(str(tmp_path / name)) for name in names])) as reads:
        ends = {names[item.index]: item for item in reads if item.picture is None}
    assert ends["good.png"].reason is None
    for name, part in reasons.items():
        assert any(p in str(ends[name].reason) for p in part.split("|")), (name, ends[name].reason)


def test_a_file_that_kills_its_decoder_is_named(
    tmp_path: Path, corners: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, harness.photos.picture as picture\n"
        "own = picture.read_picture\n"
        "picture.read_picture = lambda path: os.abort() if 'killer' in path else own(path)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("a.png", "killer.png", "b.png"):
        Image.fromarray(corners).save(tmp_path / name)
    reads = list(read(Request(str(tmp_path / name)) for name in ("a.png", "killer.png", "b.png")))
    assert [(item.index, item.reason) for item in reads if item.picture is None] == [
        (0, None), (1, "damaged: its decoder crashed (signal 6)"), (2, None)
    ]  # fmt: skip
    assert sum(item.picture is not None for item in reads) == 2


def test_reading_can_be_left_in_the_middle(tmp_path: Path, corners: np.ndarray) -> None:
    Image.fromarray(corners).save(tmp_path / "a.png")
    with closing(read(Request(str(tmp_path / "a.png")) for _ in range(100))) as reads:
        first = next(reads)
    assert isinstance(first, Read) and isinstance(first.picture, Picture)
    assert np.array_equal(first.picture.pixels, corners)


def test_sources_stand_in_natural_order_and_the_unusable_are_known_at_once(tmp_path: Path) -> None:
    for name in ("IMG_10.jpg", "IMG_9.jpg", ".hidden.jpg", "notes.txt", "sub/c.png", "live.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    found = find([tmp_path])
    reasons = {source.path.name: source.reason for source in found.sources}
    readable = [name for name, reason in reasons.items() if reason is None]
    assert readable == ["IMG_9.jpg", "IMG_10.jpg", "c.png"] and found.ignored == {".txt": 1}
    assert reasons["empty.jpg"] == "empty file" and reasons["folder.jpg"] == "is an empty folder"
    assert "no regular file" in str(reasons["pipe.png"]) and "No such file" in str(reasons["gone.jpg"])
    assert "Convert it to one of jpg" in str(reasons["live.HEIC"])


def test_a_named_file_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"x")
    assert "a name without suffix is not read" in str(find([tmp_path / "picture"]).sources[0].reason)


def test_what_a_tool_put_behind_a_picture_is_not_opened(tmp_path: Path, corners: np.ndarray) -> None:
    """A pickle in a JPEG's APP15, as one tool for aligned faces writes it, is not run."""
    buffer = io.BytesIO()
    Image.fromarray(corners).save(buffer, format="JPEG")
    mark = tmp_path / "was-run"
    evil = b"\x80\x04cos\nsystem\n(V" + f"touch {mark}".encode() + b"\ntR."
    raw = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(raw[:2] + b"\xff\xef" + struct.pack(">H", len(evil) + 2) + evil + raw[2:])
    assert read_picture(tmp_path / "a.jpg").pixels.shape == corners.shape and not mark.exists()


def test_more_memory_than_there_is_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def starved(path: object) -> Picture:
        raise MemoryError

    monkeypatch.setattr("harness.photos.picture._photograph", starved)
    with pytest.raises(BadPicture, match="more memory"):
        read_picture(tmp_path / "a.png")
