"""EXR files: what is read is what was written, and every kind of bad file is an error with a reason."""

import random
import struct
import time
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from harness.data.exr import BadImage, read_exr, read_image, write_exr


@pytest.fixture
def picture() -> np.ndarray:
    """(4, 48, 48) premultiplied, smooth, exact in half floats."""
    y, x = np.mgrid[0:48, 0:48] / 48
    matte = np.clip(1.5 - 3 * np.hypot(x - 0.5, y - 0.5), 0, 1)
    rgb = np.stack((np.sin(3 * x + y) ** 2, x * y, 1 - y)) * matte
    return np.concatenate((rgb, matte[None])).astype(np.float16).astype(np.float32)


def write_raw(path: Path, planes: dict[str, np.ndarray], **header: object) -> Path:
    base = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    contiguous = {name: np.ascontiguousarray(plane) for name, plane in planes.items()}
    OpenEXR.File({**base, **header}, contiguous).write(str(path))
    return path


def reason(path: Path, **options: object) -> str:
    with pytest.raises(BadImage) as caught:
        read_exr(path, **options)
    assert caught.value.path == path
    assert str(path) in str(caught.value)
    return caught.value.reason


def with_window(raw: bytes, name: bytes, *box: int) -> bytes:
    at = raw.index(name + b"\0box2i\0") + len(name) + 11
    return raw[:at] + struct.pack("<4i", *box) + raw[at + 16 :]


@pytest.mark.parametrize("half", [True, False])
def test_a_written_image_reads_back_exactly(tmp_path, picture, half):
    exact = picture if half else picture * np.float32(0.9999999)
    write_exr(tmp_path / "a.exr", exact, half=half)
    read = read_image(tmp_path / "a.exr")
    np.testing.assert_array_equal(read.pixels, exact)
    assert read.pixels.dtype == np.float32
    assert read.notes == ()
    assert [p.name for p in tmp_path.iterdir()] == ["a.exr"]


def test_arrays_that_are_not_contiguous_are_written_right(tmp_path, picture):
    interleaved = np.ascontiguousarray(picture.transpose(1, 2, 0)).transpose(2, 0, 1)
    for name, view, expected in (
        ("interleaved", interleaved, picture),
        ("mirrored", picture[:, :, ::-1], picture[:, :, ::-1]),
        ("every other", picture[:, ::2, ::2], picture[:, ::2, ::2]),
        ("turned", picture.transpose(0, 2, 1), picture.transpose(0, 2, 1)),
    ):
        assert not view[0].flags.c_contiguous
        write_exr(tmp_path / f"{name}.exr", view)
        np.testing.assert_array_equal(read_exr(tmp_path / f"{name}.exr"), expected)


def test_straight_alpha_is_multiplied_and_nothing_is_divided(tmp_path, picture):
    straight = np.concatenate((np.full((3, 48, 48), 0.5, np.float32), picture[3:]))
    write_exr(tmp_path / "a.exr", straight)
    read = read_exr(tmp_path / "a.exr", alpha="straight")
    np.testing.assert_array_equal(read[:3], 0.5 * np.broadcast_to(picture[3], (3, 48, 48)))
    assert read[:, picture[3] == 0].max() == 0.0
    np.testing.assert_array_equal(read_exr(tmp_path / "a.exr"), straight)


def test_a_missing_matte_is_full_and_noted(tmp_path, picture):
    read = read_image(write_raw(tmp_path / "a.exr", dict(zip("RGB", picture[:3], strict=True))))
    assert (read.pixels[3] == 1).all()
    assert "full matte" in read.notes[0]


def test_alpha_beyond_its_range_is_clipped_and_noted(tmp_path, picture):
    picture[3] = picture[3] * 1.5 - 0.25
    write_exr(tmp_path / "a.exr", picture)
    read = read_image(tmp_path / "a.exr")
    assert read.pixels[3].min() == 0 and read.pixels[3].max() == 1
    assert "clipped" in read.notes[0]


def test_a_cropped_data_window_lies_at_its_place_in_the_display_window(tmp_path, picture):
    window = {"dataWindow": ([10, 20], [57, 67]), "displayWindow": ([0, 0], [63, 71])}
    window = {name: tuple(np.array(corner, np.int32) for corner in box) for name, box in window.items()}
    read = read_image(write_raw(tmp_path / "a.exr", dict(zip("RGBA", picture, strict=True)), **window))
    expected = np.zeros((4, 72, 64), np.float32)
    expected[:, 20:68, 10:58] = picture
    np.testing.assert_array_equal(read.pixels, expected)
    assert "data window" in read.notes[0]


def test_missing_colour_channels_are_named_beside_those_that_are_there(tmp_path, picture):
    path = write_raw(tmp_path / "a.exr", {"Z": picture[0], "left.R": picture[1]})
    assert "R, G, B" in reason(path) and "left.R" in reason(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, picture, value):
    picture[1, 5, 7:9] = value
    path = write_raw(tmp_path / "a.exr", dict(zip("RGBA", picture, strict=True)))
    assert "2 values are not finite" in reason(path)
    with pytest.raises(ValueError, match="not finite"):
        write_exr(tmp_path / "b.exr", picture)
    assert not (tmp_path / "b.exr").exists()


