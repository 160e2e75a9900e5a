"""Files that are never half written and know when they are damaged, and the one JSON text and hash of a value."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem

HOME = Path(__file__).resolve().parent.parent  # the checkout, or where the packages are installed
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Damaged(ValueError):
    """A file does not hold what was written into it; the message says how that shows."""


def cache_folder() -> Path:
    """Where this product keeps what can be made again: faceswap-bench under XDG_CACHE_HOME, or under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "faceswap-bench"


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; False for a name that no file system takes."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for a name that no file system takes."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def cannot_write(path: Path, error: OSError) -> EnvironmentProblem:
    """The error to raise when `path` could not be written: what to do depends on why."""
    why = error.strerror or str(error)
    if error.errno in FULL:
        return EnvironmentProblem(f"{path}: cannot be written: {why}. Free the disk")
    return EnvironmentProblem(f"{path}: not writable: {why}. Choose another folder, or change its permissions")


def write_atomic(path: Path, content: bytes) -> None:
    """Write so that a reader (and a crash) sees the old file or the new one. EnvironmentProblem names the path."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        with contextlib.suppress(OSError):  # not every file system lets a folder be synced
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def write_json(path: Path, values: Any) -> None:
    """Readable JSON, atomically. NaN is refused: an undefined number is an absent key or null."""
    write_atomic(path, json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False).encode() + b"\n")


def write_hashed_json(path: Path, values: Mapping[str, Any]) -> None:
    """Readable JSON with its own SHA-256 under the key `sha256`, atomically. NaN is refused."""
    values = json.loads(json.dumps(dict(values), allow_nan=False))
    write_json(path, {**values, "sha256": hash_of(values)})


def read_hashed_json(path: Path) -> dict[str, Any]:
    """What `write_hashed_json` wrote, without the hash. Raises OSError, and Damaged for anything else."""
    return verified(read_json(path))


def kept_json(path: Path) -> dict[str, Any] | None:
    """What `write_hashed_json` keeps at `path`, so as not to compute it again; None when absent or damaged."""
    try:
        return read_hashed_json(path)
    except (OSError, Damaged):
        return None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises OSError, and Damaged for anything else."""
    return as_json(path.read_bytes())


def as_json(content: bytes) -> dict[str, Any]:
    """The JSON object in the content of a file. Damaged for anything else."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"it cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise Damaged("it holds no mapping")
    return values


def verified(values: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping without its `sha256`. Damaged when that is missing, or not the hash of the rest."""
    rest = {key: value for key, value in values.items() if key != "sha256"}
    try:
        found = hash_of(rest)
    except (ValueError, RecursionError):
        raise Damaged("its content cannot be hashed") from None
    if found != values.get("sha256"):
        raise Damaged("its content does not match its hash")
    return rest


def write_hashed_body(path: Path, head: Mapping[str, Any], body: bytes) -> None:
    """A line with the SHA-256 of what follows, a line of JSON, then the body; atomically."""
    content = json.dumps(head).encode() + b"\n" + body
    write_atomic(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def read_hashed_body(path: Path) -> tuple[dict[str, Any], bytes]:
    """(head, body) of `write_hashed_body`. Raises OSError, and Damaged for anything else."""
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise Damaged("its content does not match its hash")
    head, _, body = content.partition(b"\n")
    return json.loads(head), body


def file_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces. ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def hash_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of a value, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def finite(value: Any) -> Any:
    """Nested values as JSON takes them: dataclasses and tuples as mappings and lists, None for what is not finite."""
    if is_dataclass(value) and not isinstance(value, type):
        return finite(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
