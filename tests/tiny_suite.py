"""A small suite and a variant of four parameters, for the tests of suites, trials and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from torch import nn

from harness.errors import UsageError
from harness.suite.settings import from_options
from harness.suite.suite import Suite, from_document
from harness.suite.yamlfile import parse
from harness.trials.trial import trials

TEXT = """\
suite: tiny
question: Does a test see what it should?
data: {frames: 20, eval_frames: 4}
base:
  model: {variant: tiny-test, width: 2}
  loss:
    l1: 1.0
    kl: {weight: 0.2}
  optim.steps: 10
matrix:
  grid:
    model.grid: [3, 5]
seeds: 2
scales:
  quick: {optim.batch: 4}
  standard: {data: {size: 32}, seeds: [4, 9, 2]}
baseline: {model.grid: 5}
"""


def build(size: int, grid: int = 3, width: int = 4, mode: Literal["soft", "hard"] = "soft") -> nn.Module:
    """A variant of a test."""
    if grid > size:
        raise ValueError(f"grid {grid} does not fit into {size} pixels")
    return nn.Linear(width, 1)


def write(folder: Path, text: str = TEXT, name: str = "tiny.yaml") -> Path:
    """The suite's file in `folder`."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def loaded(text: str) -> Suite:
    """The suite that a text describes."""
    return from_document(parse(text, "s.yaml"), Path("s.yaml"))


def error_of(text: str, *overrides: str) -> str:
    """What is told of a mistake in a suite's text."""
    with pytest.raises(UsageError) as caught:
        trials(loaded(text), "quick", from_options(overrides))
    return str(caught.value)
