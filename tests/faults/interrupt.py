"""Runners and trials killed at any moment and at every write point, interrupted, and several runners at once."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.faults.ground import Command, Ground, below, kill, kill_all

LIVES = (4, 12)  # of a disturbed suite, before it may end in peace
POLITE_S = 5.0
POINTS = 4  # at which processes die in one run


def interrupted(ground: Ground) -> None:
    """A suite with several short lives, then one in peace."""
    root = ground.fresh("interrupted")
    told = []
    for _ in range(ground.rng.randint(*LIVES)):
        way = ground.rng.choice([runner_killed, trials_killed, at_a_write_point, at_a_write_point, polite, several])
        told.append(way.__name__)
        way(ground, root)
    ground.finish(root, "interrupted by " + ", ".join(told))


def options(ground: Ground) -> list[str]:
    """Another number of trials at once and another number that wait."""
    jobs = ["--jobs", ground.rng.choice(["1", "2", "3", "auto"]), "--retry-failed"]
    few = ["--only", ground.rng.choice(["grid1", "grid4", "grid[14]"])]
    return [*jobs, *(few if ground.rng.random() < 0.3 else [])]


def moment(ground: Ground, process: Command) -> None:
    """Wait until a random moment: of the time that a whole run takes, or soon after a trial has begun."""
    end = time.monotonic() + ground.rng.uniform(0.0, 0.6) * ground.seconds
    if ground.rng.random() < 0.5:
        while process.poll() is None and time.monotonic() < end and "seed 0" not in process.said:
            time.sleep(0.01)
        end = time.monotonic() + ground.rng.uniform(0.0, 0.3) * ground.seconds
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


def runner_killed(ground: Ground, root: Path) -> None:
    process = ground.start(root, *options(ground))
    moment(ground, process)
    if process.poll() is None:
        ground.tally.counts["killed: runners"] += 1
        if ground.rng.random() < 0.5:
            kill(process.pid)  # its trials find that out by themselves
        else:
            kill_all(process.pid)
    code, said = process.ended()
    ground.judge(said, code, (-signal.SIGKILL, 0), "runner killed")


def trials_killed(ground: Ground, root: Path) -> None:
    """One runner, some of whose trials and other processes are killed."""
    process = ground.start(root, *options(ground))
    for _ in range(ground.rng.randint(1, 4)):
        moment(ground, process)
        victims = below(process.pid)
        if victims and process.poll() is None:
            ground.tally.counts["killed: processes below a runner"] += kill(ground.rng.choice(victims))
    code, said = process.ended()
    ground.judge(said, code, (0, 3, 4), "trials killed")


def at_a_write_point(ground: Ground, root: Path) -> None:
    """Processes die at calls that make a file last, one at each of a few; every call and file has its turn."""
    points = [point for point in sorted(ground.points) if point in ground.later or not (root / "data").is_dir()]
    token, fatal = ground.folder / "token", []
    for point in ground.rng.sample(points, min(len(points), POINTS)):
        fatal.append(f"{point}:{ground.rng.randint(1, min(ground.points[point], 4))}")
        (token / fatal[-1]).mkdir(parents=True, exist_ok=True)
    process = ground.start(root, *options(ground), env={"FAULT_POINTS": " ".join(fatal), "FAULT_TOKEN": str(token)})
    code, said = process.ended()
    for one in fatal:
        if not (token / one).exists():
            ground.tally.counts["killed: at a write point"] += 1
            ground.tally.counts[f"at {one.rpartition(':')[0]}"] += 1
    ground.judge(said, code, (-signal.SIGKILL, 0, 3, 4), f"killed at {fatal}")


def polite(ground: Ground, root: Path) -> None:
    signum = ground.rng.choice([signal.SIGINT, signal.SIGTERM])
    process = ground.start(root, *options(ground))
    moment(ground, process)
    heard = process.said
    if process.poll() is None and kill(process.pid, signum):
        began = time.monotonic()
        code, said = process.ended()
        took = time.monotonic() - began
        ground.tally.counts["interrupted by SIGINT or SIGTERM"] += 1
        ground.tally.counts["of them, ended well at that moment"] += code == 0
        ground.tally.exits_s.append(took)
        ground.tally.loads.append(os.getloadavg()[0])
        if took > POLITE_S:
            last = " | ".join(heard.strip().splitlines()[-1:])[-200:]
            print(f"late: {took:.1f} s after signal {signum}, exit code {code}, when it had said: {last}", flush=True)
            ground.tally.counts[f"left later than {POLITE_S:g} s after the signal"] += 1
        # While Python itself starts nobody listens yet: the signal then ends it in its own way.
        early = (-signum, 1) if not heard else ()
        ground.judge(said if code not in early else "", code, (128 + signum, 0, *early), f"signal {signum}")
    else:
        process.ended()


def several(ground: Ground, root: Path) -> None:
    """Two to four runners at once, all but one of them killed."""
    runners = [ground.start(root, *options(ground)) for _ in range(ground.rng.randint(2, 4))]
    ground.tally.counts["runners beside others"] += len(runners)
    for victim in runners[1:]:
        moment(ground, victim)
        ground.tally.counts["killed: runners beside others"] += victim.poll() is None and kill(victim.pid)
    for process in runners:
        code, said = process.ended()
        ground.judge(said, code, (-signal.SIGKILL, 0, 3), "one of several runners")
