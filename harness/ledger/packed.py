"""The files of a trial, wherever they lie: in its own folder, or in the one file into which its suite was packed.

`harness pack` puts the records, histories and per-image values of a suite into `trials.tar.xz`, about a third of their
size; pictures and weights stay where they are. A file in a trial's own folder goes before the packed one, so a packed
suite can be run on.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Mapping
from pathlib import Path

from harness.errors import EnvironmentProblem
from harness.files import Damaged

PACK = "trials.tar.xz"
RECORD, HISTORY, VALUES = "record.json", "history.jsonl", "values.json.gz"
HASHES = "hashes.json"  # {member: SHA-256}, the first member
MEMBERS = {RECORD: RECORD, HISTORY: HISTORY, VALUES: "values.json"}  # values unpacked: together they shrink further
LARGEST = 1 << 30  # bytes of all members: a file of few bytes may claim to hold more than the memory

Files = Mapping[str, Mapping[str, bytes]]  # {trial: {file: content}}


class PackDamaged(Damaged):
    """A pack is not what was written: nothing in it can be trusted."""


def read_trial_file(folder: Path, name: str) -> tuple[bytes, bool]:
    """(content of a trial's file, whether a pack's hash vouches for it). FileNotFoundError, PackDamaged."""
    try:
        return (folder / name).read_bytes(), False
    except (FileNotFoundError, NotADirectoryError):
        found = packed(folder.parent.parent).get(folder.name, {})
        if name not in found:
            raise
        return found[name], True


def has_record(folder: Path) -> bool:
    """Whether this is the folder of a trial with a record, its own or a packed one."""
    return folder.parent.name == "trials" and is_there(folder.absolute(), RECORD)


def is_there(folder: Path, name: str) -> bool:
    """Whether a trial has this file, in its folder or in a pack that can be read."""
    if (folder / name).is_file():
        return True
    try:
        return name in packed(folder.parent.parent).get(folder.name, {})
    except PackDamaged:
        return False


def packed(suite: Path) -> Files:
    """What the suite's pack holds; nothing without a pack. Raises PackDamaged."""
    path = suite / PACK
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _read(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=32)
def _read(path: Path, modified: int, size: int) -> Files:
    """Read once for each time the pack is written."""
    try:
        members = _members(path.read_bytes())
        hashes = json.loads(members.pop(HASHES))
        if hashes != {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}:
            raise ValueError("its content does not match its hashes")
        found: dict[str, dict[str, bytes]] = {}
        for name, inner in MEMBERS.items():
            for member, content in members.items():
                trial, _, file = member.partition("/")
                if file == inner:
                    found.setdefault(trial, {})[name] = zipped(content) if name == VALUES else content
        return found
    except (OSError, EOFError, ValueError, KeyError, RecursionError, tarfile.TarError, lzma.LZMAError) as error:
        raise PackDamaged(f"it cannot be read: {error}") from None


def _members(content: bytes) -> dict[str, bytes]:
    reader, found = lzma.LZMADecompressor(), {}
    unpacked = reader.decompress(content, max_length=LARGEST)
    if not reader.eof or reader.unused_data:
        raise ValueError(f"it holds more than {LARGEST >> 20} MiB, or ends too early or too late")
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                raise ValueError(f"{member.name} is no file")
            found[member.name] = file.read()
    return found


def zipped(values: bytes) -> bytes:
    """Per-image values as they lie in a trial's folder; equal bytes for equal values."""
    return gzip.compress(values, mtime=0)


def to_pack(files: Files) -> bytes:
    """The content of a pack. Equal bytes for equal files: no times, no owners, like beside like.

    EnvironmentProblem when it would be larger than what is read again.
    """
    members = {
        f"{trial}/{inner}": gzip.decompress(files[trial][name]) if name == VALUES else files[trial][name]
        for name, inner in MEMBERS.items()
        for trial in sorted(files)
        if name in files[trial]
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in {HASHES: json.dumps(hashes).encode(), **members}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    if buffer.tell() > LARGEST:
        raise EnvironmentProblem(f"{len(files)} trials are more than {LARGEST >> 20} MiB, too much for one pack")
    return lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)
