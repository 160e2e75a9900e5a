"""Pasting back: an identity network changes nothing, a plain one changes the face and no byte beside it."""

from __future__ import annotations

import numpy as np
import photo_files
import pytest

from harness.photos import align, light, matte
from harness.use.paste import Pasting, feathered, matched, paste

SIZE = 128
POINTS = align.template(1.35, 120) @ np.array([[0.94, 0.34], [-0.34, 0.94]]) + [150, 70]
MATRIX = align.similarity(POINTS, align.template(1.35, SIZE))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return photo_files.background(np.random.default_rng(2))


@pytest.fixture(scope="module")
def hull() -> np.ndarray:
    return matte.hull(align.moved(POINTS, MATRIX), SIZE)


def crop_of(picture: np.ndarray) -> np.ndarray:
    return light.to_shown(align.warp(light.from_bytes(picture), MATRIX, (SIZE, SIZE)))


@pytest.mark.parametrize(
    "how", [Pasting(), Pasting(colour="match"), Pasting(feather=0, shrink=0), Pasting(feather=0.2)]
)
def test_what_the_network_leaves_as_it_is_stays_as_it_is(picture: np.ndarray, hull: np.ndarray, how: Pasting) -> None:
    seen = crop_of(picture)
    out = paste(picture, seen, hull, MATRIX, how, seen)
    assert out.shape == picture.shape and np.abs(out.astype(int) - picture).max() <= 4


@pytest.mark.parametrize("how", [Pasting(), Pasting(blend="seamless"), Pasting(feather=0.1, shrink=0)])
def test_outside_of_the_matte_every_byte_stays(picture: np.ndarray, hull: np.ndarray, how: Pasting) -> None:
    flat = np.full((SIZE, SIZE, 3), 0.9)
    out = paste(picture, flat, hull, MATRIX, how, crop_of(picture))
    there = align.warp(hull[..., None], align.inverse(MATRIX), picture.shape[:2])[..., 0]
    if how.feather <= 0.05:
        assert np.array_equal(out[there < 0.01], picture[there < 0.01])
    rows, columns = align.region(MATRIX, SIZE, picture.shape[:2], margin=0)
    outside = np.ones(picture.shape[:2], bool)
    outside[rows, columns] = False
    assert np.array_equal(out[outside], picture[outside])
    if how.blend == "feather":
        middle = POINTS.mean(0).round().astype(int)
        assert out[middle[1], middle[0]] == pytest.approx([230] * 3, abs=2)


def test_weights_are_soft_inside_the_matte_and_nothing_at_the_rim() -> None:
    full = np.ones((64, 64), np.float32)
    weights = feathered(full, Pasting())
    assert weights[[0, -1]].max() == 0 and weights[:, [0, -1]].max() == 0 and weights[32, 32] == pytest.approx(1)
    assert np.abs(np.diff(weights, axis=0)).max() < 0.35
    hull = matte.hull(align.template(1.35, 64), 64)
    assert feathered(hull, Pasting(shrink=0.05)).sum() < feathered(hull, Pasting(shrink=0.0)).sum() < 1.05 * hull.sum()


def test_matched_colours_have_the_mean_and_spread_of_what_they_cover() -> None:
    import cv2

    rng = np.random.default_rng(0)
    driver = (0.4 + 0.1 * rng.random((32, 32, 3))).astype(np.float32)
    swap = (0.6 + 0.15 * rng.random((32, 32, 3))).astype(np.float32)
    got = matched(swap, driver, np.ones((32, 32), np.float32))
    ours, theirs = (cv2.cvtColor(x, cv2.COLOR_RGB2Lab).reshape(-1, 3) for x in (got, driver))
    assert ours.mean(0) == pytest.approx(theirs.mean(0), abs=0.2)
    assert ours.std(0) == pytest.approx(theirs.std(0), rel=0.1)
    assert np.array_equal(matched(swap, driver, np.zeros((32, 32), np.float32)), swap)


def test_seamless_cloning_takes_the_colours_of_the_rim(picture: np.ndarray, hull: np.ndarray) -> None:
    grey = np.full_like(picture, 90)
    out = paste(grey, np.full((SIZE, SIZE, 3), 0.9), hull, MATRIX, Pasting(blend="seamless"), crop_of(grey))
    assert np.abs(out.astype(int) - 90).max() <= 3  # a flat face has no gradients of its own


def test_a_face_that_leaves_the_picture_is_pasted_as_far_as_it_is_there(hull: np.ndarray) -> None:
    small = photo_files.background(np.random.default_rng(4), (110, 150))
    matrix = MATRIX.copy()
    matrix[:, 2] += MATRIX[:, :2] @ [100, 60]
    seen = light.to_shown(align.warp(light.from_bytes(small), matrix, (SIZE, SIZE)))
    cover = align.warp(np.ones((*small.shape[:2], 1), np.float32), matrix, (SIZE, SIZE))[..., 0]
    for how in (Pasting(), Pasting(blend="seamless")):
        out = paste(small, seen, hull * cover, matrix, how, seen)
        assert np.abs(out.astype(int) - small).max() <= 6


def test_linear_light_is_pasted_in_linear_light(picture: np.ndarray, hull: np.ndarray) -> None:
    linear = light.from_bytes(picture) * 3  # brighter than white
    out = paste(linear, np.full((SIZE, SIZE, 3), 0.5), hull, MATRIX, Pasting(), crop_of(picture))
    middle = POINTS.mean(0).round().astype(int)
    assert out.dtype == np.float32 and out[middle[1], middle[0]] == pytest.approx([0.214] * 3, abs=0.01)
    assert np.array_equal(out[:20], linear[:20])
