"""What the command line prints: JSON with a schema version, and plain tables that fit a terminal and a pipe alike."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.files import finite

SCHEMA_VERSION = 1


def as_json(values: Mapping[str, Any]) -> None:
    """Print a JSON object with `schema_version` on stdout; NaN becomes null."""
    text = json.dumps({"schema_version": SCHEMA_VERSION, **finite(values)}, indent=1, ensure_ascii=True, default=str)
    print(text)


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print aligned columns on stdout: numbers to the right, text to the left, a rule under the head."""
    content = list(rows)
    if not content:
        return
    names = list(columns or dict.fromkeys(key for row in content for key in row))
    cells = [[cell(row.get(name)) for name in names] for row in content]
    right = [all(_numeric(row.get(name)) for row in content) for name in names]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]

    def printed(line: Sequence[str]) -> str:
        parts = [t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True)]
        return "  ".join(parts).rstrip()

    print(printed(names))
    print("  ".join("-" * width for width in widths))
    for line in cells:
        print(printed(line))


def _numeric(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def cell(value: Any) -> str:
    """A value in a table: four significant digits, nothing for None, control characters shown as escapes."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "-"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def say(text: str) -> None:
    """One line of diagnostics on stderr."""
    print(text, file=sys.stderr, flush=True)


def count(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(number: float | None) -> str:
    """Bytes for people: `3.4 MB`."""
    if number is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


class Counter:
    """Called with (what, done, total): a line on stderr at most every `interval_s` seconds."""

    def __init__(self, interval_s: float = 2.0) -> None:
        self.interval_s, self._last = interval_s, time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell how far it is."""
        if time.monotonic() - self._last >= self.interval_s:
            self._last = time.monotonic()
            say(f"{what}: {done} of {total}")
