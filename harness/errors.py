"""Errors a person can act on. Each class carries the exit code that the command line returns for it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of every expected failure: the message is the whole story (no traceback); `code` is the exit code."""

    code = 1


class CheckFailed(HarnessError):
    """A gate, a claim or a checked folder did not pass."""

    code = 1


class UsageError(HarnessError):
    """A suite, an option or a name is wrong: what is wrong, where, and what was expected."""

    code = 2


class TrialsFailed(HarnessError):
    """The run ended, and some of its trials did not."""

    code = 3


class EnvironmentProblem(HarnessError):
    """Weights, device, disk or another thing outside the suite is missing or broken."""

    code = 4


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Expected one of: {', '.join(names[:40])}" if names else "There are none"
