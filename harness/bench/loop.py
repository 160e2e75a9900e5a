"""The real training loop, advanced a block of steps at a time, so that several of them can take turns in one process.

`harness.train.loop.train` runs as it does in a trial: batches, augmentation, losses, clipping, history, previews,
checkpoints. It sits in a thread of its own and is held at its own question "shall I stop?".
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from harness.compute import choose_compute
from harness.data.store import FaceStore
from harness.score.pictures import Preview
from harness.spec import Spec
from harness.train.loop import Interrupted, Trained, train


class LoopArm:
    """`with LoopArm(...) as loop: loop.advance(20)`. The specification's `optim.steps` bounds all steps together.

    Errors of the training are raised from `advance`. `seconds_to_first`: from the start until the first step was done,
    the choice of precision included.
    """

    def __init__(
        self, spec: Spec, seed: int, store: FaceStore, device: torch.device, folder: Path, threads: int | None = None
    ):
        self.spec, self.seed, self.store, self.device, self.folder = spec, seed, store, device, folder
        self.compute = choose_compute(spec, device.type, threads or torch.get_num_threads())
        self.seconds_to_first = 0.0
        self.trained: Trained | None = None
        self._allowed = self._done = 0
        self._closing = self._ended = False
        self._error: BaseException | None = None
        self._turn = threading.Condition()
        self._thread = threading.Thread(target=self._train, name="bench-loop", daemon=True)

    def __enter__(self) -> Self:
        began = time.perf_counter()
        self._allowed = 1
        self._thread.start()
        self._wait()
        self.seconds_to_first = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        self._thread.join()

    def advance(self, steps: int) -> float:
        """Do `steps` more steps; returns the seconds they took, up to the accelerator's last kernel."""
        began = time.perf_counter()
        with self._turn:
            self._allowed += steps
            self._turn.notify_all()
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._done >= self._allowed or self._ended)
        if self._error is not None:
            raise self._error
        if self._done < self._allowed:
            raise ValueError(f"the training ended after {self._done} steps: optim.steps is {self.spec.optim.steps}")

    def _ask(self) -> bool:
        """Called by the loop once a step, when the step's work has been issued."""
        with self._turn:
            self._done += 1
            if self._done < self._allowed and not self._closing:
                return False
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        with self._turn:
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._done < self._allowed or self._closing)
            return self._closing

    def _train(self) -> None:
        try:
            look = Preview(self.store, self.spec, self.folder, self.device)
            self.trained = train(
                self.spec, self.seed, self.store, self.device, self.folder,
                compute=self.compute, look=look, stop=self._ask,
            )  # fmt: skip
        except Interrupted:
            pass
        except BaseException as error:  # handed to whoever waits for the steps
            self._error = error
        finally:
            with self._turn:  # a waiter that is woken may find this thread alive still
                self._ended = True
                self._turn.notify_all()
