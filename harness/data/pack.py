"""A store on disk: one folder of .npy arrays of decoded images and a record, both hashed, written once.

`store.json` holds the record with its own SHA-256 and those of the arrays. Any flipped bit is noticed on opening.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.decode import decode_files
from harness.data.exr import Alpha
from harness.data.listing import EVALUATION, PEOPLE, Listing
from harness.files import file_sha256, hash_of

PACK_VERSION = 1
Pack = tuple[dict[str, Any], dict[str, np.ndarray]]  # the record, and the arrays by name
_verified: set[tuple[str, int, int]] = set()  # arrays (path, size, time stamp) whose hash this process has checked


class DamagedPack(Exception):
    """What lies on the disk is not what was written; the message says where."""


def write_pack(
    folder: Path,
    key: str,
    fingerprint: str,
    listing: Listing,
    size: int,
    alpha: Alpha,
    holdout: float,
    damage: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Decode all images of `listing` to `size` and write them to `folder`, replacing what is there.

    Arrays: src, dst (training); with a manifest eval-src, eval-dst (pairs of which both are readable), without one
    heldout-src, heldout-dst: every k-th readable image of a person, k = round(1 / holdout), none for 0.
    `damage` is why an earlier store was given up. Only one process may do this at a time. Raises OSError.
    """
    for stale in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        members, raw = listing.members(), temporary / "decoded.f16"
        told = None if progress is None else lambda done, total: progress("decoding images", done, total)
        outcomes = decode_files([job for _, job in members], raw, size, alpha, progress=told)
        good: dict[str, list[int]] = {group: [] for group in listing.groups}
        quarantined, notes = [], [(folder.name, f"built again: {damage}")] if damage else []
        for i, ((group, job), outcome) in enumerate(zip(members, outcomes, strict=True)):
            if outcome.reason is None:
                good[group].append(i)
                notes.extend((listing.name(job), note) for note in outcome.notes)
            else:
                quarantined.append((listing.name(job), outcome.reason))
        names = [Path(job.path).name for _, job in members]
        groups = _split(good, holdout) if listing.manifest is None else _matched(good, names)
        record: dict[str, Any] = {
            "schema_version": PACK_VERSION,
            "key": key,
            "fingerprint": fingerprint,
            "good": {group: len(rows) for group, rows in good.items()},
            "quarantined": quarantined,
            "notes": notes,
            "eval_files": [names[i] for i in groups.get("eval-src", [])],
            "manifest": listing.manifest,
            "arrays": {},
        }
        for name, rows in groups.items():
            path = temporary / f"{name}.npy"
            _write_rows(path, raw, rows, (4, size, size))
            record["arrays"][name] = file_sha256(path)
        raw.unlink()
        record["sha256"] = _record_hash(record)
        (temporary / "store.json").write_text(json.dumps(record), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_pack(folder: Path, key: str) -> Pack:
    """The record and the memory-mapped arrays of `folder`, their hashes checked once a process.

    The maps are copy-on-write: nothing reaches the disk. Raises FileNotFoundError and DamagedPack.
    """
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    with _damage_named():
        record = _record(folder)
        if record["key"] != key:
            raise DamagedPack("store.json is not what was written")
        arrays = {}
        for name, sha256 in record["arrays"].items():
            path = folder / f"{name}.npy"
            stat = path.stat()
            stamp = (str(path), stat.st_size, stat.st_mtime_ns)
            if stamp not in _verified:
                _check_array(path, sha256)
                _verified.add(stamp)
            arrays[name] = _map(path)
        return record, arrays


def check_pack(folder: Path) -> None:
    """Compare every byte of `folder` with its hashes. Raises DamagedPack."""
    with _damage_named():
        for name, sha256 in _record(folder)["arrays"].items():
            _check_array(folder / f"{name}.npy", sha256)


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "store.json").read_bytes())
    if record["sha256"] != _record_hash(record):
        raise DamagedPack("store.json is not what was written")
    return record


def _check_array(path: Path, sha256: str) -> None:
    if file_sha256(path) != sha256:
        raise DamagedPack(f"{path.name} is not what was written")


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    """What damage makes of a reading becomes DamagedPack."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedPack(f"store.json cannot be read ({error!r})") from error
    except FileNotFoundError as error:
        raise DamagedPack(f"{error.filename} is missing") from error


def _split(good: dict[str, list[int]], holdout: float) -> dict[str, list[int]]:
    """Every k-th image of each person kept from training."""
    groups = {}
    for person in PEOPLE:
        every = max(2, round(1 / holdout)) if holdout > 0 else len(good[person]) + 1
        groups[person] = [row for i, row in enumerate(good[person]) if i % every != every - 1]
        groups[f"heldout-{person}"] = good[person][every - 1 :: every]
    return groups


def _matched(good: dict[str, list[int]], names: Sequence[str]) -> dict[str, list[int]]:
    """Training images, and the evaluation pairs (equal file names) of which both images are readable."""
    by_name = [{names[i]: i for i in good[group]} for group in EVALUATION]
    both = sorted(by_name[0].keys() & by_name[1].keys())
    pairs = {f"eval-{person}": [rows[n] for n in both] for person, rows in zip(PEOPLE, by_name, strict=True)}
    return {**{person: good[person] for person in PEOPLE}, **pairs}


def _write_rows(path: Path, raw: Path, rows: Sequence[int], shape: tuple[int, ...]) -> None:
    """Rows of the raw half-float file as an .npy of (len(rows), *shape).

    Written, not mapped: a full disk must raise.
    """
    width = 2 * int(np.prod(shape))
    with open(raw, "rb") as source, open(path, "wb") as target:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(rows), *shape)}
        np.lib.format.write_array_header_1_0(target, header)
        for row in rows:
            source.seek(row * width)
            target.write(source.read(width))


def _map(path: Path) -> np.ndarray:
    """A copy-on-write map (torch wants writable memory); an array without rows cannot be mapped."""
    array: np.ndarray = np.load(path, mmap_mode="c" if path.stat().st_size > 128 else None, allow_pickle=False)
    return array


def _record_hash(record: dict[str, Any]) -> str:
    rest = {key: value for key, value in record.items() if key != "sha256"}
    return hash_of(rest)
