"""A warm parent: a process that has imported everything once and forks a child for each trial.

Importing takes seconds of a core, a fork milliseconds. The parent has one thread and has computed nothing, so that a
child starts as a fresh process would; it leads a process group of its own, writes to its own log, and is told to stop
when the parent dies. `python -m harness.execute.warm` speaks JSON lines: it reads {"number", "job", "log", "env"} (a
job as `child.run_trial` takes it) and answers ["ready", 0, 0], ["started", number, pid] and ["ended", number, status].
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from harness.execute import child

PR_SET_PDEATHSIG = 1  # of linux/prctl.h
IDLE_S = 300.0  # without a child and a request for so long it leaves, and gives its memory back


def main() -> NoReturn:
    """The warm parent itself: fork on request, tell what ended, leave when nobody listens."""
    faulthandler.enable()
    preload()
    gc.freeze()  # what is shared with the children stays shared
    _say("ready", 0, 0)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    numbers: dict[int, int] = {}
    waiting = b""
    while True:
        ready, _, _ = select.select([0, read], [], [], IDLE_S)
        if not ready and not numbers:
            os._exit(0)
        if read in ready:
            os.read(read, 4096)
            _reap(numbers)
        if 0 in ready:
            more = os.read(0, 65536)
            if not more:
                os._exit(0)
            *lines, waiting = (waiting + more).split(b"\n")
            for line in lines:
                _fork(json.loads(line), numbers)


def preload() -> None:
    """Import what a trial needs, computing nothing: no thread may have begun when a child is forked."""
    importlib.import_module("harness.execute.course")
    for package in ("models", "metrics"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    importlib.import_module("torch._dynamo")  # the first optimiser of a process imports it
    importlib.import_module("lpips")


def _say(*words: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(words).encode() + b"\n")


def _reap(numbers: dict[int, int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] in numbers:
                _say("ended", numbers.pop(ended[0]), os.waitstatus_to_exitcode(ended[1]))


def _fork(request: dict[str, Any], numbers: dict[int, int]) -> None:
    parent = os.getpid()
    if (pid := os.fork()) == 0:
        _be_a_child(request, parent)
    numbers[pid] = request["number"]
    _say("started", request["number"], pid)


def _be_a_child(request: dict[str, Any], parent: int) -> NoReturn:
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        with contextlib.suppress(OSError):  # when memory runs out a trial goes, not the runner
            Path("/proc/self/oom_score_adj").write_text("500")
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(request["env"])
        status = child.run_trial(request["job"])
    except BaseException:  # nothing of a trial may come back into the parent's loop
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
