"""The command `harness`, also as `python -m harness.cli`. Signals are heard before anything else is imported."""

from __future__ import annotations

import signal
import sys

from harness.cli.last_catch import exit_code
from harness.cli.signals import leave_soon, listen


def main() -> None:
    """Entry point: every failure becomes one line on stderr and a defined exit code."""
    listen()
    try:
        sys.exit(exit_code(_program))
    except SystemExit as end:
        if end.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):  # threads may work on: they are not waited for long
            leave_soon(end.code - 128)
        raise


def _program() -> None:
    from harness.cli.app import main as program

    program()


if __name__ == "__main__":
    main()
