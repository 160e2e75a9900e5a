"""The content of a suite's folder as one hash: what a report, and all else made from records alone, depends on."""

from __future__ import annotations

from pathlib import Path

from harness.files import file_sha256, hash_of
from harness.ledger.packed import HISTORY, PACK, RECORD, VALUES

READ = (RECORD, HISTORY, VALUES, "pictures/*.png")


def content_hash(folder: Path) -> str:
    """SHA-256 over the plan and over every file of every trial that a report reads; weights are not among them."""
    packs = [folder / PACK] if (folder / PACK).exists() else []
    files = [folder / "plan.json", *packs, *(path for name in READ for path in folder.glob(f"trials/*/{name}"))]
    found = {}
    for path in files:
        try:
            found[path.relative_to(folder).as_posix()] = file_sha256(path)
        except OSError as error:
            found[path.relative_to(folder).as_posix()] = str(error.errno)
    return hash_of(found)
