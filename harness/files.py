"""Files that are never half written, and the one JSON text and hash of a value."""

from __future__ import annotations

import contextlib
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
        raise EnvironmentProblem(f"{path}: cannot be written: {error.strerror or error}. Free the disk") from error


def write_json(path: Path, values: Any) -> None:
    """Readable JSON, atomically. NaN is refused: an undefined number is an absent key or null."""
    write_atomic(path, json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False).encode() + b"\n")


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
