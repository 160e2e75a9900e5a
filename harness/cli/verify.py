"""`harness verify`: whether everything in a folder of results is what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="A folder of results, one suite of it, or a face set.")
    ] = Path("results"),
    json: Json = False,
) -> None:
    """Compare every file with the hash that was kept when it was written. Exit code 1 when one is damaged."""
    from harness import terminal
    from harness.cli.verification import verify_folder
    from harness.errors import CheckFailed

    verdict = verify_folder(folder)
    if json:
        rows = [{"path": str(f.path), "reason": f.reason, "remedy": f.remedy} for f in verdict.findings]
        terminal.as_json({"folder": str(folder), "ok": not rows, "files": verdict.files, "damaged": rows})
    else:
        for finding in verdict.findings:
            print(terminal.cell(str(finding)))
        print(f"{terminal.count(verdict.files, 'file')} checked, {len(verdict.findings)} damaged")
    if verdict.findings:
        raise CheckFailed(f"{folder}: {terminal.count(len(verdict.findings), 'file')} damaged")
