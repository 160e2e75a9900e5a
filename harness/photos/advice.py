"""What to do about a folder that holds pictures, but not the faces in EXR that training reads."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

from harness.data.listing import PEOPLE
from harness.photos.sources import find


def advice(folder: Path) -> list[str]:
    """A line for each place in a folder that holds pictures other than EXR, with the command that imports them."""
    lines = []
    for place in [folder / person for person in PEOPLE if (folder / person).is_dir()] or [folder]:
        kinds = Counter(s.path.suffix.lower() for s in find([place]).sources if s.path.suffix.lower() != ".exr")
        if not kinds:
            continue
        found = ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common())
        person = place.name if place.name in PEOPLE else "src"
        out = folder.with_name(f"{folder.resolve().name}-aligned")
        command = shlex.join(["harness", "data", "import", str(place), "--person", person, "--out", str(out)])
        lines.append(f"{place}: {found} found; import them: {command}")
    return lines
