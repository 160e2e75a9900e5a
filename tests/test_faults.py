"""A short form of the fault run, `python -m tests.faults`, and the files that broke something before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.data.exr import read_image
from harness.data.image_file import BadImage
from harness.suite.yamlfile import parse

HOME = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("file", sorted((HOME / "tests" / "corpus" / "images").iterdir()), ids=lambda file: file.stem)
def test_every_hostile_image_of_the_past_is_refused_with_a_reason(file: Path) -> None:
    with pytest.raises(BadImage, match="damaged"):
        read_image(file)


def test_an_anchor_given_twice_is_read_in_silence() -> None:
    assert parse("a: &x 1\nb: &x 2\nc: *x\n", "s.yaml").value["c"] == 2


@pytest.mark.long
@pytest.mark.parametrize("kind", ["interrupt", "damage", "disk", "suites", "images"])
def test_faults_change_nothing_and_are_never_silent(kind: str) -> None:
    command = [sys.executable, "-m", "tests.faults", "--minutes", "0.5", "--only", kind]
    done = subprocess.run(
        command, cwd=HOME, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 problems" in done.stdout
