"""Fetching a file of weights from its publisher, when a user asks for it: checked against its hash, or refused."""

from __future__ import annotations

import hashlib
import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from harness.errors import EnvironmentProblem, UsageError, did_you_mean
from harness.score import weights
from models.pretrained import FILES, Pretrained

CHUNK = 1 << 20
SLACK = 1.5  # a file larger than this times what is known of it is another file
TIMEOUT_S = 30.0

Progress = Callable[[str, int, int], None]  # (what, bytes done, bytes in all)


def get(name: str, sha256: str | None = None, progress: Progress | None = None) -> tuple[Path, str]:
    """Fetch the file `name` of `harness weights`, check it and put it in its place; (path, SHA-256).

    Its hash must begin with the published digits, or be `sha256` where none are published. UsageError: no such file,
    or no hash to check it by; EnvironmentProblem: no network, another content. Nothing is left then.
    """
    known, expected = checked(name, sha256)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / known.file
        found = _download(known, file, progress)
        if not found.startswith(expected):
            raise EnvironmentProblem(
                f"{known.address}: its SHA-256 is {found}, expected {expected}: refused, and nothing was kept"
            )
        return weights.add(file, known.name)


def checked(name: str, sha256: str | None) -> tuple[Pretrained, str]:
    """The file and what its SHA-256 must begin with. UsageError when it is not known, or cannot be checked."""
    if name not in FILES:
        raise UsageError(f"there are no weights {name!r}. {did_you_mean(name, FILES)}")
    known = FILES[name]
    if known.address is None:
        raise UsageError(f"{known.file} is {known.origin}. Get it yourself, then: harness weights add FILE --as {name}")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256 {sha256}: expected 64 hexadecimal digits")
    if sha256 is None and known.prefix is None:
        raise UsageError(
            f"no SHA-256 is published for {known.file}, so what arrives cannot be checked. Give the one that you trust "
            f"with --sha256, or get {known.address} yourself, then: harness weights add {known.file}"
        )
    expected = (sha256 or "").lower() or str(known.prefix)
    if not expected.startswith(known.prefix or ""):
        raise UsageError(f"--sha256 {sha256}: the published one begins with {known.prefix}")
    return known, expected


def _download(known: Pretrained, file: Path, progress: Progress | None) -> str:
    """Write the file; its SHA-256. EnvironmentProblem."""
    address, digest, done = str(known.address), hashlib.sha256(), 0
    most = int(SLACK * known.mib * 2**20)
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer, file.open("wb") as out:
            if not str(answer.geturl()).startswith(address.split(":")[0] + ":"):
                raise EnvironmentProblem(f"{address} leads to {answer.geturl()}: refused")
            total = int(answer.headers.get("Content-Length") or known.mib * 2**20)
            while part := answer.read(CHUNK):
                digest.update(part)
                out.write(part)
                done += len(part)
                if done > most:
                    raise EnvironmentProblem(f"{address}: is larger than {most >> 20} MiB: refused")
                if progress is not None:
                    progress(known.file, done, max(done, total))
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise EnvironmentProblem(
            f"{address} cannot be fetched: {reason}. Get it on another machine, then: harness weights add {known.file}"
        ) from None
    return digest.hexdigest()
