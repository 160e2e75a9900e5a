"""Plans of tiny trials in which things go wrong, and the command that runs them in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors

from harness.ledger.records import Record
from harness.suite.suite import load
from harness.trials.trial import Trial, trials

PLUGIN = Path(__file__).with_name("trouble.py")
TEXT = """\
suite: {name}
question: What does trouble do to a run?
data: {{pair: near, frames: 20, eval_frames: 6, size: 16, render_supersample: 1}}
base:
  model: {{variant: grid, width: 4, channels: 4}}
  loss: {{l1: 1.0, kl: 0.01, trouble: {{weight: 1.0}}}}
  optim: {{steps: {steps}, batch: 6, precision: fp32, lr: 0.01}}
  score: {{previews: 2}}
matrix:
  grid:
    loss.trouble.kind: {kinds}
metrics: {metrics}
scales: {{quick: {{}}}}
"""
QUICK = ("identity",)
FULLER = ("identity", "swap_quality", "reconstruction", "checkerboard")


def suite_file(root: Path, name: str, kinds: tuple[str, ...], steps: int = 8, metrics: tuple[str, ...] = QUICK) -> Path:
    file = root / f"{name}.yaml"
    file.write_text(TEXT.format(name=name, kinds=list(kinds), steps=steps, metrics=list(metrics)))
    return file


def plan(root: Path, name: str, *kinds: str, **options: Any) -> list[Trial]:
    return trials(load(suite_file(root, name, kinds, **options)), "quick")


def weights(record: Record) -> dict[str, torch.Tensor]:
    return load_tensors((record.folder / "weights.safetensors").read_bytes())


def until(condition: Callable[[], Any], seconds: float = 180.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def command(root: Path, file: Path, *more: str) -> subprocess.Popen[str]:
    """`harness run` in a process of its own, with one thread for each trial."""
    code = (
        "from harness.execute import devices; devices.cores = lambda: 1; from harness.cli.__main__ import main; main()"
    )
    arguments = ["run", str(file), "--out", str(root), "--plugin", str(PLUGIN), "--device", "cpu", *more]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=root,
    )  # fmt: skip


def checkpoints(root: Path, trial: Trial) -> list[Path]:
    return sorted((root / trial.suite / "trials" / trial.name / "checkpoint").glob("step-*.json"))


def pid_of(root: Path, trial: Trial) -> int | None:
    try:
        return int(json.loads((root / trial.suite / "trials" / trial.name / "owner.json").read_bytes())["pid"])
    except (OSError, ValueError):
        return None
