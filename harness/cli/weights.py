"""`harness weights`: which pretrained files are here, where the others belong, and taking one in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

weights_app = typer.Typer(
    help="Pretrained files of others (LPIPS trunks, face embedders): list, add or get one.", rich_markup_mode=None
)


@weights_app.callback(invoke_without_command=True)
def list_(
    context: typer.Context, json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False
) -> None:
    """What is present, what is missing, the exact file names, their hashes, and where they belong."""
    if context.invoked_subcommand:
        return
    from harness import terminal
    from harness.score import weights

    rows = [
        {
            "name": one.known.name,
            "state": one.state,
            "for": one.known.purpose,
            "file": one.known.file,
            "folder": str(one.known.path.parent),
            "size": f"{one.known.mib} MiB",
            "hash": one.note,
            "from": one.known.origin,
        }
        for one in weights.states()
    ]
    if json:
        terminal.as_json({"weights": rows})
        return
    for row in rows:
        print(f"{row['name']}: {row['state']}")
        for key in ("for", "file", "folder", "size", "hash", "from"):
            print(f"  {key:<8}{terminal.cell(row[key])}")
    terminal.say("nothing is fetched by itself: `harness weights get NAME --yes`, or `harness weights add FILE`")


@weights_app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A file you have got.")],
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Which one it is, when renamed.")] = None,
) -> None:
    """Verify a file (hash, every key, every shape) and copy it to its place."""
    from harness.score import weights

    path, digest = weights.add(file, name)
    print(f"{path}\nSHA-256 {digest}")


@weights_app.command()
def get(
    name: Annotated[str, typer.Argument(help="Which one, as `harness weights` lists them.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do fetch it.")] = False,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HEX", help="The hash that it must have, where none is published.")
    ] = None,
) -> None:
    """Fetch a file from its publisher, check its hash and put it in its place; anything else is refused."""
    from harness.cli.bar import bar
    from harness.score import fetch

    known, expected = fetch.checked(name, sha256)
    if not yes:
        from harness.errors import UsageError

        raise UsageError(
            f"this would fetch {known.address} (about {known.mib} MiB, SHA-256 {expected[:16]}...) into "
            f"{known.path.parent}. Add --yes"
        )
    with bar() as progress:
        path, digest = fetch.get(name, sha256, progress)
    print(f"{path}\nSHA-256 {digest}")
