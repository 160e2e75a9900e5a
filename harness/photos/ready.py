"""Aligned pictures of other tools, of any format, as `data.source`: their copy in EXR, made once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.data.decode import file_sha256
from harness.data.listing import PEOPLE
from harness.errors import UsageError
from harness.photos.advice import advice
from harness.photos.settings import Settings
from harness.photos.sources import find
from harness.photos.take import Progress, take

AS_THEY_ARE = Settings(align="none", sharpness=None, duplicates=None)


def ready(source: str, home: Path, progress: Progress | None = None) -> str:
    """The folder to train from: `source` itself, or, when it holds aligned pictures other than EXR, their copy in EXR.

    `source` must hold src/ and dst/. The copy lies under `home`, named by the content, and is made once. UsageError
    when no picture is readable.
    """
    folder = Path(source).expanduser()
    places = [folder / person for person in PEOPLE]
    if not all(place.is_dir() for place in places) or any(_has_exr(place) for place in places):
        return source
    found = {place.name: [s for s in find([place]).sources if s.reason is None and not s.video] for place in places}
    if not all(found.values()):
        hints = advice(folder) if folder.is_dir() else []
        raise UsageError("; ".join([f"{folder}: no pictures of both people", *hints]))
    content = hashlib.sha256()
    for person, sources in found.items():
        content.update("".join([person, *(file_sha256(one.path) for one in sources)]).encode())
    copy = home / f"imported-{content.hexdigest()[:12]}"
    for person, sources in found.items():
        take([one.path for one in sources], person, copy, AS_THEY_ARE, progress=progress)
    return str(copy)


def _has_exr(place: Path) -> bool:
    return any(path.suffix.lower() == ".exr" for path in place.iterdir())
