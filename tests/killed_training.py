"""A training loop killed 200 times at random moments, in processes forked from this one; run as a command.

Usage: python killed_training.py FOLDER KILLS. Prints the number of kills, of lives that reached a new checkpoint, and
of runs that were brought to their end; exit 1 when one of those ended differently from the uninterrupted run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from tiny_training import spec_of, store_in

from harness.data.store import FaceStore
from harness.spec import Spec
from harness.train import checkpoint, loop

STEPS = 100


def live(spec: Spec, store: FaceStore, folder: Path) -> None:
    """One life: train, resuming, until the end or the kill. Never returns."""
    os.setsid()
    loop.train(spec, 0, store, torch.device("cpu"), folder)
    os._exit(0)


def final(folder: Path) -> dict[str, torch.Tensor]:
    kept = checkpoint.load(folder / "checkpoint")
    assert kept is not None and kept.meta["step"] == STEPS and not kept.damaged
    return kept.tensors


def main(root: Path, kills: int) -> int:
    torch.set_num_threads(1)
    loop.CHECKPOINT_S = 0.0  # a checkpoint after every block of 20 steps
    spec, store = spec_of(optim={"steps": STEPS}), store_in(root)
    rng = random.Random(time.time_ns())
    began = time.monotonic()
    if (child := os.fork()) == 0:
        live(spec, store, root / "whole")
    assert os.waitpid(child, 0)[1] == 0
    longest = (time.monotonic() - began) / 3
    expected = final(root / "whole")
    done = runs = moved = 0
    while done < kills:
        folder, ended, last = root / f"run-{runs}", False, ""
        while not ended:
            if (child := os.fork()) == 0:
                live(spec, store, folder)
            time.sleep(rng.uniform(0.0, longest))
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)[1] == 0
            done += not ended
            newest = max((path.name for path in (folder / "checkpoint").glob("step-*.json")), default="")
            moved, last = moved + (newest > last), newest
        tensors = final(folder)
        if set(tensors) != set(expected) or not all(torch.equal(tensors[name], expected[name]) for name in expected):
            print(f"run {runs} ended differently from the uninterrupted one")
            return 1
        runs += 1
    print(done, moved, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
