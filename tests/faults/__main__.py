"""`python -m tests.faults --minutes N [--seed S] [--only KIND]`: exit 1 for anything lost or silent, or a traceback."""

from __future__ import annotations

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.faults import damage, disk, hostile, interrupt
from tests.faults.ground import Ground, Tally

# What is done, and its share of the time.
KINDS = {
    "interrupt": (interrupt.interrupted, 0.4),
    "damage": (damage.damaged, 0.25),
    "disk": (disk.full, 0.1),
    "suites": (hostile.suites, 0.15),
    "images": (hostile.images, 0.1),
}


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    asked.add_argument("--minutes", type=float, default=5.0, help="how long; the last round may end later")
    asked.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="of the faults' moments and kinds")
    asked.add_argument("--only", choices=KINDS, action="append", help="one kind of fault; may be given again")
    asked.add_argument("--cold", type=float, default=0.05, help="share of the processes that start with all imports")
    options = asked.parse_args()
    kinds = {name: KINDS[name] for name in options.only or KINDS}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, as shells do beside them, it stays so below
    print(f"seed {options.seed}", flush=True)
    tally, end = Tally(), time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        ground = Ground(Path(folder), random.Random(options.seed), tally, options.cold)
        try:
            if kinds.keys() - {"suites", "images"}:
                ground.prepare()
                points = f"{len(ground.points)} kinds of write points"
                print(f"an undisturbed run takes {ground.seconds:.1f} s and passes {points}", flush=True)
            rounds(ground, kinds, end)
        finally:
            ground.close()
            summary(tally)
    return 1 if tally.problems else 0


def rounds(ground: Ground, kinds: dict[str, tuple[Callable[[Ground], None], float]], end: float) -> None:
    """One round of that kind which has had the least of its share, until the time is over."""
    spent = dict.fromkeys(kinds, 0.0)
    while time.monotonic() < end:
        name = min(kinds, key=lambda name: spent[name] / kinds[name][1])
        began = time.monotonic()
        kinds[name][0](ground)
        spent[name] += time.monotonic() - began
    ground.tally.counts.update({f"seconds of {name}": round(seconds) for name, seconds in spent.items()})


def summary(tally: Tally) -> None:
    """Print what was done and what went wrong."""
    for what, count in sorted(tally.counts.items()):
        print(f"{count:6} {what}")
    if tally.exits_s:
        exits, load = sorted(tally.exits_s), statistics.median(tally.loads)
        print(f"{statistics.median(exits):6.2f} s: median time from a signal to the end of the process")
        print(f"{exits[-1]:6.2f} s: the longest of {len(exits)}, at a median load of {load:.1f}")
    print(f"{len(tally.problems):6} problems")
    print("\n".join(tally.problems))


if __name__ == "__main__":
    sys.exit(main())
