"""A plugin for the tests of execution: a loss and metrics that go wrong, and checkpoints after every 20 steps."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Literal

import numpy as np
from torch import Tensor

from harness import loss, metric
from harness.train import loop
from metrics.case import Case, Evaluator
from metrics.info import MetricInfo
from models.losses import Step

loop.CHECKPOINT_S = 0.0


Kind = Literal["none", "raise", "abort", "hang", "slow", "exit", "interrupt", "leave", "pretend"]


@loss("trouble")
class Trouble:
    """Adds nothing; at step 3 something happens, or every step is slow."""

    def __init__(self, kind: Kind = "none"):
        self.kind = kind

    def __call__(self, step: Step) -> Tensor:
        if self.kind == "slow":
            time.sleep(0.02)
        elif step.number == 3 and self.kind == "raise":
            raise RuntimeError("trouble was asked for")
        elif step.number == 3 and self.kind == "abort":
            print("about to abort", flush=True)
            os.abort()
        elif step.number == 3 and self.kind == "exit":
            sys.exit(0)
        elif step.number == 3 and self.kind == "interrupt":
            raise KeyboardInterrupt
        elif step.number == 3 and self.kind == "leave":
            os._exit(0)
        elif step.number == 3 and self.kind == "pretend":
            os._exit(75)  # as if another runner held the trial
        elif step.number == 3 and self.kind == "hang":
            time.sleep(3600)
        return 0 * step.rec["src"].mean()


def leaving(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """Ends the process while it scores."""
    os._exit(0)
    yield "leaving", np.zeros(1)


def raising(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """Raises while it scores."""
    yield "raising", np.zeros(1)
    raise RuntimeError("this metric raises")


def hungry(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    """Takes 256 MiB while it scores."""
    yield "hungry", np.ones(2**25)[:1]


for name, run in (("leaving", leaving), ("raising", raising), ("hungry", hungry)):
    metric(name)(Evaluator(run, (MetricInfo(name, "lower", "", 0.0, "nothing", title=name, decimals=2),)))
