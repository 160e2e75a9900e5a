"""The findings as one Markdown page: each design question, its answer, a picture, the cost, how sure, the command."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from harness.claims.again import agreement, repetitions
from harness.files import write_atomic
from harness.ledger.table import Table
from harness.report.card import Card, card
from harness.report.markdown import escape
from harness.report.numbers import Numbers
from harness.report.verdicts import Line

PICTURES = "pictures"  # beside the page
TILE = 160  # pixels of a face in a picture
HEAD = """\
# Findings

What the suites say to somebody who builds face swappers. Each answer is written from the records by

    {command}

All faces are drawn by a program unless a question says otherwise, and most models are small (scale quick). A finding is
sure when its interval lies on one side; what is open says how many more pairs of people would probably decide it.
"""


def write_findings(tables: Sequence[Table], place: Path, command: str) -> list[Path]:
    """Write the page and its pictures beside it; returns the page first.

    A run that repeats another with other people is a line of that one's finding.
    """
    cards = [card(Numbers(table)) for table in tables]
    written = []
    lines = [HEAD.format(command=command)]
    for first, others in repetitions(tables).items():
        table, one = tables[first], cards[first]
        again = [agreement(one.lines, cards[place].lines, tables[place]).told for place in others]
        picture = _picture(one, place.parent, "-".join(table.folder.resolve().parts[-2:]))
        written += [picture] if picture else []
        lines += _finding(one, picture.relative_to(place.parent).as_posix() if picture else "", again)
    write_atomic(place, ("\n".join(lines).rstrip("\n") + "\n").encode())
    return [place, *written]


def _picture(one: Card, folder: Path, name: str) -> Path | None:
    strip = one.strip()
    if strip is None:
        return None
    image = Image.fromarray(strip)
    if image.height != TILE:
        image = image.resize((round(image.width * TILE / image.height), TILE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=85, method=4)
    path = folder / PICTURES / f"finding-{name}.webp"
    write_atomic(path, buffer.getvalue())
    return path


def _finding(one: Card, picture: str, again: Sequence[str]) -> list[str]:
    lines = [f"## {escape(one.question)}", "", f"**{escape(one.said.found)}**", ""]
    if picture:
        captions = ", ".join(one.captions)
        lines += [f"![{escape(captions)}]({picture})", "", f"From left to right: {escape(captions)}.", ""]
    lines += [f"- {escape(_evidence(line))}" for line in one.lines if line.verdict != "undecided"]
    lines += [f"- {escape(_open(line))}" for line in one.lines if line.verdict == "undecided"]
    if one.said.cost:
        lines.append(f"- {escape(one.said.cost)}")
    lines.append(f"- How sure: {escape(_sure(one))}")
    lines += [f"- {told}" for told in again]
    return [*lines, "", *(f"      {line}" for line in one.command.splitlines()), ""]


def _evidence(line: Line) -> str:
    """A decided claim with its effect."""
    says = line.says.rstrip(".")
    held = f"{says}: yes" if line.verdict == "supported" else f"“{says}”: no"
    against = ", against the source" if line.agreement == "against the source" else ""
    return f"{held}{against} ({line.effect})."


def _open(line: Line) -> str:
    """A claim that is still open, and what would decide it."""
    lacks = f"; {line.outlook.text}" if line.outlook else ""
    return f"“{line.says.rstrip('.')}”: open ({line.effect or 'no figure'}{lacks})."


def _sure(one: Card) -> str:
    """How much stands behind the answer."""
    tally = f"; of the claims {one.tally}" if one.tally else ""
    return f"scale {one.scale}, {one.about}{tally}."
