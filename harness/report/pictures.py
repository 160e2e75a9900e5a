"""The picture rows of a trial as data addresses, small enough for one file."""

from __future__ import annotations

import base64
import functools
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from harness.report.load import Key, Table, Trial

COLUMNS = ("src", "src rec", "src→dst", "dst→src", "dst rec", "dst")
MEANING = (
    "Column 6 (dst) is the exact truth of column 3 (src→dst); column 1 (src) is the exact truth of column 4 (dst→src)."
)
BUDGET = 2_600_000  # bytes of image data in a page; base64 and the rest of the page come on top, 5 MB in all
TILES = (192, 160, 128, 96, 64, 48)
TOGETHER = 24  # variants with pictures; the rest of a larger suite is named as absent


@dataclass(frozen=True)
class Picture:
    """One image. ``width`` and ``height`` are its pixels in the page."""

    label: str
    source: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class Group:
    """The same face for every variant."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Gallery:
    """Picture groups, spectra, and the replicate they come from."""

    replicate: Key | None
    groups: tuple[Group, ...]
    spectra: tuple[Picture, ...]
    tile: int  # pixels of one face as shown; smaller than drawn when the page would grow too large
    reduced: bool
    absent: tuple[str, ...]  # variants that have no pictures of this replicate


def gallery(table: Table) -> Gallery:
    """Pictures of the first replicate that every variant (or most of them) has finished."""
    key = _replicate(table)
    trials = [t for v in table.variants[:TOGETHER] for t in [v.done.get(key)] if t is not None] if key else []
    names = sorted({p.name for t in trials for p in (t.folder / "pictures").glob("fixed-*.png")})
    files = [
        *((name, f"Face {i + 1}") for i, name in enumerate(names)),
        ("median.png", "Median case of each variant, by swap error"),
        ("worst.png", "Worst case of each variant, by swap error"),
    ]
    spectra = tuple(
        _picture(path, t, "power spectrum of the swap residual, level-marked", 288)
        for t in trials
        if (path := t.folder / "pictures" / "spectrum.png").is_file()
    )
    left = BUDGET - sum(len(p.source) for p in spectra)
    for tile in TILES:
        groups, reduced, size = [], False, 0
        for name, title in files:
            shown = []
            for trial in trials:
                path = trial.folder / "pictures" / name
                if path.is_file():
                    picture = _picture(path, trial, f"{title.lower()}, six columns: {', '.join(COLUMNS)}", tile * 6)
                    reduced = reduced or _width(path) > tile * 6
                    size += len(picture.source)
                    shown.append(picture)
            if shown:
                groups.append(Group(title, tuple(shown)))
        if size <= left or tile == TILES[-1]:
            break
    absent = tuple(v.label for v in table.variants if v.label not in {trial.label for trial in trials})
    return Gallery(key, tuple(groups), spectra, tile, reduced, absent)


def _replicate(table: Table) -> Key | None:
    """The replicate that most variants have, the earliest of them."""
    tally: dict[Key, int] = {}
    for trial in table.done:
        tally[trial.key] = tally.get(trial.key, 0) + 1
    return min(tally, key=lambda key: (-tally[key], key)) if tally else None


def _width(path: Path) -> int:
    with Image.open(path) as image:
        return image.width


def _picture(path: Path, trial: Trial, what: str, widest: int) -> Picture:
    source, width, height = _encoded(path, path.stat().st_mtime_ns, widest)
    return Picture(trial.label, source, f"{trial.label}, {what}", width, height)


@functools.lru_cache(maxsize=512)
def _encoded(path: Path, changed: int, widest: int) -> tuple[str, int, int]:
    """(data address, width, height): lossless, because lossy blocks would look like a checkerboard of their own."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if image.width > widest:
        image = image.resize((widest, max(1, round(image.height * widest / image.width))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", lossless=True, quality=75, method=4, exact=True)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", image.width, image.height
