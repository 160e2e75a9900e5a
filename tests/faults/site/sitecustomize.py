"""Loaded by every Python of a disturbed run: one process dies by SIGKILL before its n-th call that makes a file last.

FAULT_CALL names the call of `os` (fsync, replace, unlink), FAULT_COUNT is n, FAULT_TOKEN a file: who removes it dies.
"""

import os
import signal


def _arm(name: str, count: int, token: str) -> None:
    call, calls = getattr(os, name), 0

    def deadly(*arguments, **options):  # type: ignore[no-untyped-def]
        nonlocal calls
        calls += 1
        if calls == count:
            try:
                os.rmdir(token)
            except OSError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)

    setattr(os, name, deadly)


if "FAULT_CALL" in os.environ:
    _arm(os.environ["FAULT_CALL"], int(os.environ["FAULT_COUNT"]), os.environ["FAULT_TOKEN"])
