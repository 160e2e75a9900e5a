"""The tiny suite that is disturbed, how it is run, and what it must come to."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import report
from harness.ledger.records import Ledger, Record

HOME = Path(__file__).resolve().parent.parent.parent
SUITE = """\
suite: tiny
question: What do faults change?
data: {pair: near, frames: 20, eval_frames: 6, size: 16, render_supersample: 1}
base:
  model: {variant: grid, width: 4, channels: 4}
  loss: {l1: 1.0, kl: 0.01}
  optim: {steps: 60, batch: 6, precision: fp32, lr: 0.01}
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
    slowest_exit_s: float = 0.0

    def problem(self, text: str) -> None:
        """Note it, and say it at once."""
        self.problems.append(text)
        print(f"PROBLEM {text}", flush=True)


@dataclass
class Ground:
    """One undisturbed run, and the folder in which the disturbed ones live."""

    folder: Path
    rng: random.Random
    tally: Tally
    seconds: float = 0.0  # that the undisturbed run took

    @property
    def suite(self) -> Path:
        return self.folder / "tiny.yaml"

    @property
    def whole(self) -> Path:
        """The results of the undisturbed run."""
        return self.folder / "whole"

    def prepare(self) -> None:
        """Run the suite undisturbed."""
        self.suite.write_text(SUITE)
        began = time.monotonic()
        code, said = ended(self.start(self.whole, "--jobs", "1"))
        assert code == 0, said
        self.seconds = time.monotonic() - began

    def environment(self) -> dict[str, str]:
        """Of a run: one thread, and a cache of its own."""
        cache = str(self.folder / "cache")
        return {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": cache, "PYTHONPATH": str(HOME)}

    def start(self, root: Path, *more: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """`harness run` on this suite in a session of its own; what it says goes to a file."""
        arguments = ["run", str(self.suite), "--results", str(root), "--device", "cpu", *more]
        return self.call(arguments, env=env, **options)

    def call(
        self, arguments: Sequence[str], env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """`harness ARGUMENTS` as a process."""
        log = (self.folder / f"said-{time.monotonic_ns()}.txt").open("w+")
        command = [sys.executable, "-m", "harness.cli", *arguments]
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, text=True, cwd=HOME, start_new_session=True,
            env={**self.environment(), **(env or {})}, **options,
        )  # fmt: skip
        process.said = log  # type: ignore[attr-defined]
        return process

    def fresh(self, name: str) -> Path:
        """An empty folder of results, mostly with the undisturbed run's images in it."""
        root = self.folder / name
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        if self.rng.random() < 0.7 and (self.whole / "data").is_dir():
            shutil.copytree(self.whole / "data", root / "data")
        return root

    def finish(self, root: Path, what: str) -> None:
        """Let the suite end undisturbed, and compare what it came to."""
        code, said = ended(self.start(root, "--retry-failed"))
        self.judge(said, code, (0,), f"{what}, then undisturbed")
        for difference in differences(self.whole, root):
            self.tally.problem(f"{what}: {difference}")
        self.tally.counts["runs compared with the undisturbed one"] += 1

    def judge(self, said: str, code: int, allowed: Sequence[int], what: str) -> None:
        """A problem for a traceback, for an exit code that is not among `allowed`, and for a hang."""
        last = " | ".join(said.strip().splitlines()[-3:])[-500:]
        if "Traceback (most recent call last)" in said or code == 70:
            self.tally.problem(f"{what}: traceback: {last}")
        elif code not in allowed:
            self.tally.problem(f"{what}: exit code {code}: {last}")


def ended(process: subprocess.Popen[str], seconds: float = HANG_S) -> tuple[int, str]:
    """(exit code, all that was said) of a process, killed when it takes longer; then the code is -99."""
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill_all(process.pid)
        process.wait()
        code = -99
    process.said.seek(0)  # type: ignore[attr-defined]
    said: str = process.said.read()  # type: ignore[attr-defined]
    process.said.close()  # type: ignore[attr-defined]
    Path(process.said.name).unlink()  # type: ignore[attr-defined]
    return code, said


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


def differences(whole: Path, root: Path) -> Iterator[str]:
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
            if file != "history.jsonl" and other.files.get(file) != sha:
                yield f"{name}: {file} differs"
        if _history(record) != _history(other):
            yield f"{name}: history.jsonl differs"
    if _reports(whole, found, expected) != _reports(whole, expected, expected):
        yield "the reports differ"


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
