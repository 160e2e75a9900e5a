"""How long a trial may take in all, and how long it may be silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

TIME_LIMIT_S = {"quick": 3600.0, "standard": 6 * 3600.0, "large": 72 * 3600.0, "paper": 72 * 3600.0}
SILENCE_S = 900.0
LOOK_S = 5.0  # of the time between two looks at most this much counts: the runner, too, may have been asleep


class Patience:
    """Waits for one trial. `limit_s` in all and `silence_s` since its last sign of life, on the runner's own clock."""

    def __init__(self, limit_s: float, silence_s: float = SILENCE_S, clock: Callable[[], float] = time.monotonic):
        self.limit_s, self.silence_s, self.clock = limit_s, silence_s, clock
        self.looked = clock()
        self.waited = self.silent = 0.0
        self.sign: object = None

    def exhausted(self, sign: object) -> str | None:
        """Why the trial is given up, or None. `sign` is anything that changes while the trial lives."""
        now = self.clock()
        passed = min(now - self.looked, LOOK_S)
        self.looked = now
        self.waited += passed
        self.silent = 0.0 if sign != self.sign else self.silent + passed
        self.sign = sign
        if self.waited > self.limit_s:
            return f"took longer than its limit of {self.limit_s:.0f} s"
        return f"gave no sign of life for {self.silent:.0f} s" if self.silent > self.silence_s else None


def sign_of_life(folder: Path) -> object:
    """What changes with every beat of the trial in `folder`; that a status comes or goes is a change, too."""
    try:
        status = (folder / "status.json").stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino
