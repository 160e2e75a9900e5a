"""The tiny suite that is disturbed, how it is run, and what it must come to."""

from __future__ import annotations

import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import report
from harness.execute.forks import Fork
from harness.execute.sweep import SETTLED_S
from harness.ledger.records import Ledger, Record
from tests.faults.standby import Standby

HOME = Path(__file__).resolve().parent.parent.parent
SUITE = """\
suite: tiny
question: What do faults change?
data: {pair: near, frames: 16, eval_frames: 4, size: 16, render_supersample: 1}
base:
  model: {variant: grid, width: 4, channels: 4}
  loss: {l1: 1.0, kl: 0.01}
  optim: {steps: 40, batch: 4, precision: fp32, lr: 0.01}
  score: {previews: 2}
matrix:
  grid:
    model.grid: [1, 4]
metrics: [identity]
baseline: {model.grid: 1}
scales: {quick: {}}
"""
OF_TIME = ("cost", "environment", "started", "finished", "attempts", "resumed_from", "log_tail", "files", "sha256")
HANG_S = 900.0


@dataclass
class Tally:
    """What was done, and what went wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    exits_s: list[float] = field(default_factory=list)  # from a signal to the end of the process
    loads: list[float] = field(default_factory=list)  # of the machine, at each signal

    def problem(self, text: str) -> None:
        """Note it, and say it at once."""
        self.problems.append(text)
        print(f"PROBLEM {text}", flush=True)


class Command:
    """`harness ARGUMENTS` as a process of its own; what it says goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes] | Fork, said: Path) -> None:
        self.process, self.log = process, said
        while process.pid is None and process.poll() is None:
            time.sleep(0.001)
        self.pid = process.pid or 0

    @property
    def said(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(errors="replace")

    def poll(self) -> int | None:
        """The exit code, minus the signal that ended it, or None while it runs."""
        return self.process.poll()

    def ended(self, seconds: float = HANG_S) -> tuple[int, str]:
        """(exit code, all that was said), killed when it takes longer; then the code is -99."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None and time.monotonic() < end:
            time.sleep(0.01)
        if code is None:
            kill_all(self.pid)
        said = self.said
        self.log.unlink()
        return (-99 if code is None else code), said


@dataclass
class Ground:
    """One undisturbed run, and the folder in which the disturbed ones live.

    `cold`: the share of processes that are started as Python, with all their imports, and not by the standing one.
    """

    folder: Path
    rng: random.Random
    tally: Tally
    cold: float = 0.05
    seconds: float = 0.0  # that the undisturbed run took
    points: dict[str, int] = field(default_factory=dict)  # calls that make a file last: how many a run makes
    later: set[str] = field(default_factory=set)  # those that a run makes whose images are there already
    standby: Standby | None = None

    @property
    def suite(self) -> Path:
        return self.folder / "tiny.yaml"

    @property
    def whole(self) -> Path:
        """The results of the undisturbed run."""
        return self.folder / "whole"

    def prepare(self) -> None:
        """Run the suite undisturbed, once to see its write points, once to see its time."""
        self.suite.write_text(SUITE)
        self.standby = Standby(self.environment())
        notes = self.folder / "notes"
        code, said = self.start(self.folder / "noted", env={"FAULT_NOTES": str(notes)}).ended()
        assert code == 0, said
        self.points = dict(Counter(notes.read_text().split()))
        notes.unlink()
        began = time.monotonic()
        shutil.copytree(self.folder / "noted" / "data", self.whole / "data")
        code, said = self.start(self.whole, "--jobs", "1", env={"FAULT_NOTES": str(notes)}).ended()
        assert code == 0, said
        self.seconds = time.monotonic() - began
        self.later = set(notes.read_text().split())

    def close(self) -> None:
        """End the standing process."""
        if self.standby:
            self.standby.close()

    def environment(self) -> dict[str, str]:
        """Of a run: one thread, and a cache of its own."""
        cache, path = str(self.folder / "cache"), f"{HOME / 'tests' / 'faults' / 'site'}:{HOME}"
        one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return {**os.environ, **one, "XDG_CACHE_HOME": cache, "PYTHONPATH": path}

    def start(self, root: Path, *more: str, env: dict[str, str] | None = None, most_bytes: int = 0) -> Command:
        """`harness run` on this suite in a session of its own. `most_bytes`: of any file that it writes."""
        arguments = ["run", str(self.suite), "--results", str(root), "--device", "cpu", *more]
        return self.call(arguments, env=env, most_bytes=most_bytes)

    def call(self, arguments: Sequence[str], env: dict[str, str] | None = None, most_bytes: int = 0) -> Command:
        """`harness ARGUMENTS` as a process."""
        said = self.folder / f"said-{time.monotonic_ns()}.txt"
        said.touch()
        env = {**self.environment(), **(env or {})}
        cold = self.rng.random() < self.cold or self.standby is None
        self.tally.counts["starts of Python and all imports" if cold else "starts from the standing process"] += 1
        if not cold:
            assert self.standby
            if not self.standby.alive:
                self.tally.problem("the standing process died")
            return Command(self.standby.fork({"arguments": list(arguments), "most_bytes": most_bytes}, said, env), said)

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

        with said.open("a") as log:
            command = [sys.executable, "-m", "harness.cli", *arguments]
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=HOME, start_new_session=True, env=env,
                preexec_fn=limit if most_bytes else None,
            )  # fmt: skip
        return Command(process, said)

    def fresh(self, name: str) -> Path:
        """An empty folder of results, mostly with the undisturbed run's images in it."""
        root = self.folder / name
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        if self.rng.random() < 0.7 and (self.whole / "data").is_dir():
            shutil.copytree(self.whole / "data", root / "data")
        return root

    def finish(self, root: Path, what: str, gone: Collection[str] = ()) -> None:
        """Let the suite end undisturbed, and compare what it came to; previews of these names may be gone."""
        began = time.time()
        code, said = self.start(root, "--retry-failed").ended()
        self.judge(said, code, (0,), f"{what}, then undisturbed")
        for difference in differences(self.whole, root, gone):
            self.tally.problem(f"{what}: {difference}")
        for left in leftovers(root, began):
            self.tally.problem(f"{what}: left behind: {left.relative_to(root)}")
        self.tally.counts["runs compared with the undisturbed one"] += 1

    def judge(self, said: str, code: int, allowed: Sequence[int], what: str) -> None:
        """A problem for a traceback, for an exit code that is not among `allowed`, and for a hang."""
        last = " | ".join(said.strip().splitlines()[-3:])[-500:]
        if "Traceback (most recent call last)" in said or code == 70:
            self.tally.problem(f"{what}: traceback: {last}")
        elif code not in allowed:
            self.tally.problem(f"{what}: exit code {code}: {last}")


def leftovers(root: Path, began: float) -> list[Path]:
    """What a killed run leaves of itself, and the next one, which began then, should have swept away."""
    found = [path for name in ("owner.json", "job.json", "status.json", "checkpoint") for path in root.rglob(name)]
    torn = [*root.glob("tiny/**/.*"), *root.glob("tiny/**/*.tmp"), *root.glob("data/**/*.tmp"), *root.glob("data/.*")]
    settled = began - SETTLED_S
    return [
        path for path in {*found, *torn}
        if not path.name.startswith(".guard") and (path.parent != root / "tiny" or path.stat().st_mtime < settled)
    ]  # fmt: skip


def below(pid: int) -> list[int]:
    """Processes that a process started, and those they started."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def kill(pid: int, signum: int = signal.SIGKILL) -> bool:
    """Send a signal; False when the process is gone."""
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def kill_all(pid: int) -> None:
    """Kill a process and all below it."""
    for one in [*below(pid), pid]:
        kill(one)


def differences(whole: Path, root: Path, gone: Collection[str] = ()) -> Iterator[str]:
    """How the results under `root` differ from the undisturbed ones in what faults may not change."""
    expected = {record.name: record for record in Ledger(whole / "tiny").records()}
    found = {record.name: record for record in Ledger(root / "tiny").records()}
    if expected.keys() != found.keys():
        yield f"trials {sorted(found)}, expected {sorted(expected)}"
        return
    for name, record in expected.items():
        other = found[name]
        for key, value in record.to_dict().items():
            if key not in OF_TIME and value != other.to_dict()[key]:
                yield f"{name}: {key}: {other.to_dict()[key]!r}, expected {value!r}"[:400]
        for file, sha in record.files.items():
            allowed = (sha, None) if Path(file).name in gone else (sha,)
            if file != "history.jsonl" and other.files.get(file) not in allowed:
                yield f"{name}: {file} differs"
        if _history(record) != _history(other):
            yield f"{name}: history.jsonl differs"
    if _reports(whole, found, expected) != _undisturbed(whole):
        yield "the reports differ"


@functools.cache
def _undisturbed(whole: Path) -> list[bytes]:
    records = {record.name: record for record in Ledger(whole / "tiny").records()}
    return _reports(whole, records, records)


def _history(record: Record) -> list[dict[str, Any]]:
    """What a trial noted, without the times. After a resumption the same step may stand twice: the later one counts."""
    entries = [json.loads(text) for text in (record.folder / "history.jsonl").read_text().splitlines()]
    steps = {entry["step"]: {key: value for key, value in entry.items() if key != "seconds"} for entry in entries}
    return [steps[step] for step in sorted(steps)]


def _reports(whole: Path, records: dict[str, Record], times: dict[str, Record]) -> list[bytes]:
    """The bytes of the report of these records, their times and costs replaced by those of others."""
    place = whole.parent / "compared"
    shutil.rmtree(place, ignore_errors=True)
    ledger = Ledger(place / "tiny")
    for name, record in records.items():
        shutil.copytree(record.folder, ledger.trial_folder(name), dirs_exist_ok=True)
        of_time = {key: getattr(times[name], key) for key in OF_TIME if key != "sha256"}
        shutil.copyfile(times[name].folder / "history.jsonl", ledger.trial_folder(name) / "history.jsonl")
        ledger.write(replace(record, **of_time))
    shutil.copyfile(whole / "tiny" / "plan.json", place / "tiny" / "plan.json")
    return [path.read_bytes() for path in report.build([place / "tiny"], None, {"html", "md", "csv"})]
