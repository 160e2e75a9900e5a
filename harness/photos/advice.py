"""What to do about a folder that holds pictures, but not the faces in EXR that training reads."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

from harness.data.listing import PEOPLE
from harness.photos.sources import find


def advice(folder: Path) -> list[str]:
    """A line for each place in a folder that holds pictures other than EXR, with the command that imports them."""
    out = folder.with_name(f"{folder.resolve().name}-aligned")
    lines = []
    for person, place in _places(folder):
        kinds = _kinds(place)
        if not kinds:
            continue
        found = ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common())
        command = shlex.join(["harness", "data", "import", str(place), "--person", person, "--out", str(out)])
        lines.append(f"{place}: {found} found; import them: {command}")
    return lines


def _places(folder: Path) -> list[tuple[str, Path]]:
    """(person, their folder): src/ and dst/, or the only two folders with pictures, or the folder itself as src."""
    named = [(person, folder / person) for person in PEOPLE if (folder / person).is_dir()]
    if named:
        return named
    inner = [place for place in sorted(folder.iterdir()) if place.is_dir() and _kinds(place)]
    if len(inner) == 2:
        return list(zip(PEOPLE, inner, strict=True))
    return [("src", folder)]


def _kinds(place: Path) -> Counter[str]:
    """How many pictures and videos of each suffix but EXR."""
    return Counter(s.path.suffix.lower() for s in find([place]).sources if s.path.suffix.lower() != ".exr")
