"""A plugin for the tests of execution: a loss that goes wrong in a chosen way, and checkpoints after every 20 steps."""

from __future__ import annotations

import os
import time
from typing import Literal

from torch import Tensor

from harness import loss
from harness.train import loop
from models.losses import Step

loop.CHECKPOINT_S = 0.0


@loss("trouble")
class Trouble:
    """Adds nothing; at step 3 it raises, aborts the process or hangs, or it makes every step slow."""

    def __init__(self, kind: Literal["none", "raise", "abort", "hang", "slow"] = "none"):
        self.kind = kind

    def __call__(self, step: Step) -> Tensor:
        if self.kind == "slow":
            time.sleep(0.02)
        elif step.number == 3 and self.kind == "raise":
            raise RuntimeError("trouble was asked for")
        elif step.number == 3 and self.kind == "abort":
            print("about to abort", flush=True)
            os.abort()
        elif step.number == 3 and self.kind == "hang":
            time.sleep(3600)
        return 0 * step.rec["src"].mean()
