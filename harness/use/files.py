"""`harness swap` over files: pictures, folders and videos, one file done after the other, and done ones left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness.data.decode import file_sha256
from harness.errors import EnvironmentProblem, UsageError
from harness.photos import light, video
from harness.photos.picture import Picture
from harness.photos.reader import Read, Request, read
from harness.photos.sources import Source, find
from harness.photos.take import can_read_videos
from harness.photos.video import Selection
from harness.use import mark
from harness.use.film import CODECS, OTHER, Film
from harness.use.swap import Look, Swapping

Progress = Callable[[str, int, int], None]  # (what, done, total)
BATCH = 16  # pictures that go through the network at once
MOST_PIXELS = 1 << 27  # of all pictures that wait for their batch


@dataclass
class Report:
    """What was done. `bad`: (source, reason), `faceless`: pictures and frames that were kept as they are."""

    written: list[Path] = field(default_factory=list)
    before: int = 0
    swapped: int = 0
    faceless: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, str]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """One file and where its swap goes."""

    source: Source
    out: Path
    text: str


def swap_files(named: Path, out: Path, swapping: Swapping, progress: Progress | None = None) -> Report:
    """Swap a picture, a video, or every one of a folder, into `out`: a file, or a folder for several.

    Files that carry the mark of the same swap are left alone. UsageError: nothing to read, or `out` is in the way;
    EnvironmentProblem: no package for videos, the disk.
    """
    report, jobs = Report(), list[Job]()
    sources = find([named], besides=out if out.is_dir() else None).sources
    if not sources:
        raise UsageError(f"{named}: no picture and no video")
    if any(one.video and one.reason is None for one in sources) and not can_read_videos():
        raise EnvironmentProblem(video.NEEDED)
    for source, target in zip(sources, _targets(named, out, sources), strict=True):
        reason = source.reason or _in_the_way(target)
        if reason is not None:
            report.bad.append((str(source.path), reason))
            continue
        recipe = swapping.recipe(file_sha256(source.path))
        if mark.recipe_of(target) == recipe:
            report.before += 1
        else:
            jobs.append(Job(source, target, mark.text_of(recipe, "video" if source.video else "picture")))
    try:
        for target in {job.out for job in jobs}:
            target.parent.mkdir(parents=True, exist_ok=True)
        _Run(jobs, swapping, report, progress).over()
    except OSError as error:
        raise EnvironmentProblem(f"{error.filename or out}: cannot be written: {error.strerror or error}") from error
    return report


def _targets(named: Path, out: Path, sources: Sequence[Source]) -> list[Path]:
    """Where each source's swap goes: the same name in the folder `out`, or `out` itself for a single file."""
    if not named.is_dir():
        single = out / named.name if out.is_dir() or not out.suffix else out
        return [_readable(single, sources[0].video)]
    if out.is_file():
        raise UsageError(f"--out {out} is a file, and {named} is a folder. Expected a folder")
    return [_readable(out / source.path.relative_to(named), source.video) for source in sources]


def _readable(path: Path, video: bool) -> Path:
    return path.with_suffix(OTHER) if video and path.suffix.lower() not in CODECS else path


def _in_the_way(target: Path) -> str | None:
    if target.exists() and mark.recipe_of(target) is None:
        return f"{target} exists already and is no swap made here: it is left alone. Choose another --out"
    return None


class _Run:
    """One pass over all jobs."""

    def __init__(self, jobs: list[Job], swapping: Swapping, report: Report, progress: Progress | None) -> None:
        self.jobs, self.swapping, self.report, self.progress = jobs, swapping, report, progress
        self.waiting: list[tuple[Read, Picture, Look]] = []
        self.film: Film | None = None

    def over(self) -> None:
        requests = (Request(str(job.source.path), Selection() if job.source.video else None) for job in self.jobs)
        try:
            with closing(read(requests)) as reads:
                for item in reads:
                    if item.picture is None:
                        self._end(item)
                    else:
                        self._take(item, item.picture)
            self._flush()
        finally:
            if self.film is not None:
                self.film.abandon()

    def _take(self, item: Read, picture: Picture) -> None:
        self._tell(item)
        look = self.swapping.look(picture)
        if look.reason is not None:
            self.report.faceless[look.reason] += 1
        self.waiting.append((item, picture, look))
        if len(self.waiting) >= BATCH or sum(p.pixels[..., 0].size for _, p, _ in self.waiting) > MOST_PIXELS:
            self._flush()

    def _tell(self, item: Read) -> None:
        if self.progress is not None:
            name = self.jobs[item.index].source.path.name
            frame = "" if item.frame is None else f", frame {item.frame}"
            self.progress(f"{name}{frame}", item.index, len(self.jobs))

    def _flush(self) -> None:
        """Swap what waits, and write it in order."""
        answers = self.swapping.answers([look for _, _, look in self.waiting])
        for (item, picture, look), answer in zip(self.waiting, answers, strict=True):
            job = self.jobs[item.index]
            if answer is not None:
                self.report.swapped += 1
            if job.source.video:
                self.film = self.film or Film(job.out, job.source.path, job.text)
                pixels = light.shown(picture) if answer is None else self.swapping.pasted(picture, look, answer)
                self.film.add(pixels, float(item.time or 0.0))
            elif answer is None:
                self.report.bad.append((str(job.source.path), f"{look.reason}: not written"))
            else:
                self._write(job, picture, look, answer)
        self.waiting = []

    def _write(self, job: Job, picture: Picture, look: Look, answer: np.ndarray) -> None:
        if picture.pixels.dtype == np.uint16:
            self.report.notes.append((str(job.source.path), "16 bits a channel: written with 8"))
        pixels, alpha = self.swapping.finished(picture, look, answer)
        if job.out.suffix.lower() == ".exr":
            linear = light.from_bytes(pixels)
            matte = np.ones(linear.shape[:2], np.float32) if alpha is None else light.share(alpha)
            premultiplied = linear if pixels.dtype == np.float32 else linear * matte[..., None]
            mark.save_exr(job.out, np.dstack([premultiplied, matte]).transpose(2, 0, 1), job.text)
        else:
            shown = light.display_bytes(pixels) if pixels.dtype == np.float32 else pixels
            mark.save_picture(job.out, shown, None if alpha is None else light.as_bytes(alpha), job.text)
        self.report.written.append(job.out)

    def _end(self, item: Read) -> None:
        """A source is through. A video that broke off is finished with what there was of it."""
        self._flush()
        job = self.jobs[item.index]
        if item.reason is not None:
            self.report.bad.append((str(job.source.path), item.reason))
        if self.film is not None:
            film, self.film = self.film, None
            film.finish()
            self.report.written.append(job.out)
            self.report.notes += [(str(job.source.path), note) for note in film.notes]
