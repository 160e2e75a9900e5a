"""SIGINT and SIGTERM before, beside and after the trials: the command line leaves in time, with one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parent.parent
BUSY = """\
import signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from pathlib import Path
from harness.cli import __main__ as command, signals
signals.LEAVE_S = 0.5

def program():
    threading.Thread(target=time.sleep, args=(60,)).start()  # as a pool that renders: Python waits for it at its end
    Path(sys.argv[1]).touch()
    {body}

command._program = program
command.main()
"""
ENDING = """\
import atexit, signal, sys, time
from pathlib import Path
from harness.cli import __main__ as command

atexit.register(lambda: (Path(sys.argv[1]).touch(), time.sleep(60)))
command._program = lambda: None
command.main()
"""
SWALLOWED = "while True:\n        try:\n            time.sleep(60)\n        except BaseException:\n            pass"


def ended(tmp_path: Path, body: str, *signals: int, program: str = BUSY) -> tuple[int, str, float]:
    """(exit code, stderr, seconds since the first signal) of a command that does `body`."""
    ready = tmp_path / "ready"
    process = subprocess.Popen(
        [sys.executable, "-c", program.format(body=body), str(ready)], cwd=HOME, stderr=subprocess.PIPE, text=True
    )
    while not ready.exists() and process.poll() is None:
        time.sleep(0.01)
    began = time.monotonic()
    for signum in signals:
        os.kill(process.pid, signum)
        time.sleep(0.1)
    said = process.communicate(timeout=30)[1]
    return process.returncode, said, time.monotonic() - began


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_at_any_moment_is_one_line_and_nothing_is_waited_for(tmp_path: Path, signum: int, code: int) -> None:
    # Nothing but the command's own last step ends it: the thread works on, and the emergency exit comes too late.
    found, said, seconds = ended(tmp_path, "signals.LEAVE_S = 60\n    time.sleep(60)", signum)
    assert (found, said) == (code, "harness: interrupted; the same command continues where it was\n")
    assert seconds < 5


def test_a_signal_that_somebody_swallows_ends_the_process_all_the_same(tmp_path: Path) -> None:
    found, said, seconds = ended(tmp_path, SWALLOWED, signal.SIGTERM)
    assert (found, said) == (143, "") and seconds < 5


def test_a_signal_while_python_cleans_up_shows_nothing(tmp_path: Path) -> None:
    found, said, seconds = ended(tmp_path, "", signal.SIGTERM, program=ENDING)
    assert (found, said) == (143, "") and seconds < 5


def test_a_second_signal_is_immediate(tmp_path: Path) -> None:
    body = SWALLOWED.replace("pass", "signals.LEAVE_S = 60")
    found, _, seconds = ended(tmp_path, f"signals.LEAVE_S = 60\n    {body}", signal.SIGINT, signal.SIGINT)
    assert found == 130 and seconds < 5


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    code = (
        "import signal, harness.cli.signals as s; s.listen(); print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    ignored = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {code}"
    done = subprocess.run([sys.executable, "-c", ignored], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
