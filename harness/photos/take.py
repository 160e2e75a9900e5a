"""The import itself: sources -> crops, a manifest and a contact sheet. It can be stopped and run again at any time."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.decode import file_sha256
from harness.data.exr import write_exr
from harness.errors import EnvironmentProblem, UsageError
from harness.lock import claim_trial
from harness.photos import light, quality, video
from harness.photos.judge import Embed, Judge, LeftOut, mask_of
from harness.photos.manifest import Entry, Manifest
from harness.photos.picture import Picture
from harness.photos.reader import Read, Request, read
from harness.photos.settings import Settings
from harness.photos.sheet import Thumbnails
from harness.photos.sources import Source, find
from models.photographs import FaceFinder

Progress = Callable[[str, int, int], None]  # (what is being read, sources done, sources in all)
HALF_MAX = float(np.finfo(np.float16).max)


@dataclass
class Outcome:
    """What this run did. `bad`: (source, reason) of files that could not be read, or not to their end."""

    taken: int = 0
    before: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, str]] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)


def take(
    named: Sequence[Path],
    person: str,
    folder: Path,
    settings: Settings,
    *,
    embed: Embed | None = None,
    finder: FaceFinder | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Import `named` (files and folders) as `person` ("src" or "dst") into `folder`/person.

    What the manifest has already is not done again; `again` begins anew. UsageError: a name that does not exist, other
    settings than before, no picture at all. EnvironmentProblem: no package for videos, the disk.
    """
    found = find(named, besides=folder)
    if any(source.video and source.reason is None for source in found.sources) and not can_read_videos():
        raise EnvironmentProblem(video.NEEDED)
    if not found.sources:
        seen = ", ".join(f"{count} {suffix}" for suffix, count in found.ignored.most_common(5)) or "nothing"
        raise UsageError(f"{', '.join(map(str, named))}: no picture and no video, but {seen}")
    place = folder / person
    try:
        place.mkdir(parents=True, exist_ok=True)
        (folder / "import").mkdir(exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"{error.filename}: cannot be written: {error.strerror}") from None
    with claim_trial(folder / "import" / f".{person}"):
        if again:
            _forget(folder, person)
        manifest = Manifest(folder, person)
        manifest.begin(settings.deciding())
        judge = Judge(settings, finder or FaceFinder(), embed)
        thumbnails = Thumbnails(folder, person)
        try:
            return _Run(manifest, judge, place, thumbnails, progress).over(found.sources, found.ignored)
        finally:
            thumbnails.draw(manifest.entries)


def can_read_videos() -> bool:
    """Whether PyAV is here."""
    return importlib.util.find_spec("av") is not None


def _forget(folder: Path, person: str) -> None:
    """Delete what an earlier import wrote, and nothing else."""
    for entry in Manifest(folder, person).entries:
        if entry.file and Path(entry.file).name == entry.file:
            (folder / person / entry.file).unlink(missing_ok=True)
    Thumbnails(folder, person).forget()
    (folder / "import" / f"{person}.jsonl").unlink(missing_ok=True)


