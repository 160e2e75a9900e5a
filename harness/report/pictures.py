"""The picture rows of a trial as data addresses, small enough for one file."""

from __future__ import annotations

import base64
import functools
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from harness.ledger.table import Key, Outcome, Table
from harness.report import details

COLUMNS = ("src", "src rec", "src→dst", "dst→src", "dst rec", "dst")
MEANING = (
    "Column 6 (dst) is the exact truth of column 3 (src→dst); column 1 (src) is the exact truth of column 4 (dst→src). "
    "The two tiles beside or below them are the differences |swap − truth|, "
    f"shown {details.BRIGHTER} times as bright: black is exact."
)
BUDGET = 1_900_000  # bytes of image data in these rows; contact sheets, animation and plots come on top, 5 MB in all
QUALITY = 75  # of the rows; their pixels are shown exactly in the skin patches
TILES = (192, 160, 128, 96, 64, 48)
TOGETHER = 24  # variants with pictures; the rest of a larger suite is named as absent
PATCH = 8  # a skin patch is an eighth of the tile wide


@dataclass(frozen=True)
class Picture:
    """One image. ``width`` and ``height`` are its pixels in the page; ``difference`` stands beside it."""

    label: str
    source: str
    alt: str
    width: int
    height: int
    difference: Picture | None = None

    @property
    def size(self) -> int:
        return len(self.source) + (self.difference.size if self.difference else 0)


@dataclass(frozen=True)
class Group:
    """The same face for every variant."""

    title: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Gallery:
    """Picture groups, spectra, skin patches, and the replicate they come from."""

    replicate: Key | None
    groups: tuple[Group, ...]
    spectra: tuple[Picture, ...]
    skin: tuple[Picture, ...]
    tile: int  # pixels of one face as shown; smaller than drawn when the page would grow too large
    reduced: bool
    absent: tuple[str, ...]  # variants that have no pictures of this replicate

    @property
    def cases(self) -> list[str]:
        """Which of the median and the worst case are among the groups; a copy may leave them out."""
        return [word for word in ("median", "worst") if any(g.title.lower().startswith(word) for g in self.groups)]


def gallery(table: Table) -> Gallery:
    """Pictures of the first replicate that every variant (or most of them) has finished."""
    key = _replicate(table)
    trials = [t for v in table.variants[:TOGETHER] for t in [v.done.get(key)] if t is not None] if key else []
    names = sorted({name for t in trials for name in t.pictures if name.startswith("fixed-")})
    files = [
        *((name, f"Face {i + 1}") for i, name in enumerate(names)),
        ("median.png", "Median case of each variant, by swap error"),
        ("worst.png", "Worst case of each variant, by swap error"),
    ]
    spectra = tuple(
        _picture(
            path,
            t,
            f"power spectrum of the {'swap residual' if t.part('data').get('truth') else 'swaps'}, level-marked",
            288,
        )
        for t in trials
        if (path := t.pictures.get("spectrum.png"))
    )
    left = BUDGET - sum(p.size for p in spectra)
    for tile in TILES:
        groups, reduced, size = [], False, 0
        for name, title in files:
            shown = [p for t in trials if (p := _strip(t, name, title, tile))]
            reduced = reduced or any(_width(t.pictures.get(name)) > tile * 6 for t in trials)
            size += sum(p.size for p in shown)
            if shown:
                groups.append(Group(title, tuple(shown)))
        if size <= left or tile == TILES[-1]:
            break
    absent = tuple(v.label for v in table.variants if v.label not in {trial.label for trial in trials})
    patches = _skin(trials, names[0]) if names else ()
    return Gallery(key, tuple(groups), spectra, patches, tile, reduced, absent)


def _replicate(table: Table) -> Key | None:
    """The replicate that most variants have, the earliest of them."""
    tally: dict[Key, int] = {}
    for trial in table.done:
        tally[trial.key] = tally.get(trial.key, 0) + 1
    return min(tally, key=lambda key: (-tally[key], key)) if tally else None


def _width(path: Path | None) -> int:
    if path is None:
        return 0
    with Image.open(path) as image:
        return image.width


def _strip(trial: Outcome, name: str, title: str, tile: int) -> Picture | None:
    path = trial.pictures.get(name)
    if path is None:
        return None
    beside = None
    if trial.part("data").get("truth") and _width(path) % 6 == 0:
        image = _differences(path, path.stat().st_mtime_ns, 2 * tile)
        beside = Picture(trial.label, image[0], f"{trial.label}, {title.lower()}, difference to the truth", *image[1:])
    what = f"{title.lower()}, six columns: {', '.join(COLUMNS)}"
    plain = _picture(path, trial, what, tile * 6)
    return Picture(plain.label, plain.source, plain.alt, plain.width, plain.height, beside)


def _skin(trials: list[Outcome], name: str) -> tuple[Picture, ...]:
    """The same flat patch of the same face from every variant's swap, the truth's first; empty without truth."""
    paths = [(t, path) for t in trials if (path := t.pictures.get(name))]
    if not paths or not all(t.part("data").get("truth") for t, _ in paths):
        return ()
    first = details.tiles(paths[0][1])
    size = max(2, first.shape[1] // PATCH)
    place = details.flattest(first[details.TRUTH[0]], size)
    truth = webp(details.skin(paths[0][1], place, size, details.TRUTH[0]), exact=True)
    shown = [
        Picture(
            "exact truth", truth[0], "exact truth, a patch of skin, plain and with its detail strengthened", *truth[1:]
        )
    ]
    for trial, path in paths:
        if details.tiles(path).shape == first.shape:
            patch = webp(details.skin(path, place, size), exact=True)
            alt = f"{trial.label}, the same patch of skin in its swap, plain and with its detail strengthened"
            shown.append(Picture(trial.label, patch[0], alt, *patch[1:]))
    return tuple(shown)


def _picture(path: Path, trial: Outcome, what: str, widest: int) -> Picture:
    source, width, height = _encoded(path, path.stat().st_mtime_ns, widest)
    return Picture(trial.label, source, f"{trial.label}, {what}", width, height)


@functools.lru_cache(maxsize=512)
def _encoded(path: Path, changed: int, widest: int) -> tuple[str, int, int]:
    with Image.open(path) as opened:
        return webp(opened.convert("RGB"), widest)


@functools.lru_cache(maxsize=512)
def _differences(path: Path, changed: int, widest: int) -> tuple[str, int, int]:
    return webp(details.difference(path), widest)


def webp(image: Image.Image, widest: int = 4096, exact: bool = False) -> tuple[str, int, int]:
    """(data address, width, height). Skin patches are `exact`: lossy blocks would look like a checkerboard."""
    if image.width > widest:
        image = image.resize((widest, max(1, round(image.height * widest / image.width))), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", lossless=exact, quality=75 if exact else QUALITY, method=4, exact=exact)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}", image.width, image.height
