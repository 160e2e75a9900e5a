"""Who runs a trial: a lock with an owner, so that two runners share a suite and a dead one blocks nobody."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import EnvironmentProblem


class Busy(EnvironmentProblem):
    """Another living process works on this trial."""


@contextlib.contextmanager
def claim_trial(folder: Path) -> Iterator[None]:
    """Hold a trial's folder for this process. Busy when another living process holds it.

    The lock is a file with its owner (process, its start time, machine), not the mere existence of a folder: what a
    dead process left is taken over. On another machine's lock nothing can be known, so it is respected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / "owner.json"
    mine = {"pid": os.getpid(), "started": _start_time(os.getpid()), "host": socket.gethostname(), "since": time.time()}
    with guarded(folder):
        owner = _owner(lock)
        if owner and _alive(owner):
            who = f"process {owner['pid']} on {owner['host']}"
            raise Busy(f"{folder.name} is being run by {who}. If that is not so, delete {lock}")
        temporary = lock.with_suffix(".tmp")
        temporary.write_text(json.dumps(mine), encoding="utf-8")
        temporary.replace(lock)
    try:
        yield
    finally:
        with guarded(folder):
            if _owner(lock) == mine:
                lock.unlink(missing_ok=True)


@contextlib.contextmanager
def guarded(folder: Path, name: str = ".guard", waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One process at a time in this block for `folder`/`name`; the kernel ends the guard with its process.

    `waiting` is called each second that another one is in it.
    """
    lock = FileLock(folder / name)
    while True:
        try:
            lock.acquire(timeout=1.0, poll_interval=0.02)
            break
        except Timeout:
            waiting()
    try:
        yield
    finally:
        lock.release()


def guard_held(folder: Path, name: str = ".guard") -> bool:
    """Whether a process is in the block of `guarded` at this moment."""
    lock = FileLock(folder / name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except FileNotFoundError:  # no such folder yet
        return False
    lock.release()
    return False


def _owner(lock: Path) -> dict[str, Any] | None:
    try:
        owner = json.loads(lock.read_bytes())
        return owner if isinstance(owner, dict) and {"pid", "started", "host"} <= owner.keys() else None
    except (OSError, ValueError):
        return None


def _alive(owner: Mapping[str, Any]) -> bool:
    if owner["host"] != socket.gethostname():
        return True
    try:
        pid = int(owner["pid"])
    except (TypeError, ValueError):
        return True
    return process_lives(pid) and _start_time(pid) == owner["started"]


def process_lives(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _start_time(pid: int) -> str | None:
    """When a process began, in clock ticks since boot (Linux): tells a reused number from the old process.

    None for a process that is gone, or dead and not yet waited for.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *numbers = stat.rpartition(")")[2].split()
    return None if state == "Z" else numbers[18]


def held(folder: Path) -> bool:
    """Whether a living process holds this trial's folder."""
    owner = _owner(folder / "owner.json")
    return owner is not None and _alive(owner)
