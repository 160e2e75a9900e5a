"""`harness data import`: photographs and videos into a folder of aligned faces."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from harness.photos.judge import Embed
    from harness.photos.take import Outcome


class Person(StrEnum):
    """Whose pictures."""

    src = "src"
    dst = "dst"


class Align(StrEnum):
    """How pictures become aligned."""

    mtcnn = "mtcnn"
    none = "none"


class Background(StrEnum):
    """What is behind the face."""

    keep = "keep"
    black = "black"


def import_(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Pictures, videos, folders of them.")],
    person: Annotated[Person, typer.Option(help="Whose pictures these are.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of faces to write to or add to.")],
    align: Annotated[Align, typer.Option(help="none: the pictures are aligned already.")] = Align.mtcnn,
    size: Annotated[
        int | None, typer.Option(min=16, max=2048, help="Side of a crop, pixels (256; with --align none their own).")
    ] = None,
    crop: Annotated[float, typer.Option(min=0.5, max=5.0, help="Crop factor: 1 ends at chin and forehead.")] = 1.35,
    background: Annotated[Background, typer.Option(help="What is behind the face.")] = Background.keep,
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Face mattes: NAME.png, of a video's frame NAME-000012.png.")
    ] = None,
    like: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Take the face most like this one (needs weights).")
    ] = None,
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Of a video, every N-th frame.")] = 1,
    fps: Annotated[float | None, typer.Option(min=0.01, help="Of a video, so many frames a second.")] = None,
    start: Annotated[float, typer.Option("--from", min=0, metavar="SECONDS", help="Of a video, from here.")] = 0.0,
    end: Annotated[float | None, typer.Option("--to", min=0, metavar="SECONDS", help="Of a video, to here.")] = None,
    smallest: Annotated[
        float | None, typer.Option(min=0, metavar="PIXELS", help="Least span of a crop in its picture (size / 2).")
    ] = None,
    sharpness: Annotated[float | None, typer.Option(min=0, help="Least sharpness; 0 takes all (0.05).")] = None,
    duplicates: Annotated[
        float | None, typer.Option(min=0, help="Least difference to the others; 0 takes all (0.03).")
    ] = None,
    confidence: Annotated[float, typer.Option(min=0, max=1, help="Least confidence of the detector.")] = 0.9,
    again: Annotated[bool, typer.Option("--again", help="Delete this person's import, and begin anew.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Find, align and crop the faces of photographs and videos, and write them as EXR with a manifest.

    Small, blurred, near-duplicate and faceless pictures are left out with their reason. The same command continues.
    """
    from harness.cli.bar import bar
    from harness.photos import settings as choices
    from harness.photos.take import take
    from harness.photos.video import Selection

    if masks is not None and not masks.is_dir():
        raise UsageError(f"--masks {masks}: there is no such folder")
    aligned = align is Align.none
    wanted = choices.Settings(
        align=align.value,
        size=size,
        crop=crop,
        background=background.value,
        smallest=smallest,
        sharpness=(None if aligned else choices.SHARPNESS) if sharpness is None else sharpness or None,
        duplicates=(None if aligned else choices.DUPLICATES) if duplicates is None else duplicates or None,
        confidence=confidence,
        like=like,
        masks=masks,
        selection=Selection(every, fps, start, end),
    )
    embed = embedder(like) if like is not None else None
    with bar() as progress:
        outcome = take(sources, person.value, out, wanted, embed=embed, again=again, progress=progress)
    _told(outcome, person.value, out, json)


def embedder(like: Path) -> Embed:
    """What tells the person of the picture `--like` from others. EnvironmentProblem without its weights."""
    import torch

    from harness.score import weights

    if not like.is_file():
        raise UsageError(f"--like {like}: there is no such picture")
    net = weights.face_embedder(torch.device("cpu"))
    if net is None:
        raise EnvironmentProblem(f"--like needs a recogniser of photographs. {weights.face_advice()}")
    return lambda crops: net(torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255).numpy()


def _told(outcome: Outcome, person: str, out: Path, json: bool) -> None:
    from harness import terminal

    if json:
        bad = [{"source": source, "reason": reason} for source, reason in outcome.bad]
        counts = {"taken": outcome.taken, "done_before": outcome.before, "left_out": dict(outcome.left_out)}
        ignored = dict(outcome.ignored)
        terminal.as_json({"folder": str(out), "person": person, **counts, "bad": bad, "ignored": ignored})
        return
    for source, reason in outcome.bad:
        print(f"{terminal.cell(source)}: {terminal.cell(reason)}")
    for note, count in outcome.notes.items():
        print(f"note: {terminal.cell(note)} ({terminal.count(count, 'picture')})")
    for suffix, count in outcome.ignored.items():
        print(f"not looked at: {count} {terminal.cell(suffix)}")
    left = ", ".join(f"{count} {terminal.cell(kind)}" for kind, count in outcome.left_out.most_common())
    before = f", {outcome.before} done before" if outcome.before else ""
    print(f"{person}: {outcome.taken} taken{before}; left out: {left or 'none'}")
    print(f"{out / 'import' / f'{person}.png'}")
