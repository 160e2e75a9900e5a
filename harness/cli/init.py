"""`harness init`: a suite and a variant of one's own to begin with, which run as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import UsageError

SUITE = """\
# A question of your own. It runs as it is, in about a minute:
#
#   harness run {name}.yaml --plugin {name}.py
#
# All keys of a suite: harness list settings. All parts: harness list variants | losses | metrics.
suite: {name}
question: Does a wider bottleneck change how well the swap keeps the expression?

# Faces: the built-in ones, 32 pixels. Your own: `source: FOLDER` with src/ and dst/ in it.
data: {{frames: 24, eval_frames: 12, size: 32}}

# What all trials share. A loss is a name and a weight.
base:
  model: {{variant: {name}, width: 8}}
  loss: {{face_l1: 1.0, dssim: 1.0, kl: 0.005}}
  optim: {{steps: 60, batch: 8, lr: 1.0e-3}}

# What differs: one trial for each value and each seed. `channels` is an option of the variant in {name}.py.
matrix:
  grid:
    model.channels: [8, 32]
seeds: 1  # replicates, each with two people of its own; a claim needs four or more
baseline: {{model.channels: 8}}
scales:
  quick: {{}}
"""
PLUGIN = '''\
"""A variant of your own. Edit it, and the next run trains other trials: its source is part of what a trial is."""

from torch import nn

from harness import variant
from models.swapper import Swapper
from models.variants import grid


@variant("{name}")
def {function}(size: int, channels: int = 16, width: int = 8, cells: int = 3) -> Swapper:
    """The grid family with a rounder activation behind the bottleneck of each person."""
    model = grid(size, grid=cells, width=width, channels=channels)
    for person, decoder in model.decoders.items():
        model.decoders[person] = nn.Sequential(nn.SiLU(), decoder)
    return model
'''


def init(
    name: Annotated[str, typer.Argument(help="Of the suite and of its variant: small letters, digits, _ and -.")],
) -> None:
    """Write NAME.yaml, a small commented suite, and NAME.py, a variant of your own that it trains, into this folder."""
    from harness import registry, terminal
    from harness.files import write_atomic

    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,40}", name):
        raise UsageError(f"{name!r} cannot be a name. Expected a small letter, then small letters, digits, _ and -")
    if name in registry.entries("variant"):
        raise UsageError(f"there is a variant {name!r} already. Choose another name")
    texts = {Path(f"{name}.yaml"): SUITE, Path(f"{name}.py"): PLUGIN}
    for path in texts:
        if path.exists():
            raise UsageError(f"{path} exists already. Choose another name, or another folder")
    for path, text in texts.items():
        write_atomic(path, text.format(name=name, function=name.replace("-", "_")).encode())
        print(path)
    terminal.say(f"run them: harness run {name}.yaml --plugin {name}.py")
