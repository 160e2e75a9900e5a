"""The image sets of a plan: rendered or decoded once, before any trial begins."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.execute import devices
from harness.trials.trial import Trial


class _Abandoned(Exception):
    """The making of an image set was given up because the run ends."""


def prepare(trials: Sequence[Trial], root: Path) -> None:
    """Render or decode every image set that the trials need, several at once; said on stderr. Raises UsageError."""
    wanted = {(t.spec.data.model_dump_json(), t.seed): t for t in trials}
    if not wanted:
        return
    import torch

    from harness.data.store import open_store

    stopping = threading.Event()

    def asked(*_: object) -> None:
        if stopping.is_set():
            raise _Abandoned

    def make(trial: Trial) -> None:
        torch.set_num_threads(1)  # of this worker thread: the sets are spread over the cores instead
        store = open_store(trial.spec.data, trial.seed, root, asked, trial.compute.device)
        for file, reason in store.quarantined:
            print(f"warning: left out {file}: {reason}", file=sys.stderr)

    sets = "one image set" if len(wanted) == 1 else f"{len(wanted)} image sets"
    where = root / "data"
    print(f"preparing {sets} under {where} (rendered or decoded once, then reused)", file=sys.stderr, flush=True)
    pool = ThreadPoolExecutor(min(len(wanted), devices.cores()))
    try:
        for _ in pool.map(make, wanted.values()):
            pass
    except BaseException as error:  # Ctrl-C, or one set that cannot be made: the other sets leave at their next chunk
        stopping.set()
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
