"""How to fill the cores: one trial on all of them, or one on each? Child processes that train, held and told to go on.

`python -m harness.bench.packing SPEC.json THREADS ROOT` is one child: it trains as a trial does, and does as many steps
as each line on its standard input asks for, answering with a line.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.bench.timing import Watch, paired, ratio_of
from harness.compute import choose_compute
from harness.errors import EnvironmentProblem
from harness.spec import Spec

WARMUP = 2


class Child:
    """A process that trains `spec` on `threads` threads. `ask(steps)`, then `wait()`."""

    def __init__(self, spec: Path, threads: int, root: Path):
        home = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH", "")]))
        limits = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        command = [sys.executable, "-m", "harness.bench.packing", str(spec), str(threads), str(root)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | limits | {"PYTHONPATH": path},
        )  # fmt: skip

    def ask(self, steps: int) -> None:
        """Begin `steps` steps."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # wait() reports a child that died
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()

    def wait(self) -> None:
        """Until what was asked is done. EnvironmentProblem when the child has died."""
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "done":
            raise EnvironmentProblem("a training process of the measurement ended early; its message is above")

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def measure(spec: Spec, root: Path, cores: int, blocks: int = 12, steps: int = 20) -> dict[str, Any]:
    """How many times as much `cores` trials of one thread each finish as one trial on `cores` threads; JSON values.

    Each of `blocks` pairs lets both ways train `cores` times `steps` steps: one trial does them all, or each of several
    its part at the same time. The order is A B, B A, ... Starting and the choice of precision are not in the clock.
    """
    from harness.data.store import open_store
    from harness.ledger import environment

    most = cores * steps * (blocks + WARMUP) + 4
    optim = spec.optim.model_copy(update={"steps": most, "warmup": 0, "precision": _settled(spec)})
    spec = spec.model_copy(update={"optim": optim})
    open_store(spec.data, 0, root)  # rendered once, before the children ask for it
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file = Path(folder) / "spec.json"
        file.write_text(json.dumps(spec.model_dump(mode="json")))
        children = []
        for threads in (cores, *[1] * cores):
            children.append(stack.enter_context(_running(file, threads, root)))
        for child in children:
            child.wait()  # its first step is done
        wide, narrow = children[0], children[1:]

        def one() -> None:
            wide.ask(cores * steps)
            wide.wait()

        def many() -> None:
            for child in narrow:
                child.ask(steps)
            for child in narrow:
                child.wait()

        for _ in range(WARMUP):
            one()
            many()
        with Watch(cores) as watch:
            pairs = paired(one, many, blocks)
    ratio = ratio_of(pairs)
    images = 2 * spec.optim.batch * cores * steps
    times = {"one": [a for a, _ in pairs], "many": [b for _, b in pairs]}
    return {
        "schema_version": 1,
        "kind": "packing",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": cores,
        "blocks": blocks,
        "steps_a_block": steps,
        "precision": optim.precision,
        "spec": spec.model_dump(mode="json"),
        "images_per_s": {
            f"1 job x {cores} threads": images * blocks / sum(times["one"]),
            f"{cores} jobs x 1 thread": images * blocks / sum(times["many"]),
        },
        "jobs_are_better": {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "pairs": ratio.pairs},
        "void": watch.void(times),
        "environment": environment.capture(),
    }


def _settled(spec: Spec) -> str:
    """One precision for all, so that both ways compute the same."""
    return choose_compute(spec, "cpu").precision


@contextlib.contextmanager
def _running(file: Path, threads: int, root: Path) -> Iterator[Child]:
    child = Child(file, threads, root)
    try:
        yield child
    finally:
        child.close()


def _train(file: str, threads: int, root: str) -> None:
    import torch

    from harness.bench.loop import LoopArm
    from harness.data.store import open_store
    from harness.execute.memory import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()
    spec = Spec.model_validate_json(Path(file).read_text())
    store = open_store(spec.data, 0, Path(root))
    with (
        tempfile.TemporaryDirectory() as folder,
        LoopArm(spec, 0, store, torch.device("cpu"), Path(folder), threads) as loop,
    ):
        print("done", flush=True)
        for line in sys.stdin:
            loop.advance(int(line))
            print("done", flush=True)


if __name__ == "__main__":
    _train(sys.argv[1], int(sys.argv[2]), sys.argv[3])
