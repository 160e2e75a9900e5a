"""One view of a suite's trials, for the shell that runs them and for any other: a live table, or plain lines.

On a terminal: a table. Elsewhere: a line whenever a twentieth more of the work is over or half a minute has passed,
without escape codes. NO_COLOR is respected.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, TextIO

from harness.ledger.progress import Row, doing, duration, headline, line, outcome, over, share
from harness.terminal import cell

if TYPE_CHECKING:
    from rich.table import Table

PART, PAUSE_S = 0.05, 30.0  # of the work, and seconds, after which plain lines say more
MANY = 20  # rows of a table; of more trials the last that have begun are shown


class View:
    """Shows one look after another on a stream. `live` chooses the table; the default is what the stream can do.

    The table stays when the view ends, unless it is `passing`.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        live: bool | None = None,
        passing: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        terminal = stream.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
        self.stream, self.live, self.passing, self.clock = stream, terminal if live is None else live, passing, clock
        self.table: Any = None
        self.said: list[str] | None = None  # none before the first plain lines
        self.said_at = self.said_share = 0.0

    def __enter__(self) -> Self:
        if self.live:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self.stream)
            self.table = Live(console=console, auto_refresh=False, transient=self.passing).__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self.table is not None:
            self.table.__exit__(*error)

    def show(self, current: Sequence[Row], notes: Sequence[str], *, now: bool = False) -> None:
        """The state of the trials, and lines that belong to it. `now`: plain lines do not wait for more."""
        if self.table is not None:
            from rich.console import Group
            from rich.text import Text

            lines = (Text(note, style="dim", overflow="fold") for note in notes)
            self.table.update(Group(drawn(current), *lines), refresh=True)
        elif now or self._due(current):
            self._say(current, notes)

    def _due(self, current: Sequence[Row]) -> bool:
        if self.said is None or share(current) - self.said_share >= PART:
            return True
        return self.clock() - self.said_at >= PAUSE_S

    def _say(self, current: Sequence[Row], notes: Sequence[str]) -> None:
        ended = [outcome(row) for row in current if over(row)]
        running = [headline(current), *(line(row) for row in current if row.state == "running")]
        lines = [cell(text) for text in [*ended, " | ".join(running), *notes]]
        for text in lines:
            if text not in (self.said or ()):
                print(f"{time.strftime('%H:%M:%S')} {text}", file=self.stream, flush=True)
        self.said, self.said_at, self.said_share = lines, self.clock(), share(current)


def drawn(current: Sequence[Row]) -> Table:
    """A table of rich for a terminal; of many trials the last that have begun."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(headline(current)), title_justify="left", box=None, pad_edge=False)
    for name, justify in (("trial", "left"), ("seed", "right"), ("state", "left"), ("step", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in ("images/s", "loss", "left"):
        table.add_column(name, justify="right")
    shown = [row for row in current if row.state != "waiting"][-12:] if len(current) > MANY else current
    colours = {"done": "green", "running": "cyan", "waiting": "dim"}
    for row in shown:
        table.add_row(
            Text(row.label),  # a name with [brackets] is a name
            str(row.seed),
            Text(doing(row), style=colours.get(row.state, "red")),
            f"{row.step}/{row.steps}" if row.steps else "",
            f"{row.images_per_s:.0f}" if row.images_per_s else "",
            f"{row.loss:.4g}" if row.loss is not None else "",
            duration(row.eta_s) if row.eta_s is not None else "",
        )
    return table
