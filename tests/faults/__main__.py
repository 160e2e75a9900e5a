"""`python -m tests.faults --minutes N [--seed S] [--only KIND]`: exit 1 for anything lost or silent, or a traceback."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import damage, disk, hostile, interrupt
from tests.faults.ground import Ground, Tally

# What is done, and its share of the time.
KINDS = {
    "interrupt": (interrupt.interrupted, 0.5),
    "damage": (damage.damaged, 0.15),
    "disk": (disk.full, 0.15),
    "suites": (hostile.suites, 0.12),
    "images": (hostile.images, 0.08),
}


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    asked.add_argument("--minutes", type=float, default=5.0, help="how long; the last round may end later")
    asked.add_argument("--seed", type=int, default=time.time_ns() % 10**9, help="of the faults' moments and kinds")
    asked.add_argument("--only", choices=KINDS, action="append", help="one kind of fault; may be given again")
    options = asked.parse_args()
    kinds = {name: KINDS[name] for name in options.only or KINDS}
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        ground = Ground(Path(folder), random.Random(options.seed), Tally())
        end = time.monotonic() + 60 * options.minutes
        if kinds.keys() - {"suites", "images"}:
            ground.prepare()
            print(f"an undisturbed run takes {ground.seconds:.0f} s", flush=True)
        spent = dict.fromkeys(kinds, 0.0)
        while time.monotonic() < end:
            name = min(kinds, key=lambda name: spent[name] / kinds[name][1])
            began = time.monotonic()
            kinds[name][0](ground)
            spent[name] += time.monotonic() - began
            print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    for what, count in sorted(ground.tally.counts.items()):
        print(f"{count:6} {what}")
    print(f"{ground.tally.slowest_exit_s:6.1f} s: slowest exit after a signal")
    print(f"{len(ground.tally.problems):6} problems")
    print("\n".join(ground.tally.problems))
    return 1 if ground.tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
