"""What a face folder holds: its images by subfolder and, for the built-in set, its manifest."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.data.image_file import Job
from harness.errors import UsageError
from harness.files import verified

PEOPLE = ("src", "dst")
EVALUATION = ("eval/src", "eval/dst")
MANIFEST_KEYS = {"kind", "spec", "identity", "frames", "pose_names", "landmark_names"}


@dataclass(frozen=True)
class Listing:
    """Images in the order of their names, by subfolder: src and dst, and eval/src, eval/dst with a manifest."""

    folder: Path
    groups: dict[str, list[Job]]
    manifest: dict[str, Any] | None

    def members(self) -> list[tuple[str, Job]]:
        """All (subfolder, image) of the folder."""
        return [(group, job) for group, jobs in self.groups.items() for job in jobs]

    def name(self, job: Job) -> str:
        """An image's path within the folder, with forward slashes; bytes that are no UTF-8 are shown as escapes."""
        place = Path(job.path).relative_to(self.folder).as_posix()
        return os.fsencode(place).decode(errors="backslashreplace")


def layout(folder: Path | str) -> str:
    """The sentence that says what a face folder must look like."""
    return (
        f"Expected {folder}/src/*.exr and {folder}/dst/*.exr: aligned square faces of two people, "
        "linear RGB with the face matte as alpha"
    )


def list_folder(folder: Path) -> Listing:
    """List a face folder. Raises UsageError: no folder, no src/ or dst/, or a manifest that cannot be used."""
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        raise UsageError(f"no such face folder: {folder}. {layout(folder)}")
    missing = [person for person in PEOPLE if not (folder / person).is_dir()]
    if missing:
        raise UsageError(f"{folder} has no {' and no '.join(f'{m}/' for m in missing)}. {layout(folder)}")
    manifest = _manifest(folder / "manifest.json")
    if manifest is None:
        return Listing(folder, {person: [Job(str(p)) for p in _images(folder / person)] for person in PEOPLE}, None)
    # With a manifest it is the manifest that counts: a file that is missing on disk is then a bad file.
    groups: dict[str, list[Job]] = {group: [] for group in (*PEOPLE, *EVALUATION)}
    try:
        for frame in sorted(manifest["frames"], key=lambda frame: frame["file"]):
            groups[frame["file"].rpartition("/")[0]].append(Job(str(folder / frame["file"]), frame["sha256"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{folder / 'manifest.json'} is damaged ({error!r}): delete it, or make the set anew"
        ) from error
    return Listing(folder, groups, manifest)


def _images(folder: Path) -> list[Path]:
    # Names that begin with a dot are other systems' side files, or writes that did not finish.
    return sorted(p for p in folder.iterdir() if p.suffix.lower() == ".exr" and not p.name.startswith("."))


def _manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of a built-in set; None without one, or for a JSON file of another kind."""
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest, dict):
            return None
        builtin = manifest.get("kind") == "builtin"
        if manifest.get("schema_version") != 1 and (builtin or manifest.keys() >= MANIFEST_KEYS - {"kind"}):
            manifest = verified(manifest)  # the first version had no hash
        if not builtin:
            return None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged ({error}): delete it, or make the set anew") from error
    if not isinstance(manifest.get("spec", {}), dict):
        raise UsageError(f"{path} is damaged (its spec is no mapping): delete it, or make the set anew")
    if lacking := MANIFEST_KEYS - manifest.keys():
        raise UsageError(f"{path} lacks {', '.join(sorted(lacking))}: delete it, or make the set anew")
    return manifest
