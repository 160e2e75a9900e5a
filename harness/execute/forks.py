"""Children of the warm parent, as seen by the process that asks for them."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem


class Fork:
    """A child of the warm parent.

    `returncode`: its exit status, minus the signal that ended it, or None while it runs; `lost`: its parent has died,
    before it began if it has no `pid`.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        self.returncode: int | None = None
        self.lost = False

    def poll(self) -> int | None:
        """Its returncode."""
        return self.returncode

    def terminate(self) -> None:
        """Ask it to leave; one that has not begun never will."""
        if self.pid is None:
            self.lose()
        elif self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it has started."""
        if self.returncode is None:
            end_group(self.pid)
        self.lose()

    def lose(self) -> None:
        """Nobody will tell how it ends."""
        if self.returncode is None:
            self.returncode, self.lost = -signal.SIGKILL, True


_parents: dict[int, WarmParent] = {}


def warm_parent(threads: int) -> WarmParent:
    """The warm parent of trials on so many threads, started when there is none; it serves all plans of this process."""
    if threads in _parents and not _parents[threads].alive:
        _parents.pop(threads).close()
    if threads not in _parents:
        _parents[threads] = WarmParent(environment_of(threads))
    return _parents[threads]


def ready_parent(threads: int) -> WarmParent:
    """The warm parent when it can fork. One killed while it imports gets a successor; EnvironmentProblem after that."""
    with contextlib.suppress(EnvironmentProblem):
        parent = warm_parent(threads)
        parent.ready()
        return parent
    parent = warm_parent(threads)
    parent.ready()
    return parent


@atexit.register
def close_parents() -> None:
    """End all warm parents of this process."""
    while _parents:
        _parents.popitem()[1].close()


def environment_of(threads: int) -> dict[str, str]:
    """Of a trial's process. The libraries beside torch keep to one thread: no thread may run when a child is forked."""
    limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **limits}


class WarmParent:
    """Starts a process of `harness.execute.warm`: it imports, `ready` waits until it can fork, `close` ends it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.forks: dict[int, Fork] = {}
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.execute.warm"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=env, start_new_session=True,
        )  # fmt: skip
        self.importing = threading.Event()
        self.listener = threading.Thread(target=self._listen, name="warm", daemon=True)
        self.listener.start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked for a child."""
        return self.process.poll() is None

    def ready(self) -> None:
        """Wait until all is imported. EnvironmentProblem when that fails."""
        self.importing.wait()
        if not self.alive:
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip().splitlines()
            raise EnvironmentProblem(f"the process that starts the trials ended: {said[-1] if said else 'killed'}")

    def fork(self, job: Mapping[str, Any], log: Path, env: Mapping[str, str]) -> Fork:
        """A child that runs a job in an environment and writes to a log."""
        assert self.process.stdin is not None
        number, fork = len(self.forks), Fork()
        self.forks[number] = fork
        request = {"number": number, "job": job, "log": str(log), "env": dict(env)}
        with contextlib.suppress(BrokenPipeError):  # then the listener finds it lost
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        if not self.listener.is_alive():
            fork.lose()
        return fork

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # a torn last line
            for line in self.process.stdout:
                self._hear(*json.loads(line))
        for fork in list(self.forks.values()):
            fork.kill()
        self.process.wait()
        self.importing.set()

    def _hear(self, what: str, number: int, value: int) -> None:
        fork = self.forks.get(number, Fork())
        if what == "ready":
            self.importing.set()
        elif what == "ended":
            fork.returncode = value if fork.returncode is None else fork.returncode
        elif fork.returncode is None:
            fork.pid = value
        else:  # given up before it began
            end_group(value)

    def close(self) -> None:
        """End the parent; children that still run are told to stop by its death."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.kill()
        self.listener.join()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


def end_group(pid: int | None) -> None:
    """Kill a process group and wait until it is gone, or dead with nobody to fetch it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        for _ in range(500):
            if pid:
                os.killpg(pid, signal.SIGKILL)
                time.sleep(0.01)
