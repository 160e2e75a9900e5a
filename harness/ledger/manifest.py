"""The SHA-256 of every file of a trial, kept in its record, and what repairs a file that has changed since.

A record without a manifest is one of an earlier version: of its files the weights have a hash, and pictures the
checksums of their own format.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.files import Damaged, file_sha256
from harness.ledger.packed import HISTORY, RECORD, VALUES, read_trial_file

if TYPE_CHECKING:
    from harness.ledger.records import Record

Repair = Literal["train", "score", "delete"]
WEIGHTS = "weights.safetensors"
PASSING = {RECORD, "status.json", "owner.json", "job.json", "log.txt"}  # of a moment, or for people
NEEDED = {HISTORY, VALUES}  # the others may be left out of a copy, and then are absent, not damaged
PNG = b"\x89PNG\r\n\x1a\n"


def manifest_of(folder: Path) -> dict[str, str]:
    """{path within the trial's folder: SHA-256} of every file that stays: weights, history, values, pictures."""
    found = {}
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        passing = place.as_posix() in PASSING or any(part.startswith(".") for part in place.parts)
        if not passing and place.parts[0] != "checkpoint" and path.is_file() and not path.is_symlink():
            found[place.as_posix()] = file_sha256(path)
    return found


def known_files(record: Record) -> dict[str, str]:
    """{path within the folder: SHA-256} of the files whose hashes a record knows."""
    weights = record.cost.get("weights_sha256")
    return {**({WEIGHTS: str(weights)} if weights else {}), **record.files}


def check_content(name: str, content: bytes, known: Mapping[str, str]) -> None:
    """Raises Damaged when the content of a trial's file `name` is not what its record knows."""
    if name in known:
        if hashlib.sha256(content).hexdigest() != known[name]:
            raise Damaged("its content does not match its hash")
    elif name.endswith(".png"):
        check_png(content)
    elif name.endswith(".gz"):
        check_gzip(content)


def check_gzip(content: bytes) -> None:
    """Raises Damaged when a gzip file does not match its own checksum."""
    try:
        gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(f"it cannot be unpacked: {error}") from None


def check_png(content: bytes) -> None:
    """Raises Damaged when a chunk of a PNG file does not match its own checksum, or when one is missing."""
    if not content.startswith(PNG):
        raise Damaged("it is no PNG picture")
    at, kind = len(PNG), b""
    while at + 12 <= len(content) and kind != b"IEND":
        length = struct.unpack(">I", content[at : at + 4])[0]
        kind, end = content[at + 4 : at + 8], at + 8 + length
        if content[end : end + 4] != struct.pack(">I", zlib.crc32(content[at + 4 : end])):
            raise Damaged("a chunk of it does not match its checksum")
        at = end + 4
    if kind != b"IEND":
        raise Damaged("it ends too early")


def damaged_files(record: Record) -> Iterator[tuple[str, str]]:
    """(path within the folder, reason) of each file of a done trial that is not what was written."""
    known = known_files(record)
    there = [*record.folder.glob("pictures/*.png"), *record.folder.glob("previews/*.png"), *record.folder.glob(VALUES)]
    for name in sorted({*known, *(path.relative_to(record.folder).as_posix() for path in there)}):
        try:
            content, vouched = read_trial_file(record.folder, name)
            if not vouched:
                check_content(name, content, known)
        except FileNotFoundError:
            if name in NEEDED:
                yield name, "it is missing"
        except Damaged as error:
            yield name, str(error)
        except OSError as error:
            yield name, f"it cannot be read: {error.strerror or error}"


def repair_of(name: str) -> Repair:
    """What makes a damaged file of a trial anew: training, scoring, or nothing (then it is best deleted)."""
    if name in (WEIGHTS, HISTORY):
        return "train"
    return "delete" if name.startswith("previews/") else "score"


def lacking(record: Record) -> Literal["", "train", "score"]:
    """What a done trial needs to be whole again; empty when nothing of it is damaged."""
    needed = {repair_of(name) for name, _ in damaged_files(record)} if record.status == "done" else set()
    return "train" if "train" in needed else "score" if "score" in needed else ""
