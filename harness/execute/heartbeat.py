"""Signs of life: status.json of a running trial, read by the live table and by the runner that waits for it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.files import write_json

EVERY_S = 1.0  # a status file is written or touched at most this often within a phase


class Heartbeat:
    """Says what a trial does at this moment: a new phase at once, more of the same at most once a second."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.clock = folder / "status.json", clock
        self.phase, self.last = "", clock()
        self.first: tuple[float, int] | None = None  # moment and step of the first report of this phase
        self.unsaid: dict[str, Any] | None = None

    def __call__(self, phase: str = "train", **values: Any) -> None:
        """`values`: step and steps, from which the time left follows; loss, images_per_s, part."""
        now = self.clock()
        news = phase != self.phase
        if news:
            self.phase, self.first = phase, None
        step, steps = values.get("step"), values.get("steps")
        if step and steps:
            values["eta_s"] = self._left(now, step, steps)
        loss = values.get("loss")
        values["loss"] = loss if loss is not None and loss == loss else None
        self.unsaid = {"phase": phase, **values}
        if news or now - self.last >= EVERY_S:
            self._say(now)

    def _left(self, now: float, step: int, steps: int) -> float | None:
        began, first = self.first = self.first or (now, step)
        return round((steps - step) * (now - began) / (step - first), 1) if step > first else None

    def alive(self) -> None:
        """A sign of life, with what has not been said yet."""
        now = self.clock()
        if now - self.last >= EVERY_S:
            self._say(now)

    def _say(self, now: float) -> None:
        self.last = now
        if self.unsaid is not None:
            write_json(self.path, {**self.unsaid, "updated": time.time()})
            self.unsaid = None
            return
        with contextlib.suppress(OSError):
            os.utime(self.path)

    @contextlib.contextmanager
    def through_networks(self) -> Iterator[None]:
        """Within the block every call of any network is a sign of life: work in batches shows that it goes on."""
        from torch.nn.modules.module import register_module_forward_pre_hook

        hook = register_module_forward_pre_hook(lambda *_: self.alive())
        try:
            yield
        finally:
            hook.remove()
