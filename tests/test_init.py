"""`harness init`: what it writes runs at once, and nothing of anybody's is overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import called

from harness import registry


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_plugins", [])
    monkeypatch.setattr(registry, "_added", dict(registry._added))
    return tmp_path


def test_what_is_written_can_be_planned_at_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, said = called(["init", "rounder-face"], monkeypatch, capsys)
    assert (code, out) == (0, "rounder-face.yaml\nrounder-face.py\n"), said
    run = ["run", "rounder-face.yaml", "--plugin", "rounder-face.py", "--device", "cpu"]
    assert f"harness {' '.join(run[:4])}" in said
    code, out, said = called([*run, "--dry-run", "--json"], monkeypatch, capsys)
    assert code == 0, said
    assert len(json.loads(out)["trials"]) == 2


def test_what_is_there_is_left_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "mine.py").write_text("my own")
    for name, why in (("mine", "exists already"), ("grid", "a variant 'grid' already"), ("../x", "cannot be a name")):
        code, _, said = called(["init", name], monkeypatch, capsys)
        assert code == 2 and why in said
    assert {path.name for path in here.iterdir()} == {"mine.py"} and (here / "mine.py").read_text() == "my own"


@pytest.mark.long
def test_what_is_written_runs_to_its_report(here: Path) -> None:
    for verb in (["init", "mine"], ["run", "mine.yaml", "--plugin", "mine.py", "--device", "cpu"]):
        done = subprocess.run([sys.executable, "-m", "harness.cli", *verb], capture_output=True, text=True, cwd=here)
        assert done.returncode == 0, done.stderr
    assert (here / "results" / "mine" / "report.html").is_file()
