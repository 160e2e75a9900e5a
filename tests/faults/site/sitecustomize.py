"""Loaded by every Python of a disturbed run: processes die by SIGKILL at a call that makes a file last.

FAULT_POINTS are `call:name:n`, each the n-th call of `os` in a process that concerns a file of this name; in the folder
FAULT_TOKEN is a folder for each: who removes it dies. FAULT_NOTES is a file that gets a line `call:name` for every such
call instead.
"""

import contextlib
import os
import re
import signal

CALLS = ("fsync", "replace", "rename", "unlink", "rmdir", "mkdir")
PASSING = re.compile(r"^\.?(.*?)(\.[A-Za-z0-9_]+)?\.(tmp|part)$")


def point_of(call, arguments):  # type: ignore[no-untyped-def]
    """`call:name`, the name without what differs from process to process."""
    about = arguments[-1] if call in ("replace", "rename") else arguments[0]
    if isinstance(about, int):
        about = os.readlink(f"/proc/self/fd/{about}")
    name = os.path.basename(os.fsdecode(about).rstrip("/"))
    if torn := PASSING.match(name):
        name = torn.group(1)
    return f"{call}:{re.sub(r'[0-9]+', '9', re.sub(r'[0-9a-f]{8,}', 'f', name))}"


def arm() -> None:
    """Watch this process as the environment asks."""
    if "FAULT_POINTS" in os.environ or "FAULT_NOTES" in os.environ:
        for name in CALLS:
            setattr(os, name, _watched(name, getattr(os, name)))


def _watched(name, call):  # type: ignore[no-untyped-def]
    seen = {}  # type: ignore[var-annotated]

    def deadly(*arguments, **options):  # type: ignore[no-untyped-def]
        with contextlib.suppress(OSError):
            _pass(point_of(name, arguments), seen)
        return call(*arguments, **options)

    return deadly


def _pass(point, seen):  # type: ignore[no-untyped-def]
    if notes := os.environ.get("FAULT_NOTES"):
        with open(notes, "a") as file:
            file.write(point + "\n")
        return
    seen[point] = seen.get(point, 0) + 1
    if f"{point}:{seen[point]}" in os.environ["FAULT_POINTS"].split():
        _rmdir(os.path.join(os.environ["FAULT_TOKEN"], f"{point}:{seen[point]}"))
        os.kill(os.getpid(), signal.SIGKILL)


_rmdir = os.rmdir
arm()
