"""Parts of anybody's that break in any way: a row with its reason, or one line before training; the others go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.ledger.records import Ledger

PLUGIN = Path(__file__).with_name("hostile_parts.py")
SUITE = """\
suite: hostile
question: What do hostile parts do to the others?
data: {pair: near, frames: 20, eval_frames: 6, size: 16, render_supersample: 1}
base:
  model: {variant: hostile}
  loss: {l1: 1.0}
  optim: {steps: 20, batch: 6, precision: fp32}
  score: {previews: 0}
matrix:
  grid:
    model.way: [raise, shape, nan, exit, leave, interrupt, hang, segfault, memory, none]
metrics: [identity]
scales: {quick: {}}
"""
REASONS = {
    "raise": ("failed", "this forward was meant to raise"),
    "shape": ("failed", "size"),
    "nan": ("diverged", "not finite"),
    "exit": ("failed", "exit"),
    "leave": ("failed", "exit status 0 and no record"),
    "interrupt": ("failed", "Interrupt"),
    "hang": ("timeout", "s"),
    "segfault": ("failed", "SIGSEGV"),
    "memory": ("oom", "memory"),
}


def harness(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments], capture_output=True, text=True, cwd=folder, timeout=1500
    )


def package(folder: Path, text: str) -> Path:
    """An installed package with an entry point, as `pip install --target` would leave it."""
    site = folder / "site"
    (site / "hostile_package-1.0.dist-info").mkdir(parents=True)
    (site / "hostile_package-1.0.dist-info" / "METADATA").write_text("Name: hostile-package\nVersion: 1.0\n")
    (site / "hostile_package-1.0.dist-info" / "entry_points.txt").write_text(
        "[faceswap_bench]\nhostile = hostile_package\n"
    )
    (site / "hostile_package.py").write_text(text)
    return site


@pytest.mark.long
@pytest.mark.parametrize("installed", [False, True], ids=["by_file", "by_entry_point"])
def test_a_part_that_breaks_in_training_is_a_row_with_its_reason_and_the_others_go_on(
    tmp_path: Path, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostile.yaml").write_text(SUITE)
    more = ["--plugin", str(PLUGIN)]
    if installed:
        monkeypatch.setenv("PYTHONPATH", str(package(tmp_path, PLUGIN.read_text())))
        more = []
    done = harness(tmp_path, "run", "hostile.yaml", "--device", "cpu", "--timeout", "120", "--jobs", "2", *more)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    records = {record.cell["model.way"]: record for record in Ledger(tmp_path / "results" / "hostile").records()}
    assert records.keys() == {*REASONS, "none"}
    assert records["none"].status == "done"
    for way, (status, reason) in REASONS.items():
        record = records[way]
        assert record.status == status, (way, record.status, record.reason)
        assert reason.lower() in (record.reason or "").lower(), (way, record.reason)


@pytest.mark.long
@pytest.mark.parametrize("how", ["raise", "exit"])
def test_a_part_that_cannot_be_built_is_one_line_before_any_training(tmp_path: Path, how: str) -> None:
    (tmp_path / "s.yaml").write_text(
        "suite: s\nquestion: q?\nscales: {quick: {}}\n"
        f"base: {{model: {{variant: unbuildable, how: {how}}}, loss: {{l1: 1.0}}}}\n"
    )
    done = harness(tmp_path, "run", "s.yaml", "--device", "cpu", "--plugin", str(PLUGIN))
    assert done.returncode == 2 and "this builder was meant to" in done.stderr, done.stderr
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").rglob("record.json"))


@pytest.mark.long
@pytest.mark.parametrize("text", ["raise RuntimeError('at import')", "raise SystemExit('at import')", "import gone_"])
def test_a_plugin_that_fails_at_import_is_named_in_one_line(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    by_file = harness(tmp_path, "run", "smoke", "--dry-run", "--plugin", str(file))
    monkeypatch.setenv("PYTHONPATH", str(package(tmp_path, text)))
    for done, name in ((by_file, str(file)), (harness(tmp_path, "run", "smoke", "--dry-run"), "'hostile'")):
        assert done.returncode == 2
        (line,) = done.stderr.strip().splitlines()
        assert name in line and "fails to load" in line
