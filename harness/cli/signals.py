"""SIGINT and SIGTERM at any moment of any verb: one line, exit code 130 or 143, within seconds.

While trials run, `harness.execute.run` listens instead: they write checkpoints first.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

LEAVE_S = 4.0  # for what is under way to end by itself


class Stopped(BaseException):
    """SIGINT or SIGTERM has come. No library takes it for an error, or for a Ctrl-C that it handles itself."""

    def __init__(self, signum: int) -> None:
        super().__init__("interrupted; the same command continues where it was")
        self.signum = signum


def listen() -> None:
    """Raise Stopped in the main thread at the first signal; a second one ends the process at once."""
    heard: list[int] = []

    def told(signum: int, _: object) -> None:
        if heard:
            os._exit(128 + signum)
        heard.append(signum)
        leave_soon(signum)
        raise Stopped(signum)

    _hear(told)


def at_the_end() -> None:
    """From here on, where Python only cleans up, a signal ends the process at once."""
    _hear(lambda signum, _: os._exit(128 + signum))


def _hear(handler: Callable[[int, object], None]) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(signum) is not signal.SIG_IGN:  # as nohup asks
            signal.signal(signum, handler)


def leave(code: int) -> NoReturn:
    """End the process now, with what it has said."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def leave_soon(signum: int) -> None:
    """End the process after LEAVE_S, whatever still works, and whoever has swallowed the exception."""
    timer = threading.Timer(LEAVE_S, os._exit, [128 + signum])
    timer.daemon = True
    timer.start()