def test_integer_channels_are_refused(tmp_path, picture):
    planes = dict(zip("RGBA", picture, strict=True)) | {"R": np.ones((48, 48), np.uint32)}
    assert "uint32" in reason(write_raw(tmp_path / "a.exr", planes))


def test_multi_part_files_are_refused(tmp_path, picture):
    parts = [OpenEXR.Part({}, {c: picture[i].copy() for i, c in enumerate("RGBA")}, name=n) for n in ("left", "right")]
    OpenEXR.File(parts).write(str(tmp_path / "a.exr"))
    assert "2 parts" in reason(tmp_path / "a.exr")


def test_deep_images_are_refused(tmp_path):
    samples = np.empty((4, 4), object)
    for place in np.ndindex(4, 4):
        samples[place] = np.ones(2, np.float32)
    header = {"compression": OpenEXR.ZIPS_COMPRESSION, "type": OpenEXR.deepscanline}
    OpenEXR.File(header, {c: samples for c in "RGBA"}).write(str(tmp_path / "a.exr"))
    assert "deep" in reason(tmp_path / "a.exr")


@pytest.mark.parametrize("window", [b"dataWindow", b"displayWindow"])
def test_a_header_that_claims_a_huge_size_is_refused_before_decoding(tmp_path, picture, window):
    write_exr(tmp_path / "a.exr", picture)
    raw = (tmp_path / "a.exr").read_bytes()
    (tmp_path / "huge.exr").write_bytes(with_window(raw, window, 0, 0, 99_999, 99_999))
    start = time.perf_counter()
    assert "100000 x 100000 pixels" in reason(tmp_path / "huge.exr")
    assert time.perf_counter() - start < 0.5
    assert "more than the allowed 2,000" in reason(tmp_path / "a.exr", max_pixels=2000)
    (tmp_path / "endless.exr").write_bytes(with_window(raw, window, -(2**30), -(2**30), 2**30, 2**30))
    assert reason(tmp_path / "endless.exr")


@pytest.mark.parametrize("box", [(0, 0, 47, 95), (0, 0, 95, 47), (5, 5, 0, 0)])
def test_a_header_that_claims_another_size_than_its_pixels_is_refused(tmp_path, picture, box, capfd):
    write_exr(tmp_path / "a.exr", picture)
    raw = (tmp_path / "a.exr").read_bytes()
    (tmp_path / "a.exr").write_bytes(with_window(raw, b"dataWindow", *box))
    assert reason(tmp_path / "a.exr")


def test_a_missing_an_empty_and_a_foreign_file_are_told_apart(tmp_path):
    (tmp_path / "empty.exr").touch()
    (tmp_path / "text.exr").write_text("this is not an image " * 40)
    assert reason(tmp_path / "none.exr") == "no such file"
    assert reason(tmp_path / "empty.exr") == "empty file"
    assert "not an EXR file" in reason(tmp_path / "text.exr")


def test_every_truncation_is_refused_and_stdout_stays_clean(tmp_path, picture, capfd):
    write_exr(tmp_path / "a.exr", picture)
    raw = (tmp_path / "a.exr").read_bytes()
    for length in [*range(1, len(raw), len(raw) // 40), len(raw) - 1]:
        (tmp_path / "cut.exr").write_bytes(raw[:length])
        assert "damaged" in reason(tmp_path / "cut.exr") or length < 8
    assert capfd.readouterr().out == ""


def test_flipped_bits_are_refused_or_harmless_in_nearly_every_file(tmp_path, picture, capfd):
    """EXR itself has no checksum but ZIP's: what passes it is counted; the store has hashes of its own."""
    write_exr(tmp_path / "a.exr", picture)
    raw = (tmp_path / "a.exr").read_bytes()
    rng = random.Random(0)
    refused = harmless = silent = 0
    for _ in range(200):
        place = rng.randrange(8 * len(raw))
        flipped = bytearray(raw)
        flipped[place // 8] ^= 1 << place % 8
        (tmp_path / "b.exr").write_bytes(flipped)
        try:
            same = np.array_equal(read_exr(tmp_path / "b.exr"), picture)
        except BadImage:
            refused += 1
        else:
            harmless, silent = harmless + same, silent + (not same)
    assert refused + harmless + silent == 200
    assert refused >= 185 and silent <= 2, (refused, harmless, silent)


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8), (8, 8, 4)])
def test_only_four_planes_can_be_written(tmp_path, shape):
    with pytest.raises(ValueError, match="expected RGBA"):
        write_exr(tmp_path / "a.exr", np.zeros(shape, np.float32))


def test_light_too_bright_for_half_floats_needs_full_floats(tmp_path, picture):
    picture[0, 0, 0] = 1e5
    with pytest.raises(ValueError, match="half=False"):
        write_exr(tmp_path / "a.exr", picture)
    write_exr(tmp_path / "a.exr", picture, half=False)
    assert read_exr(tmp_path / "a.exr")[0, 0, 0] == 1e5
