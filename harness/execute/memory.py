"""Freed memory stays with the process: glibc otherwise returns it after every training step and asks for it anew."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, MMAP_MOST = -1, -3, 32 * 2**20  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep freed memory; False where there is no glibc.

    Otherwise each step faults its pages in again; `getrusage` before and after a step tells how many.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1)) and bool(mallopt(M_MMAP_THRESHOLD, MMAP_MOST))
