"""How many trials run at once on this machine, and on which of its devices each of them runs."""

from __future__ import annotations

import os

MEMORY_A_TRIAL = 2 * 2**30


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> tuple[str, ...]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    import torch

    count = torch.cuda.device_count()
    names = [name.strip() for name in named.split(",")] if named else [str(number) for number in range(count)]
    return tuple(names[:count])


def choose_jobs(jobs: int | str, device: str, per_gpu: int = 1) -> int:
    """Trials at once; how many threads each has was settled when they were planned.

    "auto" on a CPU: one single-threaded trial a core, while memory lasts: several small trials finish more than one on
    all cores (`harness bench --packing` measures it). "auto" on GPUs: `per_gpu` on each, so that with one each its
    throughput figure stands.
    """
    if jobs != "auto":
        return max(1, int(jobs))
    if device.startswith("cuda"):
        return max(1, len(gpus())) * per_gpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**33
    return max(1, min(cores(), int(memory // MEMORY_A_TRIAL)))
