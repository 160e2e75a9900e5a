"""A process that has imported everything and forks the command line on request: a start then costs no seconds.

What runs is the real thing, `harness.cli` and `harness.execute.warm`, in processes of their own below one another as
ever; only `python` and its imports are left out. `Standby` asks for it, `main` is it.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import importlib
import json
import os
import pkgutil
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

from harness.execute import child, forks, warm
from tests.faults.site import sitecustomize

SPARES = 3  # warm parents that a runner may start without importing; later ones are started afresh


class Standby(forks.WarmParent):
    """Asks a standing process for `harness ARGUMENTS`, as `harness.execute` asks the warm parent for a trial."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.forks: dict[int, forks.Fork] = {}
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.standby"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, env=env, start_new_session=True,
        )  # fmt: skip
        self.importing = threading.Event()
        self.listener = threading.Thread(target=self._listen, name="standby", daemon=True)
        self.listener.start()
        self.ready()


def main() -> NoReturn:
    """The standing process, until nobody listens."""
    warm.preload()
    for package in ("harness.cli", "harness.report", "harness.ledger", "harness.claims", "harness.suite"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    importlib.import_module("matplotlib.pyplot")
    warm.preload = lambda: None
    warm.child = SimpleNamespace(run_trial=command)  # type: ignore[assignment]
    warm.IDLE_S = 1e6
    warm.main()


def command(job: Mapping[str, Any]) -> int:
    """What a fork does: the command line from its entry point to the end of its process."""
    if limit := job["most_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    spares = [_Spare() for _ in range(SPARES)]
    sitecustomize.arm()

    class Popen(subprocess.Popen):  # type: ignore[type-arg]
        def _execute_child(self, args: list[str], *rest: Any) -> None:
            if args[-1] != warm.__name__ or not spares:
                super()._execute_child(args, *rest)  # type: ignore[misc]
                return
            env, stdin, stdout, stderr = rest[5], rest[9], rest[12], rest[14]
            self.pid = spares.pop().begin([stdin, stdout, stderr], env)
            self._child_created = True
            os.close(stdin)
            os.close(stdout)  # stderr is a file of the caller's

    forks.subprocess = SimpleNamespace(Popen=Popen, PIPE=subprocess.PIPE)  # type: ignore[assignment]
    from harness.cli.__main__ import main as program

    sys.argv = ["harness", *job["arguments"]]
    code = 0
    try:
        program()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    return code


class _Spare:
    """A process that waits to become a warm parent: `begin` gives it stdin, stdout, stderr and its environment."""

    def __init__(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self.ours.close()
            _wait(theirs)
        theirs.close()

    def begin(self, files: list[int], env: Mapping[str, str]) -> int:
        """Its process number. When somebody has killed it that shows as with any other process."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), self.ours:
            passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))
            self.ours.sendmsg([json.dumps(dict(env)).encode()], [passed])
        return self.pid


def _wait(theirs: socket.socket) -> NoReturn:
    try:
        os.setsid()
        env, files, _, _ = socket.recv_fds(theirs, 1 << 20, 3)
        if not env:
            os._exit(0)
        for target, source in enumerate(files):
            os.dup2(source, target)
            os.close(source)
        theirs.close()
        os.environ.clear()
        os.environ.update(json.loads(env))
        sitecustomize.arm()
        warm.child = child
        warm.main()
    finally:
        os._exit(1)


if __name__ == "__main__":
    importlib.import_module("tests.faults.standby").main()
