"""The decode-once store: EXR files become memory-mapped half-float arrays, keyed by content, hashed, atomic.

Every image is decoded one time, in parallel; later openings, other trials and other processes map the same arrays.
A bad file is named and left out; a damaged store is noticed by its own SHA-256 and built again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.decode import Job
from harness.data.faceset import make_faceset
from harness.data.fingerprint import data_fingerprint, folder_fingerprint, folder_hashes, generation
from harness.data.listing import PEOPLE, Listing, layout, list_folder
from harness.data.pack import PACK_VERSION, DamagedPack, Pack, read_pack, write_pack
from harness.errors import EnvironmentProblem, UsageError
from harness.files import file_sha256
from harness.lock import guarded
from harness.spec import DataSpec

__all__ = ["FaceStore", "data_fingerprint", "open_store"]

Progress = Callable[[str, int, int], None]  # (stage, done, total)


@dataclass(frozen=True)
class FaceStore:
    """The images of two people. Arrays are (N, 4, S, S) float16, linear premultiplied RGBA, memory-mapped.

    people: training images of "src" and "dst"; eval: matched pairs (equal index, equal pose) or None; heldout: images
    kept from training when there are no matched ones, else None (with `holdout: 0` the training images themselves);
    eval_pose (M, P), eval_region (M names), eval_landmarks {person: (M, L, 2) fractions}, identity {person: (I,)}:
    float32, None without a manifest; quarantined: (file, reason); notes: (file, what was assumed); synthetic: made by
    the built-in renderer; truth: exact swaps are known, because `eval` is matched; loose: how loosely the built-in
    faces are aligned, None where nothing is known.
    """

    folder: Path
    fingerprint: str
    people: dict[str, np.ndarray]
    eval: dict[str, np.ndarray] | None
    heldout: dict[str, np.ndarray] | None
    manifest: dict[str, Any] | None
    eval_pose: np.ndarray | None
    eval_region: tuple[str, ...] | None
    eval_landmarks: dict[str, np.ndarray] | None
    identity: dict[str, np.ndarray] | None
    quarantined: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...]
    synthetic: bool
    truth: bool
    loose: dict[str, float] | None = None


def open_store(
    data: DataSpec, seed: int, root: Path, progress: Progress | None = None, device: str = "cpu"
) -> FaceStore:
    """Open the images of `data` for replicate `seed`, rendering and decoding what is not there yet under root/data.

    Any number of processes may call this at once: one builds, the others wait for it. `progress(stage, done, total)`
    is called while building; `device` (cpu or cuda) renders, and as its sums differ in the last bits, each kind has
    pictures of its own. Raises UsageError (folder missing or of another layout, too few readable images, straight
    alpha asked of the built-in set) and EnvironmentProblem (the disk is full or cannot be written).
    """
    home = Path(root) / "data"
    try:
        home.mkdir(parents=True, exist_ok=True)
        return _open_or_build(data, seed, home, progress, device)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write image data under {home}: {error.strerror or error}") from error


def _open_or_build(data: DataSpec, seed: int, home: Path, progress: Progress | None, device: str) -> FaceStore:
    rendered = f"-{device}" if data.source == "builtin" and device != "cpu" else ""
    if data.source == "builtin":
        fingerprint = data_fingerprint(data, seed)
        folder = home / f"faces-{fingerprint[:12]}{rendered}"
        straight = data.alpha == "straight"
    else:
        listing = list_folder(Path(data.source))
        hashes = folder_hashes(listing)
        fingerprint, folder = folder_fingerprint(listing, hashes), listing.folder
        straight = data.alpha == "straight" and listing.manifest is not None
    if straight:
        raise UsageError("data.alpha: the built-in face set is premultiplied; `straight` is for folders of your own")
    key = _key(data, fingerprint + rendered)
    store = home / f"store-{key[:12]}"
    try:
        return _face_store(store, read_pack(store, key), data, folder)
    except (FileNotFoundError, DamagedPack):
        pass
    # One builder a set at a time; the guard ends with its process, however that ends.
    waiting = (lambda: progress("waiting for another process", 0, 1)) if progress else (lambda: None)
    with guarded(home, f".guard-{fingerprint[:12]}", waiting):
        try:
            return _face_store(store, read_pack(store, key), data, folder)  # another process was faster
        except FileNotFoundError:
            damage = ""
        except DamagedPack as error:
            damage = str(error)
        if data.source == "builtin":
            listing = _builtin(folder, data, seed, progress, device)
            hashes = {}
        listing = replace(listing, groups={g: _hashed(listing, jobs, hashes) for g, jobs in listing.groups.items()})
        holdout = 0.0 if listing.manifest else data.holdout
        write_pack(store, key, fingerprint, listing, data.size, data.alpha, holdout, damage, progress)
        return _face_store(store, read_pack(store, key), data, folder)


def _key(data: DataSpec, fingerprint: str) -> str:
    """What decides the arrays: the images, and how they are read."""
    parts = [PACK_VERSION, fingerprint, data.size, data.alpha, data.holdout if data.source != "builtin" else None]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _hashed(listing: Listing, jobs: list[Job], hashes: dict[str, str]) -> list[Job]:
    """Jobs that must have the content that was fingerprinted (the manifest's own hash comes first)."""
    return [Job(job.path, job.sha256 or hashes.get(listing.name(job))) for job in jobs]


def _builtin(folder: Path, data: DataSpec, seed: int, progress: Progress | None, device: str) -> Listing:
    """The built-in set's folder, rendered when it is absent or when any of its files is not what was written."""
    for stale in folder.parent.glob(f".{folder.name}.*.tmp"):  # of a process that was killed: we hold the guard
        shutil.rmtree(stale, ignore_errors=True)
    if folder.exists():
        try:
            listing = list_folder(folder)
            if all(file_sha256(job.path) == job.sha256 for _, job in listing.members()):
                return listing
        except (UsageError, OSError):
            pass
        shutil.rmtree(folder)  # deterministic: the same set is rendered again
    make_faceset(folder, **generation(data, seed), progress=progress, device=device)
    return list_folder(folder)


def _face_store(folder: Path, pack: Pack, data: DataSpec, source: Path) -> FaceStore:
    """The store of a pack. Raises UsageError when too few images are readable."""
    record, arrays = pack
    bad = [(name, reason) for name, reason in record["quarantined"]]
    notes = [(name, note) for name, note in record["notes"]]
    for person in PEOPLE:
        count = record["good"][person]
        if count < data.minimum:
            first = f" The first bad file: {bad[0][0]}: {bad[0][1]}." if bad else ""
            raise UsageError(
                f"{source}: {person} has {count} readable images ({len(bad)} bad files in all), data.minimum is "
                f"{data.minimum}.{first} {layout(source)}"
            )
    manifest = record["manifest"]
    people = {person: arrays[person] for person in PEOPLE}
    if manifest is None:
        heldout = {person: arrays[f"heldout-{person}"] for person in PEOPLE}
        if any(len(images) == 0 for images in heldout.values()):
            heldout = people
            notes.append(("data.holdout", "nothing is held out: scores are those of training images"))
        evaluation = landmarks = identity = poses = regions = None
    else:
        heldout = None
        evaluation = {person: arrays[f"eval-{person}"] for person in PEOPLE}
        if len(evaluation["src"]) == 0:
            raise UsageError(f"{source}: no matched evaluation pair is readable: make the set anew")
        frames = {frame["file"]: frame for frame in manifest["frames"]}
        matched = {p: [frames[f"eval/{p}/{name}"] for name in record["eval_files"]] for p in PEOPLE}
        poses = np.array([frame["pose"] for frame in matched["src"]], np.float32)
        regions = tuple(frame["region"] for frame in matched["src"])
        landmarks = {p: np.array([frame["landmarks"] for frame in matched[p]], np.float32) for p in PEOPLE}
        identity = {p: np.array(manifest["identity"][p], np.float32) for p in PEOPLE}
    return FaceStore(
        folder=folder,
        fingerprint=record["fingerprint"],
        people=people,
        eval=evaluation,
        heldout=heldout,
        manifest=manifest,
        eval_pose=poses,
        eval_region=regions,
        eval_landmarks=landmarks,
        identity=identity,
        quarantined=tuple(bad),
        notes=tuple(notes),
        synthetic=manifest is not None,
        truth=evaluation is not None,
        loose=manifest["spec"].get("loose") if manifest else None,
    )
