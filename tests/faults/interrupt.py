"""Runners and trials killed at any moment and at every write point, interrupted, and several runners at once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.faults.ground import HOME, Ground, below, ended, kill, kill_all

LIVES = 6  # of a disturbed suite, before it may end in peace
SITE = Path(__file__).with_name("site")
CALLS = {"fsync": 60, "replace": 60, "unlink": 15}  # and how many times a run about makes each
POLITE_S = 5.0


def interrupted(ground: Ground) -> None:
    """A suite with several short lives, then one in peace."""
    root = ground.fresh("interrupted")
    told = []
    for _ in range(ground.rng.randint(2, LIVES)):
        way = ground.rng.choice([runner_killed, trial_killed, at_a_write_point, polite, several])
        told.append(way.__name__)
        way(ground, root)
    ground.finish(root, "interrupted by " + ", ".join(told))


def options(ground: Ground) -> list[str]:
    """Another number of trials at once and another number that wait."""
    jobs = ["--jobs", ground.rng.choice(["1", "2", "3", "auto"]), "--retry-failed"]
    few = ["--only", ground.rng.choice(["grid1", "grid4", "grid[14]"])]
    return [*jobs, *(few if ground.rng.random() < 0.3 else [])]


def moment(ground: Ground) -> None:
    """Wait for some part of the time that a whole run takes."""
    time.sleep(ground.rng.uniform(0.0, 1.1) * ground.seconds)


def runner_killed(ground: Ground, root: Path) -> None:
    process = ground.start(root, *options(ground))
    moment(ground)
    ground.tally.counts["runners killed"] += process.poll() is None
    if ground.rng.random() < 0.5:
        kill(process.pid)  # its trials find that out by themselves
    else:
        kill_all(process.pid)
    code, said = ended(process)
    ground.judge(said, code, (-signal.SIGKILL, 0), "runner killed")


def trial_killed(ground: Ground, root: Path) -> None:
    process = ground.start(root, *options(ground))
    for _ in range(ground.rng.randint(1, 4)):
        time.sleep(ground.rng.uniform(0.0, 0.4) * ground.seconds)
        victims = below(process.pid)
        if victims and process.poll() is None:
            ground.tally.counts["processes below a runner killed"] += kill(ground.rng.choice(victims))
    code, said = ended(process)
    ground.judge(said, code, (0, 3, 4), "trial killed")


def at_a_write_point(ground: Ground, root: Path) -> None:
    call = ground.rng.choice(list(CALLS))
    count, token = ground.rng.randint(1, CALLS[call]), ground.folder / "token"
    token.mkdir(exist_ok=True)
    fault = {"PYTHONPATH": f"{SITE}:{HOME}", "FAULT_CALL": call, "FAULT_COUNT": str(count), "FAULT_TOKEN": str(token)}
    process = ground.start(root, *options(ground), env=fault)
    code, said = ended(process)
    ground.tally.counts["killed at a write point"] += not token.exists()
    ground.judge(said, code, (-signal.SIGKILL, 0, 3, 4), f"killed before {call} number {count}")


def polite(ground: Ground, root: Path) -> None:
    signum = ground.rng.choice([signal.SIGINT, signal.SIGTERM])
    process = ground.start(root, *options(ground))
    moment(ground)
    if process.poll() is None and kill(process.pid, signum):
        began = time.monotonic()
        code, said = ended(process)
        took = time.monotonic() - began
        ground.tally.counts["interrupted by SIGINT or SIGTERM"] += 1
        ground.tally.counts[f"left later than {POLITE_S:g} s after the signal"] += took > POLITE_S
        ground.tally.slowest_exit_s = max(ground.tally.slowest_exit_s, took)
        # While Python itself starts nobody listens yet: the signal then ends it in its own way.
        early = (-signum, 1) if "scale quick" not in said else ()
        ground.judge(said if not early else "", code, (128 + signum, 0, *early), f"signal {signum}")
    else:
        ended(process)


def several(ground: Ground, root: Path) -> None:
    runners = [ground.start(root, *options(ground)) for _ in range(ground.rng.randint(2, 4))]
    ground.tally.counts["runners beside others"] += len(runners)
    moment(ground)
    victim = ground.rng.choice(runners)
    ground.tally.counts["runners killed"] += victim.poll() is None and kill(victim.pid)
    for process in runners:
        code, said = ended(process)
        ground.judge(said, code, (-signal.SIGKILL, 0, 3), "one of several runners")
