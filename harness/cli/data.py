"""`harness data`: make, check or look at a folder of faces."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.photos import import_
from harness.errors import CheckFailed, UsageError

data_app = typer.Typer(
    help="Make, import, check or look at a folder of faces.", no_args_is_help=True, rich_markup_mode=None
)
data_app.command("import")(import_)


class Variation(StrEnum):
    """How loosely the built-in faces are aligned."""

    aligned = "aligned"
    free = "free"


def people_of(text: str) -> str | int:
    """A named pair, or the number of a random one."""
    return int(text) if text.isascii() and text.isdecimal() else text


def _known(text: str) -> str:
    pair = people_of(text)
    if pair not in ("near", "mid", "far") and not (isinstance(pair, int) and pair < 2**31):
        raise typer.BadParameter(f"{text!r} is neither near, mid or far nor the number of a random pair")
    return text


PairOption = Annotated[
    str, typer.Option(callback=_known, metavar="near|mid|far|N", help="Built-in people; N: a random pair.")
]
VariationOption = Annotated[Variation, typer.Option(help="How loosely the built-in faces are aligned.")]


@data_app.command()
def make(
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet.")],
    pair: PairOption = "far",
    variation: VariationOption = Variation.aligned,
    frames: Annotated[int, typer.Option(min=2, max=100_000, help="Training images of each person.")] = 400,
    eval_frames: Annotated[int, typer.Option(min=2, max=10_000, help="Matched evaluation poses.")] = 64,
    size: Annotated[int, typer.Option(min=8, max=2048, help="Image side, pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the poses.")] = 0,
    supersample: Annotated[int, typer.Option(min=1, max=8, help="Samples along each pixel side.")] = 2,
    full: Annotated[bool, typer.Option("--float", help="32-bit floats instead of 16-bit ones.")] = False,
) -> None:
    """Render the built-in faces as EXR files with a manifest of factors and hashes."""
    from harness import terminal
    from harness.data.faces import VARIATIONS
    from harness.data.faceset import make_faceset

    if folder.exists():
        raise UsageError(f"{folder} exists already. Expected a new folder")
    make_faceset(
        folder,
        pair=people_of(pair),
        loose=VARIATIONS[variation.value]._asdict(),
        frames=frames,
        eval_frames=eval_frames,
        size=size,
        seed=seed,
        half=not full,
        supersample=supersample,
        progress=terminal.Counter(),
    )
    print(folder)


@data_app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder with src/ and dst/.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """Read every image of a folder and name the bad ones. Exit code 1 when there are any."""
    from harness import terminal
    from harness.data.faceset import check_folder
    from harness.photos.advice import advice

    _folder(folder)
    hints = advice(folder)
    try:
        found = check_folder(folder, progress=terminal.Counter())
    except UsageError as error:
        raise UsageError(". ".join([str(error), *hints])) from None
    bad = [{"file": file, "reason": reason} for file, reason in found.bad]
    notes = [{"file": file, "note": note} for file, note in found.notes]
    if json:
        content = {"good": found.good, "bad": bad, "notes": notes, "sizes": found.sizes, "synthetic": found.synthetic}
        terminal.as_json({"folder": str(folder), "ok": found.ok, **content, "to_import": hints})
    else:
        for row in bad:
            print(f"{terminal.cell(row['file'])}: {terminal.cell(row['reason'])}")
        for note in sorted({row["note"] for row in notes}):
            print(f"note: {terminal.cell(note)} ({sum(row['note'] == note for row in notes)} files)")
        for hint in hints:
            print(terminal.cell(hint))
        print("good: " + ", ".join(f"{count} in {group}" for group, count in found.good.items()))
    if hints and not bad and not all(found.good.values()):
        raise CheckFailed(f"{folder}: no readable EXR of both people yet. Import the pictures named above")
    if not found.ok:
        raise CheckFailed(f"{folder}: {len(bad)} files are not usable. Expected readable images of both people")


@data_app.command()
def preview(
    folder: Annotated[Path, typer.Argument(help="Folder with src/ and dst/.")],
    picture: Annotated[Path, typer.Argument(help="PNG file to write.")],
) -> None:
    """Draw a contact sheet of a folder of faces."""
    from harness.data.faceset import preview_sheet

    _folder(folder)
    preview_sheet(folder, picture)
    print(picture)


def _folder(folder: Path) -> None:
    if folder.is_file():
        raise UsageError(f"{folder} is a file. Expected a folder with src/ and dst/")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}. Expected one with src/ and dst/")
