"""Which files an import reads: files and folders as named, folders to any depth, in the order a person would count."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.photos import picture, video

OTHERS = (".heic", ".heif", ".avif", ".bmp", ".gif", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd")


@dataclass(frozen=True)
class Source:
    """One file. `reason` says why it cannot be read, when that is known before it is opened."""

    path: Path
    video: bool
    reason: str | None = None


@dataclass(frozen=True)
class Found:
    """What there is to read, and how many files of each suffix are neither pictures nor videos."""

    sources: tuple[Source, ...]
    ignored: Counter[str]


def find(named: Iterable[Path], besides: Path | None = None) -> Found:
    """Every picture and video of `named` (files and folders), hidden names and the folder `besides` left out.

    A file that is named itself is taken whatever its suffix, so that its reason is reported. UsageError for a name that
    does not exist.
    """
    sources: dict[Path, Source] = {}
    ignored: Counter[str] = Counter()
    for name in named:
        if not os.path.lexists(name):
            raise UsageError(f"there is no file or folder {name}. Expected pictures, videos, or folders of them")
        if name.is_dir():
            for path in _within(name, besides):
                if _kind(path) is None:
                    ignored[path.suffix.lower() or "without a suffix"] += 1
                else:
                    sources.setdefault(path, _source(path))
        else:
            sources.setdefault(name, _source(name))
    return Found(tuple(sources.values()), ignored)


def _within(folder: Path, besides: Path | None) -> Iterator[Path]:
    """Files below a folder in natural order; links to folders are not followed."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted((f for f in folders if not f.startswith(".")), key=natural)
        folders[:] = [f for f in folders if besides is None or (here / f).resolve() != besides.resolve()]
        if here != folder and _kind(here) and not files and not folders:
            yield here  # an empty folder under a picture's name
        yield from (here / name for name in sorted(files, key=natural) if not name.startswith("."))


def natural(name: str) -> list[tuple[int, str]]:
    """A key by which `IMG_9` stands before `IMG_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", name)]


def _kind(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in picture.SUFFIXES:
        return "picture"
    return "video" if suffix in video.SUFFIXES else "other" if suffix in OTHERS else None


def _source(path: Path) -> Source:
    kind = _kind(path)
    try:
        mode = path.stat()
    except OSError as error:
        return Source(path, kind == "video", f"cannot be read: {error.strerror}")
    if stat.S_ISDIR(mode.st_mode):
        return Source(path, False, "is an empty folder")
    if not stat.S_ISREG(mode.st_mode):
        return Source(path, kind == "video", "is no regular file (a pipe, a socket or a device)")
    if mode.st_size == 0:
        return Source(path, kind == "video", "empty file")
    if kind in (None, "other"):
        known = ", ".join(s.removeprefix(".") for s in picture.SUFFIXES)
        return Source(
            path, False, f"{path.suffix or 'a name without suffix'} is not read. Convert it to one of {known}"
        )
    return Source(path, kind == "video")
