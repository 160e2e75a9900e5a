"""What a failure becomes on the command line: one line and a defined exit code, and never a traceback.

What nobody expected leaves its details in a file under the user's cache folder, and the line says where.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from harness.cli.signals import Stopped
from harness.errors import EnvironmentProblem, HarnessError
from harness.files import FULL, cache_folder

INTERNAL = 70  # EX_SOFTWARE of sysexits.h
KEPT = 20  # files of details


def exit_code(program: Callable[[], object]) -> int:
    """Run the command line; 0, or the exit code of what went wrong, told in one line on stderr."""
    try:
        program()
    except HarnessError as error:
        return _told(str(error), error.code)
    except Stopped as stop:
        return _told(str(stop), 128 + stop.signum)
    except KeyboardInterrupt:
        return _told(str(Stopped(signal.SIGINT)), 130)
    except BrokenPipeError:  # the reader of a pipe has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except MemoryError as error:
        text = "this machine has not enough memory for that. Choose a smaller scale, size or batch"
        return _told(f"{text}{_details(error)}", EnvironmentProblem.code)
    except OSError as error:
        where = f"{_shown(error.filename)}: " if error.filename is not None else ""
        return _told(f"{where}{error.strerror or error}{_details(error)}", EnvironmentProblem.code)
    except Exception as error:
        what = " ".join(str(error).split())[:200]
        if any(os.strerror(number) in str(error) for number in FULL):  # of a library that writes files itself
            return _told(f"{what.rstrip('.')}. Free the disk{_details(error)}", EnvironmentProblem.code)
        return _told(f"unexpected {type(error).__name__}: {what}{_details(error)}", INTERNAL)
    return 0


def _told(text: str, code: int) -> int:
    print(f"harness: {text}", file=sys.stderr)
    return code


def _shown(name: object) -> str:
    return os.fsencode(name).decode(errors="backslashreplace") if isinstance(name, str | bytes | Path) else str(name)


def _details(error: BaseException) -> str:
    """Write the traceback to a file of its own; the end of the line that names it."""
    import platform
    import shlex
    import tempfile
    import time
    import traceback

    lines = [
        shlex.join(["harness", *sys.argv[1:]]),
        f"Python {platform.python_version()} on {platform.platform()}",
        "".join(traceback.format_exception(error)),
    ]
    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.log"
    for folder in (cache_folder() / "errors", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("\n".join(lines), encoding="utf-8", errors="backslashreplace")
            for old in sorted((cache_folder() / "errors").glob("*.log"))[:-KEPT]:
                old.unlink()
        except OSError:
            continue
        return f" (details: {folder / name})"
    return ""
