"""An image as a file of a folder, before it is opened: its job, its hash, and whether it may be opened at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

MAX_BYTES = 1 << 31  # of a file: more than the largest allowed picture has in four uncompressed floats


class BadImage(Exception):
    """A file that is no usable image: `path`, and a `reason` written for the person who must act."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason


@dataclass(frozen=True)
class Job:
    """One file to decode, and the SHA-256 it must have where one is known."""

    path: str
    sha256: str | None = None


def check_file(path: Path | str) -> None:
    """Raises BadImage for what is no regular file of a plain name and possible size: reading it could take forever."""
    try:
        os.fspath(path).encode()
        stat = os.stat(path)
    except UnicodeEncodeError:
        raise BadImage(path, "its name is not UTF-8: rename it") from None
    except FileNotFoundError:
        raise BadImage(path, "no such file") from None
    except (OSError, ValueError) as error:
        raise BadImage(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not S_ISREG(stat.st_mode):
        raise BadImage(path, "is a pipe, a device or a folder, not a file")
    if stat.st_size > MAX_BYTES:
        raise BadImage(path, f"is {stat.st_size:,} bytes long, more than the allowed {MAX_BYTES:,}")
