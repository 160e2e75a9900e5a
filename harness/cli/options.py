"""Options that several verbs share, and the names that they had before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

RESULTS = Path("results")
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Folder of the results.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")]

_OUT, _ROOT, _CACHE = {"--out": "--results"}, {"--root": "--results"}, {"--cache": "--results"}
_TO = {"--out": "--to"}
RENAMED = {  # since 0.2; the old names still work
    "run": _OUT, "list": _OUT, "show": _OUT, "watch": _OUT, "export": _OUT, "bench": _OUT,
    "report": _ROOT | _TO, "claims": _ROOT | _TO, "compare": _ROOT,
    "metrics check": _CACHE | _TO, "metrics cost": _CACHE, "recognisers train": _TO,
}  # fmt: skip


def renamed(arguments: Sequence[str]) -> list[str]:
    """The arguments of the command line with options under their present names."""
    words = [word for word in arguments if not word.startswith("-")]
    names = RENAMED.get(" ".join(words[:2])) or RENAMED.get(" ".join(words[:1])) or {}
    found, plain = [], False
    for word in arguments:
        plain = plain or word == "--"
        name, equals, value = word.partition("=")
        found.append(word if plain else names.get(name, name) + equals + value)
    return found
