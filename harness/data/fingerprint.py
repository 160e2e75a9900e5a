"""What a trial's data is, as one hash: the generation of the built-in set, or the content of a folder's files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path
from typing import Any

from harness.data.image_file import BadImage, check_file
from harness.data.listing import Listing, list_folder
from harness.data.looseness import VARIATIONS, Looseness
from harness.errors import EnvironmentProblem
from harness.files import cache_folder, file_sha256, hash_of, kept_json, write_hashed_json
from harness.source import code_hash
from harness.spec import DataSpec

RACY_NS = 2_000_000_000  # a file touched this recently may change again without its time stamp showing it


def data_fingerprint(data: DataSpec, seed: int) -> str:
    """64 hexadecimal digits that change whenever the images would.

    Built-in: the generation's numbers (people, alignment, counts, size, samples, seed) and the source of the renderer
    and of the frame plan. Folder: the names and SHA-256 of its images (remembered by size and time stamp between runs)
    and its manifest. How images are read, encoded and augmented is in the spec, and not repeated here.
    Raises UsageError for a folder that is missing or has not the expected layout.
    """
    if data.source == "builtin":
        here = Path(__file__).parent
        code = code_hash([*sorted((here / "faces").glob("*.py")), here / "frames.py"])
        return hash_of({"kind": "builtin", "generation": generation(data, seed), "code": code})
    listing = list_folder(Path(data.source))
    return folder_fingerprint(listing, folder_hashes(listing))


def generation(data: DataSpec, seed: int) -> dict[str, Any]:
    """The arguments of `make_faceset` for the built-in set of a replicate; a random pair is the one its seed counts."""
    pair = seed if data.pair == "random" else data.pair
    return {
        "pair": pair,
        "distance": data.distance if isinstance(pair, int) else None,
        "loose": looseness(data)._asdict(),
        "frames": data.frames,
        "eval_frames": data.eval_frames,
        "size": data.size,
        "seed": seed,
        "half": True,
        "supersample": data.render_supersample,
    }


def looseness(data: DataSpec) -> Looseness:
    """How loosely built-in faces are aligned: as `variation` has it, with what `loose` says instead."""
    return VARIATIONS[data.variation]._replace(**data.loose.model_dump(exclude_none=True))


def folder_fingerprint(listing: Listing, hashes: dict[str, str]) -> str:
    """The fingerprint of a folder whose files have these SHA-256."""
    return hash_of({"kind": "folder", "files": hashes, "manifest": listing.manifest})


def folder_hashes(listing: Listing) -> dict[str, str]:
    """SHA-256 of each image by its name in the folder; "unreadable" where it cannot be read.

    Hashes are remembered in the user's cache folder for as long as a file keeps its size and time stamp.
    """
    cache = _cache_file(listing.folder)
    known: dict[str, list[Any]] = (kept_json(cache) or {}).get("files", {})
    found, hashes = {}, {}
    for _, job in listing.members():
        name = listing.name(job)
        try:
            check_file(job.path)
            stat = os.stat(job.path)
            stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
            old = known.get(name)
            digest = old[3] if old is not None and old[:3] == stamp else file_sha256(job.path)
        except (OSError, BadImage):
            hashes[name] = "unreadable"
            continue
        hashes[name] = digest
        if time.time_ns() - stat.st_mtime_ns > RACY_NS:
            found[name] = [*stamp, digest]
    if found != known:
        with contextlib.suppress(EnvironmentProblem):  # a cache that cannot be written costs time and nothing else
            write_hashed_json(cache, {"files": found})
    return hashes


def _cache_file(folder: Path) -> Path:
    return cache_folder() / f"hashes-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}.json"
