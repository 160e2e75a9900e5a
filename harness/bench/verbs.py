"""CPU seconds of every verb that trains nothing, each in a fresh process, and the heavy libraries that it imported."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem
from harness.ledger.records import Ledger, ledgers

HEAVY = ("torch", "numpy", "scipy", "pandas", "matplotlib", "cv2", "OpenEXR", "PIL", "jinja2", "rich")
CODE = f"""
import json, sys, time
sys.argv[0] = "harness"
from harness.cli import app
code = 0
try:
    app.main()
except SystemExit as end:
    code = end.code or 0
heavy = [name for name in {HEAVY!r} if name in sys.modules]
print("\\n" + json.dumps({{"cpu_s": time.process_time(), "imports": heavy, "code": code}}), file=sys.stderr)
"""


@dataclass(frozen=True)
class Start:
    """One verb: its least CPU seconds over the repeats, what it imported, and its exit code."""

    verb: str
    cpu_s: float
    imports: tuple[str, ...]
    code: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def verbs(results: Path) -> Iterator[list[str]]:
    """The verbs that train nothing; those that read results, of the first suite of `results` that has a done trial."""
    yield from (["--help"], *(["list", what] for what in ("suites", "variants", "losses", "metrics", "settings")))
    yield ["weights"]
    yield ["run", "bottleneck", "--dry-run", "--results", str(results)]
    yield ["list", "trials", "--results", str(results)]
    for ledger in ledgers(results):
        done = [record for record in ledger.records() if record.status == "done"]
        if done:
            yield from _of_suite(ledger, done[0].name, str(results))
            return


def _of_suite(ledger: Ledger, trial: str, results: str) -> Iterator[list[str]]:
    suite = ledger.folder.name
    for verb in (["report", suite], ["watch", suite, "--once"], ["show", trial]):
        yield [*verb, "--results", results]
    yield ["verify", str(ledger.folder)]
    yield ["claims", str(ledger.folder)]
    if _finished(suite, results):
        yield ["run", suite, "--results", results]


def _finished(suite: str, results: str) -> bool:
    """Whether `harness run` has nothing to train in this suite, as its plan was run before."""
    command = [sys.executable, "-m", "harness.cli", "run", suite, "--dry-run", "--json", "--results", results]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return False
    return all(trial["state"] == "done" for trial in json.loads(done.stdout)["trials"])


def start(verb: Sequence[str], repeats: int = 3) -> Start:
    """Run a verb in fresh processes. EnvironmentProblem when a process says nothing."""
    found = [_once(verb) for _ in range(repeats)]
    best = min(found, key=lambda one: one["cpu_s"])
    return Start(" ".join(verb), round(best["cpu_s"], 3), tuple(best["imports"]), int(best["code"]))


def _once(verb: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *verb], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        told: dict[str, Any] = json.loads(done.stderr.splitlines()[-1])
    except (ValueError, IndexError):
        raise EnvironmentProblem(f"harness {' '.join(verb)}: ended with {done.returncode}: {done.stderr}") from None
    return told
