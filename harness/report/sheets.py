"""Contact sheets: every replicate's people, one column for each variant. The page cuts its views from them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.ledger.table import Key, Outcome, Table
from harness.report import details
from harness.report.clearest import same_faces
from harness.report.pictures import TOGETHER, Picture, webp

BUDGET = 1_300_000  # bytes of all sheets in a page, as data addresses
CHOICES = (
    (192, 4, 2),
    (128, 4, 2),
    (128, 4, 1),
    (96, 4, 1),
    (96, 2, 1),
    (64, 2, 1),
    (64, 1, 1),
    (48, 1, 1),
    (32, 1, 1),
)
WAYS = (("src→dst", 0, 2, 5), ("dst→src", 5, 3, 0))  # name, and the columns of driver, swap and truth in a row's file


@dataclass(frozen=True)
class Sheet:
    """One replicate. ``rows`` names its faces; the columns are those of `Sheets`."""

    replicate: str
    rows: tuple[str, ...]
    picture: Picture


@dataclass(frozen=True)
class Sheets:
    """``columns``: driver, exact truth (where there is one), then the variants; ``tile``: pixels of a face."""

    columns: tuple[str, ...]
    tile: int
    sheets: tuple[Sheet, ...]


def sheets(table: Table) -> Sheets | None:
    """Sheets of all replicates with pictures, as large and as many faces as the budget allows; None without any."""
    labels = [variant.label for variant in table.variants[:TOGETHER]]
    by_key = {key: _trials(table, labels, key) for key in sorted({trial.key for trial in table.done})}
    by_key = {key: trials for key, trials in by_key.items() if trials}
    if not by_key:
        return None
    truth = all(t.part("data").get("truth") for trials in by_key.values() for t in trials.values())
    own = truth and not all(map(_of_one_face, by_key.values()))
    columns: tuple[str, ...] = ("driver", *(("exact truth",) if truth else ()), *labels)
    if own:  # the suite varies the faces themselves: each variant stands beside what it was asked for
        columns = tuple(column for label in labels for column in (f"exact truth of {label}", label))
    native = max(details.tiles(_fixed(t)[0][1]).shape[1] for trials in by_key.values() for t in trials.values())
    for tile, faces, ways in CHOICES:
        size = min(tile, native)
        made = tuple(
            _sheet(key, trials, columns, labels, truth, own, size, faces, ways, len(by_key))
            for key, trials in by_key.items()
        )
        if sum(sheet.picture.size for sheet in made) <= BUDGET:
            break
    return Sheets(columns, size, made)


def _trials(table: Table, labels: Sequence[str], key: Key) -> dict[str, Outcome]:
    """The trials of a replicate that left rows of six tiles."""
    found = {v.label: v.done[key] for v in table.variants if v.label in labels and key in v.done}
    return {label: trial for label, trial in found.items() if _fixed(trial) and _readable(trial)}


def _of_one_face(trials: dict[str, Outcome]) -> bool:
    """Whether all trials of a replicate were shown the same faces."""
    rows = [_tiles(path, path.stat().st_mtime_ns) for trial in trials.values() for _, path in _fixed(trial)[:1]]
    return all(same_faces(rows[0], row) for row in rows[1:])


def _fixed(trial: Outcome) -> list:
    return sorted((name, path) for name, path in trial.pictures.items() if name.startswith("fixed-"))


def _readable(trial: Outcome) -> bool:
    try:
        return all(len(_tiles(path, path.stat().st_mtime_ns)) for _, path in _fixed(trial))
    except ValueError:
        return False


@functools.lru_cache(maxsize=2048)
def _tiles(path, changed: int) -> NDArray[np.uint8]:
    return details.tiles(path)


def _sheet(
    key: Key,
    trials: dict[str, Outcome],
    columns: tuple[str, ...],
    labels: Sequence[str],
    truth: bool,
    own: bool,
    tile: int,
    faces: int,
    ways: int,
    replicates: int,
) -> Sheet:
    names = [name for name, _ in _fixed(next(iter(trials.values())))][:faces]
    rows, titles = [], []
    for way, driver, swap, exact in WAYS[:ways]:
        for number, name in enumerate(names, start=1):
            seen = {
                label: _tiles(p, p.stat().st_mtime_ns) for label, t in trials.items() if (p := t.pictures.get(name))
            }
            if not seen:
                continue
            some = next(iter(seen.values()))
            blank = np.zeros_like(some[0])
            cells = [] if own else [some[driver], *([some[exact]] if truth else [])]
            for label in labels:
                tiles = seen.get(label)
                cells += [blank if tiles is None else tiles[at] for at in ((exact, swap) if own else (swap,))]
            rows.append(np.concatenate([_sized(cell, tile) for cell in cells], axis=1))
            titles.append(f"face {number}, {way}")
    source, width, height = webp(Image.fromarray(np.concatenate(rows)))
    seed, people = key
    named = f"people {people}, seed {seed}" if people else f"seed {seed}"
    alt = f"{named}: columns {', '.join(columns)}; rows {'; '.join(titles)}"
    return Sheet(named, tuple(titles), Picture(named, source, alt, width, height))


def _sized(cell: NDArray[np.uint8], tile: int) -> NDArray[np.uint8]:
    if cell.shape[0] == tile:
        return cell
    return np.asarray(Image.fromarray(np.ascontiguousarray(cell)).resize((tile, tile), Image.Resampling.LANCZOS))
