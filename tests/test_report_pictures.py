"""The pictures of a report: reduced until they fit, differences and skin patches, marks of many variants."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import numpy as np
import pytest
from fake_ledger import trial_name, write_ledger
from PIL import Image

from harness.ledger.table import load
from harness.report import details, figures, pictures
from harness.report.numbers import Numbers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("results") / "bottleneck")


def test_large_pictures_are_reduced_until_they_fit_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = write_ledger(tmp_path / "big", grids=(3, 5), replicates=1, tile=8)
    for path in place.glob("trials/*/pictures/[fmw]*.png"):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64 * 6, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    table = load(place)
    assert (pictures.gallery(table).tile, pictures.gallery(table).reduced) == (192, False)
    monkeypatch.setattr(pictures, "BUDGET", 200_000)
    small = pictures.gallery(table)
    assert (small.tile, small.reduced) == (48, True)
    assert sum(len(p.source) for group in small.groups for p in group.pictures) < 200_000


def test_differences_and_skin_patches_come_from_the_strips(folder: Path) -> None:
    strip = folder / "trials" / trial_name("grid7", 0) / "pictures" / "fixed-0.png"
    row = details.tiles(strip).astype(int)
    assert row.shape == (6, 64, 64, 3)
    shown = np.asarray(details.difference(strip)).astype(int)
    assert shown.shape == (64, 128, 3)
    assert np.array_equal(shown[:, :64], np.minimum(2 * abs(row[2] - row[5]), 255))
    assert np.array_equal(shown[:, 64:], np.minimum(2 * abs(row[3] - row[0]), 255))
    top, left = details.flattest(row[5].astype(np.uint8), 8)
    patch = np.asarray(details.skin(strip, (top, left), 8))
    assert np.array_equal(patch[:, :8], row[2][top : top + 8, left : left + 8])
    assert row[5][top : top + 8, left : left + 8, 0].min() > row[5][top : top + 8, left : left + 8, 2].max()  # skin


def test_a_mesh_is_strengthened_and_shading_is_not(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(100, 140, 16), (16, 1))
    mesh = ramp + 4 * (np.indices((16, 16)).sum(0) % 2)
    row = np.concatenate([ramp] * 2 + [mesh] + [ramp] * 3, axis=1)
    Image.fromarray(np.repeat(row[..., None], 3, axis=2).round().astype(np.uint8)).save(tmp_path / "strip.png")
    swap = np.asarray(details.skin(tmp_path / "strip.png", (4, 4), 8)).astype(float)[..., 0]
    truth = np.asarray(details.skin(tmp_path / "strip.png", (4, 4), 8, 5)).astype(float)[..., 0]
    assert abs(np.diff(swap[:, 8:], axis=0)).mean() == pytest.approx(
        4 * abs(np.diff(swap[:, :8], axis=0)).mean(), rel=0.1
    )
    assert abs(truth[:, 8:] - truth[:, :8]).max() <= 2


def test_many_variants_get_a_legend_and_marks_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {3: "a rather long name of a variant, too long for a plot", **{g: f"variant{g}" for g in (4, 5, 6, 7)}}
    numbers = Numbers(load(write_ledger(tmp_path / "m", labels=labels, replicates=2, tile=8)))
    assert len({figures.style(k)[:2] for k in range(24)}) == 24
    arguments = (numbers, "swap_images_per_s", "identity_transfer", "Identity transfer against speed", True)
    assert "a rather long name of a v…" not in figures.plane(*arguments)
    monkeypatch.setattr(figures, "NAMED", 4)
    drawn = figures.plane(*arguments)
    assert "a rather long name of a v…" in drawn  # a legend has more room than the plane
    assert "◆" in drawn and "too long for a plot" in unescape(drawn)  # in the description, not cut
    assert all(name in drawn for name in ("variant4", "variant7"))