class _Run:
    """One pass over all sources."""

    def __init__(
        self, manifest: Manifest, judge: Judge, place: Path, thumbnails: Thumbnails, progress: Progress | None
    ) -> None:
        self.manifest, self.judge, self.place, self.thumbnails = manifest, judge, place, thumbnails
        self.progress, self.outcome = progress, Outcome()
        self.looks, self.hashes = quality.Looks(), dict[int, tuple[Source, str]]()
        self.earlier = set(manifest.done)
        for entry in manifest.entries:
            if entry.file and "look" in entry.facts:
                self.looks.add(entry.file, quality.unpack(entry.facts["look"]))

    def over(self, sources: Sequence[Source], ignored: Counter[str]) -> Outcome:
        self.outcome.ignored = ignored
        with closing(read(self._requests(sources))) as reads:
            for item in reads:
                source, sha256 = self.hashes[item.index]
                if item.picture is None:
                    self._ended(source, sha256, item)
                elif (sha256, item.frame) in self.manifest.done:
                    self._was_done(sha256, item.frame)
                else:
                    self._one(source, sha256, item, item.picture)
                if self.progress is not None and item.frame is not None:
                    self.progress(f"{source.path.name}, frame {item.frame}", item.index, len(sources))
        return self.outcome

    def _requests(self, sources: Sequence[Source]) -> Iterator[Request]:
        """The sources that still have something to read, each with its hash noted."""
        for number, source in enumerate(sources):
            if self.progress is not None:
                self.progress(source.path.name, number, len(sources))
            sha256, reason = "", source.reason
            if reason is None:
                try:
                    sha256 = file_sha256(source.path)
                except OSError as error:
                    reason = f"cannot be read: {error.strerror or error}"
            selection = self.judge.settings.selection if source.video else None
            if reason is not None:
                self.outcome.bad.append((str(source.path), reason))
            elif self._is_done(sha256, selection):
                self._was_done(sha256, None)
            else:
                self.hashes[len(self.hashes)] = source, sha256
                yield Request(str(source.path), selection)
        if self.progress is not None:
            self.progress("", len(sources), len(sources))

    def _is_done(self, sha256: str, selection: Any) -> bool:
        """Whether a file was read to its end before; a damaged one is tried, and named, again."""
        entry = self.manifest.done.get((sha256, None))
        return entry is not None and not entry.facts.get("bad") and entry.facts.get("selection") == _plain(selection)

    def _was_done(self, sha256: str, frame: int | None) -> None:
        if (sha256, frame) in self.earlier:
            self.outcome.before += 1
        else:
            self.outcome.left_out["the same file as another"] += 1

    def _ended(self, source: Source, sha256: str, item: Read) -> None:
        """A source is through: damaged ones are named, and finished videos noted, so that they are not read again."""
        if item.reason is not None:
            self.outcome.bad.append((str(source.path), item.reason))
        if not source.video and item.reason is None:
            return
        facts: dict[str, Any] = {"bad": item.reason is not None}
        if source.video:
            facts["selection"] = _plain(self.judge.settings.selection)
        known = self.manifest.done.get((sha256, None))
        if known is None or (known.reason, known.facts) != (item.reason, facts):
            self.manifest.add(Entry(str(source.path), sha256, None, None, item.reason, facts))

    def _one(self, source: Source, sha256: str, item: Read, picture: Picture) -> None:
        facts: dict[str, Any] = {"time": item.time, "notes": list(picture.notes)}
        file = reason = None
        try:
            crop = self.judge(picture, mask_of(self.judge.settings.masks, source.path, item.frame))
            self._unlike_the_others(crop.look)
            file = self.manifest.name_for(source.path.stem, sha256, item.frame)
            write_exr(self.place / file, _writable(crop.pixels))
            facts |= {**crop.facts, "sha256": file_sha256(self.place / file), "look": quality.pack(crop.look)}
            self.looks.add(file, crop.look)
            self.outcome.taken += 1
            self.outcome.notes.update(picture.notes)
        except LeftOut as left:
            reason = str(left)
            self.outcome.left_out[kind_of(reason)] += 1
            self.thumbnails.keep(light.shown(picture), left.face, f"{sha256[:16]}-{item.frame or 0}")
        except OSError as error:
            raise EnvironmentProblem(f"{self.place}: cannot be written: {error.strerror or error}") from error
        self.manifest.add(Entry(str(source.path), sha256, item.frame, file, reason, facts))

    def _unlike_the_others(self, look: np.ndarray) -> None:
        """Raises LeftOut for a crop that is nearly the same as one that is there."""
        limit = self.judge.settings.duplicates
        name, distance = self.looks.nearest(look)
        if limit is not None and distance < limit:
            raise LeftOut(f"nearly the same as {name}: difference {distance:.3f}, under {limit:g}")


def kind_of(reason: str) -> str:
    """The part of a reason that many pictures share."""
    return reason.partition(":")[0].partition(" as ")[0]


def _plain(value: Any) -> Any:
    """A dataclass as JSON gives it back; None for None."""
    return None if value is None else json.loads(json.dumps(asdict(value)))


def _writable(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.clip(0, HALF_MAX).transpose(2, 0, 1))
