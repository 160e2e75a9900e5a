"""Whether images, stores and what was kept from scoring are what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.data.image_file import BadImage, check_file
from harness.data.listing import list_folder
from harness.data.pack import DamagedPack, check_pack
from harness.errors import UsageError
from harness.files import Damaged, file_sha256, read_hashed_body, read_hashed_json


def checked_data(home: Path) -> Iterator[tuple[Path, str | None]]:
    """(file or folder, what is wrong with it or None) of everything under the `data` folder of a results root."""
    for folder in sorted(home.glob("store-*/")):
        yield folder, store_damage(folder)
    for folder in sorted(home.glob("faces-*/")):
        yield from checked_faces(folder)
    for path in sorted((home / "references").glob("*")):
        if path.suffix in (".json", ".features"):
            yield path, kept_damage(path)


def store_damage(folder: Path) -> str | None:
    """What is wrong with a store of decoded images; None when every array is what was written."""
    try:
        check_pack(folder)
    except DamagedPack as error:
        return str(error)
    return None


def checked_faces(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """(file, what is wrong with it or None) of a face set with a manifest. A folder without one has no hashes."""
    try:
        listing = list_folder(folder)
    except UsageError as error:
        yield folder / "manifest.json", str(error)
        return
    yield folder / "manifest.json", None
    for _, job in listing.members():
        try:
            check_file(job.path)
            whole = file_sha256(job.path) == job.sha256
            yield Path(job.path), None if whole else "its content does not match the manifest's hash"
        except BadImage as bad:
            yield Path(job.path), bad.reason
        except OSError as error:
            yield Path(job.path), f"it cannot be read: {error.strerror or error}"


def kept_damage(path: Path) -> str | None:
    """What is wrong with a hashed file that can be computed again; None when nothing is."""
    try:
        if path.suffix == ".json":
            read_hashed_json(path)
        else:
            read_hashed_body(path)
    except Damaged as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return None
