"""The command line inside a test's process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import pytest

from harness.cli import app


def called(
    arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Run `harness ARGUMENTS`: (exit code, stdout, stderr)."""
    monkeypatch.setattr(sys, "argv", ["harness", *arguments])
    code: Any = 0
    try:
        app.main()
    except SystemExit as exit_:
        code = exit_.code
    told = capsys.readouterr()
    return code or 0, told.out, told.err
