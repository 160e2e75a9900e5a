"""A plugin for the tests of patience: in a trial's process every phase lasts long, and shows that it goes on.

Set TARDY to what shall be slow: `phases` (each takes several seconds, in small pieces) or `end` (after the record).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Any

from torch import Tensor
from torch.nn.modules.module import register_module_forward_pre_hook

from harness import loss
from models.losses import Step


@loss("tardy")
class Tardy:
    """Adds nothing and takes 0.3 s."""

    def __call__(self, step: Step) -> Tensor:
        if os.environ.get("TARDY") == "phases":
            time.sleep(0.3)
        return 0 * step.rec["src"].mean()


def slower(module: Any, name: str, seconds: float) -> None:
    """Every call of `module.name` takes `seconds` more."""
    inner = getattr(module, name)

    def slow(*args: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return inner(*args, **options)

    setattr(module, name, slow)


def slow_phases() -> None:
    from harness.data import decode, store
    from harness.ledger import environment
    from metrics.case import Case

    slower(decode, "Outcome", 0.2)  # one a file
    slower(Case, "__post_init__", 0.5)  # one a rung of a ladder
    slower(environment, "capture", 1.5)
    read, absent = store.read_pack, [True, True]

    def not_there_yet(*args: Any) -> Any:
        if absent:
            absent.pop()
            raise FileNotFoundError
        return read(*args)

    store.read_pack = not_there_yet
    # Networks are slow where they are used, not where they are trained.
    register_module_forward_pre_hook(lambda module, _: None if module.training else time.sleep(0.03))


if "harness.execute" in " ".join(sys.orig_argv):  # the process of a trial, not the one that runs the tests
    if os.environ.get("TARDY") == "phases":
        slow_phases()
    elif os.environ.get("TARDY") == "end":
        slower(shutil, "rmtree", 60.0)
