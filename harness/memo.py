"""What was computed from the sources before, kept between processes for as long as nothing that it came from changes.

Building a model tells its size, importing a module tells what it registers: both cost seconds of torch, and neither
changes before the sources do. The file lies in the user's cache folder, under a name made from the content of every
first-party source, the installed packages and Python itself; it carries its own hash and may be deleted at any time.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import functools
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import EnvironmentProblem
from harness.files import HOME, cache_folder, canonical, kept_json, write_hashed_json

T = TypeVar("T")
PACKAGES = ("harness", "models", "metrics")
SUFFIXES = (".py", ".j2", ".css", ".js")
MOST = 4000  # entries of a file; the oldest go first
FILES = 8  # of earlier states of the sources
SEARCHED = tuple(dict.fromkeys(sys.path))  # now: a library that is imported later may add folders of its own

_known: dict[str, Any] | None = None
_new: dict[str, Any] = {}


def remembered(kind: str, key: Any, compute: Callable[[], T]) -> T:
    """What `compute()` returns, or returned before for this kind and key. Key and value are plain JSON values.

    The value must follow from the key and the sources alone: what it takes from this machine must be in the key.
    """
    global _known
    if _known is None:
        _known = kept_json(_file()) or {}
    name = f"{kind}:{hashlib.sha256(canonical(key)).hexdigest()}"
    if name not in _known:
        value = compute()
        canonical(value)  # raises here, where the mistake is, for what cannot be kept
        if not _new:
            atexit.register(save)
        _known[name] = _new[name] = value
    return copy.deepcopy(_known[name])


def save() -> None:
    """Add what is new to the file. A cache that cannot be written costs time and nothing else."""
    file = _file()
    kept = {**(kept_json(file) or {}), **_new}
    _new.clear()
    with contextlib.suppress(EnvironmentProblem, OSError, ValueError):
        write_hashed_json(file, dict(list(kept.items())[-MOST:]))
        files = sorted(file.parent.glob("memo-*.json"), key=lambda path: path.stat().st_mtime)
        for old in files[:-FILES]:
            old.unlink()


def forget() -> None:
    """Drop what this process knows, so that the next question reads the file again."""
    global _known
    _known = None
    _new.clear()
    sources_digest.cache_clear()


def _file() -> Path:
    return cache_folder() / f"memo-{sources_digest()[:24]}.json"


@functools.cache
def sources_digest(home: Path = HOME) -> str:
    """SHA-256 over the content of every first-party source, the versions of all installed packages, and Python."""
    digest = hashlib.sha256(f"{platform.python_version()} {platform.machine()} {sys.platform}".encode())
    for package in PACKAGES:
        for path in sorted(path for path in (home / package).rglob("*") if path.suffix in SUFFIXES):
            digest.update(path.relative_to(home).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    for folder in SEARCHED:
        with contextlib.suppress(OSError):
            found = sorted(name for name in os.listdir(folder or ".") if name.endswith((".dist-info", ".egg-link")))
            digest.update("\0".join(found).encode())
    return digest.hexdigest()
