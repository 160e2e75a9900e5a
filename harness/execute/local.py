"""Trials as child processes of this machine, each with a log, a group of its own and, on GPUs, one device."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from harness.execute.child import BUSY, UNFIT, log_tail
from harness.execute.executor import Ended, Job
from harness.execute.forks import environment_of, ready_parent, warm_parent
from harness.execute.prepare import prepare
from harness.files import write_json
from harness.trials.trial import Trial

WARM = sys.platform == "linux"  # elsewhere a process that has imported so much cannot safely be forked


class Process(Protocol):
    """What the warm parent's forks and processes started afresh have in common."""

    pid: Any

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def kill(self) -> None: ...


class Fresh(subprocess.Popen[bytes]):
    """A process started afresh, where a warm parent cannot be had."""

    @classmethod
    def begin(cls, job: Mapping[str, Any], log: Path, env: Mapping[str, str]) -> Fresh:
        """Start it on a job. It writes to `log`."""
        with open(log, "ab") as out:
            command = [sys.executable, "-m", "harness.execute"]
            process = cls(command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=env, start_new_session=True)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(job).encode())
        return process

    def kill(self) -> None:
        """End it and all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


class LocalAttempt:
    """A job in a child process. `gpu`: which of the executor's."""

    began = True

    def __init__(self, job: Job, process: Process, gpu: str | None) -> None:
        self.job, self.process, self.gpu = job, process, gpu

    def ended(self) -> Ended | None:
        """How the process ended; None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        if code == UNFIT:
            return Ended(log_tail(self.job.folder, lines=1), unfit=True)
        lost = getattr(self.process, "lost", False)
        return Ended(exit_reason(code, lost), busy=code == BUSY or (lost and self.process.pid is None))

    def stop(self) -> None:
        """Ask the process to leave."""
        self.process.terminate()

    def kill(self) -> None:
        """Kill the process and its group."""
        self.process.kill()


def exit_reason(code: int, lost: bool = False) -> str:
    """What to say of a process that left no record."""
    if lost:
        return "the process that starts the trials was killed"
    if code == -signal.SIGKILL:
        return "the trial's process was killed by SIGKILL, as the system does when memory runs out"
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"over with exit status {code} and no record"
    return f"the trial's process was {how}"


class LocalExecutor:
    """`slots` child processes at once; `gpus` share them out among themselves, one device a child."""

    def __init__(self, root: Path, slots: int, device: str = "cpu", gpus: Sequence[str] = ()) -> None:
        self.root, self.slots, self.device, self.gpus = root, slots, device, tuple(gpus)
        self.running: list[LocalAttempt] = []

    def prepare(self, trials: Sequence[Trial]) -> None:
        """Make the images that the trials need, while the warm parent imports."""
        threads = {trial.compute.threads for trial in trials} if WARM else set()
        for number in threads:
            warm_parent(number)
        prepare(trials, self.root)
        for number in threads:
            ready_parent(number)

    def start(self, job: Job) -> LocalAttempt:
        """Begin a job in a child, on the GPU with the fewest others."""
        self.running = [attempt for attempt in self.running if attempt.ended() is None]
        load = {gpu: sum(attempt.gpu == gpu for attempt in self.running) for gpu in self.gpus}
        gpu = min(load, key=lambda name: load[name]) if load else None
        description = job.described(self.root, self.device, self.slots, self.slots > max(1, len(self.gpus)))
        write_json(job.folder / "status.json", {"phase": "start"})
        env = {"CUDA_VISIBLE_DEVICES": gpu or ""}  # a trial of the CPU sees no GPU
        threads = job.trial.compute.threads
        process = self._process(description, job.folder / "log.txt", threads, {**environment_of(threads), **env})
        attempt = LocalAttempt(job, process, gpu)
        self.running.append(attempt)
        return attempt

    def _process(self, job: Mapping[str, Any], log: Path, threads: int, env: dict[str, str]) -> Process:
        if WARM:
            return ready_parent(threads).fork(job, log, env)
        return Fresh.begin(job, log, env)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
