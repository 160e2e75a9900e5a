"""The command `harness`, also as `python -m harness.cli`. Signals are heard before anything else is imported."""

from __future__ import annotations

import signal
import sys

from harness.cli.last_catch import exit_code
from harness.cli.signals import Stopped, at_the_end, leave, listen

INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)


def main() -> None:
    """Entry point: every failure becomes one line on stderr and a defined exit code."""
    listen()
    try:
        code = _code()
        at_the_end()
    except Stopped as stop:  # between the end of the work and the line above
        code = 128 + stop.signum
    if code in INTERRUPTED:  # threads that work on are not waited for, nor is all of torch taken down in order
        leave(code)
    sys.exit(code)


def _code() -> int:
    try:
        return exit_code(_program)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _program() -> None:
    from harness.cli.app import main as program

    program()


if __name__ == "__main__":
    main()
