"""One picture that shows the answer: two variants on a typical face, chosen by rule and never by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness.ledger.table import Key, Table, Variant
from harness.report import details
from harness.report.answer import along_cells, by_cells
from harness.report.numbers import Numbers


@dataclass(frozen=True)
class Pair:
    """Two variants, the better one of the main metric first, and the rule that chose them."""

    one: Variant
    other: Variant
    rule: str


@dataclass(frozen=True)
class Case:
    """One face: the tiles of its row by caption, (H, H, 3) bytes each, and the rule that chose it."""

    tiles: Mapping[str, NDArray[np.uint8]]
    replicate: Key
    face: str
    rule: str


def pair(numbers: Numbers) -> Pair | None:
    """What the primary claim compares; else the ends of the axis; else the surest difference to the baseline."""
    table, metric = numbers.table, numbers.primary
    if metric is None:
        return None
    scored = {variant.label: variant for variant in table.variants if numbers.scored(variant, metric)}
    if len(scored) < 2:
        return None
    claimed = [label for label in _claimed(table.plan) if label in scored]
    axis = sorted((v for v in along_cells(table) if v.label in scored), key=lambda v: v.latent_cells or 0.0)
    if len(claimed) == 2:
        labels, rule = claimed, "the two variants that the primary claim compares"
    elif by_cells(table) and len(axis) > 1:
        labels, rule = [axis[0].label, axis[-1].label], "the two ends of the axis"
    else:
        base = table.baseline.label if table.baseline and table.baseline.label in scored else next(iter(scored))
        others = [label for label in scored if label != base]
        surest = max(others, key=lambda label: _sureness(numbers, scored[label], scored[base], metric))
        labels, rule = [base, surest], "the baseline, and the variant that differs from it most surely"
    sign = numbers.table.facts(metric).sign or 1
    ordered = sorted(labels, key=lambda label: -sign * numbers.mean(scored[label], metric).mean)
    return Pair(scored[ordered[0]], scored[ordered[1]], rule)


def _claimed(plan: Mapping[str, Any]) -> list[str]:
    """The two variants that the primary claim compares; its first and last where it speaks of an axis."""
    from harness.claims.verdict import primary_of

    claims = [claim for claim in plan.get("claims") or [] if "parts" in claim]
    for part in claims[primary_of(claims)]["parts"] if claims else ():
        if "a" in part and ("than" in part or "to" in part):
            return [str(part["a"]), str(part.get("than", part.get("to")))]
        if len(part.get("over") or ()) > 1:
            return [str(part["over"][0]), str(part["over"][-1])]
    return []


def _sureness(numbers: Numbers, variant: Variant, base: Variant, metric: str) -> float:
    """|difference| in halves of its interval; by size alone where there is no interval."""
    interval = numbers.difference(variant, base, metric).interval
    if not interval.n:
        return -1.0
    half = (interval.high - interval.low) / 2 if interval.known else 0.0
    return abs(interval.mean) / half if half > 0 else abs(interval.mean) * 1e-9


def case(table: Table, chosen: Pair) -> Case | None:
    """The face on which the two lie as far apart as on the median face; None when no replicate has pictures of both."""
    faces = list(_faces(chosen))
    if not faces:
        return None
    key, name, rows = sorted(faces, key=lambda face: (_apart(face[2]), face[:2]))[(len(faces) - 1) // 2]
    truth = all(trial.part("data").get("truth") for trial in (chosen.one.done[key], chosen.other.done[key]))
    typical = f"of {len(faces)} fixed faces the one on which they lie as far apart as on the median face"
    if truth and not same_faces(*rows):
        return Case(_each_beside_its_own(chosen, rows), key, name, f"{typical}; each was shown other pictures")
    names = [other for where, other, _ in faces if where == key]
    another = names[(names.index(name) + 1) % len(names)]
    target = next(both[0] for where, other, both in faces if (where, other) == (key, another))
    tiles = {"source: pose and expression": rows[0][0]}
    if another != name:
        tiles["target: the person to show"] = target[5]
    tiles |= {chosen.one.label: rows[0][2], chosen.other.label: rows[1][2]}
    if truth:
        tiles["exact truth"] = rows[0][5]
    return Case(tiles, key, name, typical if truth else "the middle one of the fixed faces")


Rows = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def same_faces(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two rows of six tiles show the same people in the same pose, so that one truth stands for both.

    They do not in a suite that varies the faces themselves: their distance, or how they are aligned.
    """
    return one.shape == other.shape and np.array_equal(one[0], other[0]) and np.array_equal(one[5], other[5])


def _each_beside_its_own(chosen: Pair, rows: Rows) -> dict[str, NDArray[np.uint8]]:
    tiles = {}
    for variant, row in zip((chosen.one, chosen.other), rows, strict=True):
        tiles[f"source of {variant.label}: pose and expression"] = row[0]
        tiles |= {variant.label: row[2], f"exact truth of {variant.label}": row[5]}
    return tiles


def _faces(chosen: Pair) -> list[tuple[Key, str, Rows]]:
    found = []
    for key in sorted(set(chosen.one.done) & set(chosen.other.done)):
        one, other = chosen.one.done[key].pictures, chosen.other.done[key].pictures
        for name in sorted(name for name in one if name.startswith("fixed-") and name in other):
            rows = tuple(_row(places[name]) for places in (one, other))
            if rows[0] is not None and rows[1] is not None and rows[0].shape == rows[1].shape:
                found.append((key, name, (rows[0], rows[1])))
    return found


def _row(path: Path) -> NDArray[np.uint8] | None:
    try:
        return details.tiles(path)
    except ValueError:
        return None


def _apart(rows: Rows) -> float:
    """How much larger the second's error is than the first's, in grey levels."""
    errors = [float(np.abs(row[2].astype(np.int16) - row[5]).mean()) for row in rows]
    return errors[1] - errors[0]


def picture(tile: NDArray[np.uint8]) -> Image.Image:
    """A tile as an image."""
    return Image.fromarray(np.ascontiguousarray(tile))
