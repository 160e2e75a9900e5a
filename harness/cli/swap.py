"""`harness swap`: a trained model on pictures, folders and videos."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import RESULTS, Json, Results
from harness.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from harness.use.files import Report


class To(StrEnum):
    """Whose face is shown."""

    src = "src"
    dst = "dst"


class Colour(StrEnum):
    """What becomes of the swap's colours."""

    none = "none"
    match = "match"


class Blend(StrEnum):
    """How the swap is joined to the picture."""

    feather = "feather"
    seamless = "seamless"


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def swap(
    trial: Annotated[str, typer.Argument(help="A finished trial: its name, the beginning of it, or its folder.")],
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture, a video, or a folder of them.")],
    to: Annotated[To, typer.Option(help="Whose face the pictures shall show.")],
    out: Annotated[Path, typer.Option(metavar="OUT", help="The file to write; for a folder, a folder.")],
    results: Results = RESULTS,
    aligned: Annotated[bool, typer.Option("--aligned", help="The pictures are aligned crops, and stay so.")] = False,
    like: Annotated[
        Path | None, typer.Option(metavar="PICTURE", help="Swap the face most like this one (needs weights).")
    ] = None,
    crop: Annotated[
        float | None, typer.Option(min=0.5, max=5.0, help="Crop factor (that of the training pictures).")
    ] = None,
    black: Annotated[
        bool | None, typer.Option("--black/--keep", help="What is behind the face (as in training).")
    ] = None,
    feather: Annotated[float, typer.Option(min=0, max=0.3, help="Soft edge, share of the crop.")] = 0.08,
    shrink: Annotated[float, typer.Option(min=0, max=0.3, help="Draw the matte in, share of the crop.")] = 0.02,
    colour: Annotated[Colour, typer.Option(help="match: mean and spread of the colours it covers.")] = Colour.none,
    blend: Annotated[Blend, typer.Option(help="seamless: OpenCV's seamless cloning.")] = Blend.feather,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.py", help="A file of your own with the variant.")
    ] = None,
    json: Json = False,
) -> None:
    """Find, swap and paste back the faces of pictures and videos. The same command continues; sound is kept.

    Everything written says in its metadata that it is synthetic. Swapping a real person's face needs their consent.
    """
    from harness import terminal
    from harness.cli.bar import bar
    from harness.cli.photos import embedder
    from harness.use.files import swap_files
    from harness.use.model import load_model
    from harness.use.paste import Pasting
    from harness.use.swap import Manner, Swapping, trained_on

    if source.resolve() == out.resolve():
        raise UsageError(f"--out {out}: this is the input. Choose another place")
    model = load_model(trial, root=results, device=device.value, plugins=plugin or ())
    known = trained_on(model.record)
    if not known and not aligned and crop is None:
        terminal.say("how the training pictures were aligned is not known: crop factor 1.35 is taken (--crop)")
    manner = Manner(
        crop=crop or known.get("crop", 1.35),
        black=known.get("background") == "black" if black is None else black,
        aligned=aligned,
        like=like,
    )
    pasting = Pasting(feather, shrink, colour.value, blend.value)
    swapping = Swapping(model, to.value, manner, pasting, embed=embedder(like) if like is not None else None)
    with bar() as progress:
        report = swap_files(source, out, swapping, progress)
    _told(report, out, json)


def _told(report: Report, out: Path, json: bool) -> None:
    from harness import terminal

    if json:
        bad = [{"source": source, "reason": reason} for source, reason in report.bad]
        written = [str(path) for path in report.written]
        counts = {"swapped": report.swapped, "done_before": report.before, "kept": dict(report.faceless)}
        terminal.as_json({"out": str(out), "written": written, **counts, "bad": bad})
    else:
        for source, reason in [*report.notes, *report.bad]:
            print(f"{terminal.cell(source)}: {terminal.cell(reason)}")
        for reason, count in report.faceless.items():
            print(f"not swapped: {count}, {terminal.cell(reason)}")
        before = f", {report.before} done before" if report.before else ""
        print(f"{terminal.count(len(report.written), 'file')} written{before}: {out}")
    if report.bad and not report.written and not report.before:
        raise CheckFailed("nothing was written")
