"""The manifest of one person's import: a line of JSON for each picture, added as it is done, taken or left out.

`FOLDER/import/PERSON.jsonl`. The first line holds the settings. A line that a crash has torn is dropped, and its
picture is done again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem, UsageError
from harness.files import write_atomic

SCHEMA_VERSION = 1
KIND = "import"


@dataclass(frozen=True)
class Entry:
    """One picture or frame. `file`: the name of the crop; None when it was left out, for `reason`."""

    source: str
    sha256: str
    frame: int | None
    file: str | None
    reason: str | None
    facts: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, int | None]:
        return (self.sha256, self.frame)

    def line(self) -> dict[str, Any]:
        own = {"source": self.source, "frame": self.frame, "file": self.file, "reason": self.reason}
        return {**own, **self.facts, "source_sha256": self.sha256}


class Manifest:
    """What has been done for a person in a folder. Open it for as long as pictures are added."""

    def __init__(self, folder: Path, person: str) -> None:
        self.path = folder / "import" / f"{person}.jsonl"
        self.settings, self.entries = read(self.path)
        self.done = {entry.key: entry for entry in self.entries}
        self.files = {entry.file: entry for entry in self.entries if entry.file}

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Write the settings of a new manifest, or check those of an old one. UsageError when they differ."""
        wanted = json.loads(json.dumps(settings))
        if self.settings:
            for name, value in wanted.items():
                if (before := self.settings.get(name)) != value:
                    raise UsageError(
                        f"{self.path} was begun with {name} {before}, and now it is {value}: a person's pictures must "
                        "be alike. Use the same value, another folder, or --again to import this person anew"
                    )
        self.settings = wanted
        # Written anew as a whole: without a torn last line, and ready to be added to.
        lines = [{"kind": KIND, "schema_version": SCHEMA_VERSION, "settings": wanted}]
        lines += [entry.line() for entry in self.entries]
        write_atomic(self.path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())

    def add(self, entry: Entry) -> None:
        """One more line, on the disk before this returns."""
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry.line(), ensure_ascii=False, allow_nan=False) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise EnvironmentProblem(f"{self.path}: cannot be written: {error.strerror}. Free the disk") from error
        self.entries.append(entry)
        self.done[entry.key] = entry
        if entry.file:
            self.files[entry.file] = entry

    def name_for(self, stem: str, sha256: str, frame: int | None) -> str:
        """The name of a new crop: that of its picture, made safe, with the frame; told apart when it is taken."""
        plain = "".join(c if c.isalnum() or c in "._-" else "-" for c in stem).strip(".-")[:120] or "picture"
        name = plain if frame is None else f"{plain}-{frame:06d}"
        holder = self.files.get(f"{name}.exr")
        if holder is not None and holder.key != (sha256, frame):
            name = f"{name}-{sha256[:8]}"
        return f"{name}.exr"


def read(path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Settings and entries of a manifest; empty without one. UsageError when it is another file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): delete it, or import into another folder") from None
    rows = []
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    if not rows or not isinstance(rows[0], dict) or rows[0].get("kind") != KIND:
        raise UsageError(f"{path} is no manifest of an import: delete it, or import into another folder")
    return dict(rows[0].get("settings") or {}), [_entry(row) for row in rows[1:]]


def _entry(row: Mapping[str, Any]) -> Entry:
    own = ("source", "frame", "file", "reason", "source_sha256")
    facts = {name: value for name, value in row.items() if name not in own}
    return Entry(row["source"], row["source_sha256"], row["frame"], row["file"], row["reason"], facts)
