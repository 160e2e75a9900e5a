"""What NVML reports of the first GPU: energy, clock, other processes. Nothing where pynvml or the driver is absent."""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any


@functools.cache
def _device() -> tuple[Any, Any] | None:
    """(the module pynvml, the handle of the GPU), or None."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        by_number = visible.isdigit() or not visible
        handle = (
            nvml.nvmlDeviceGetHandleByIndex(int(visible or 0)) if by_number else nvml.nvmlDeviceGetHandleByUUID(visible)
        )
        return nvml, handle
    except Exception:  # no module, no driver, no permission: all mean that nothing can be read
        return None


def joules() -> float | None:
    """The GPU's energy counter in joules since the driver was loaded; None where it cannot be read."""
    if (device := _device()) is None:
        return None
    nvml, handle = device
    try:
        return nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
    except nvml.NVMLError:
        return None


def state() -> dict[str, Any]:
    """{"sm_mhz": clock of the multiprocessors, "others": processes that are not this one}; empty without NVML."""
    if (device := _device()) is None:
        return {}
    nvml, handle = device
    try:
        mine = os.getpid()
        running = [process.pid for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
        clock = nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)
        return {"sm_mhz": clock, "others": len([pid for pid in running if pid != mine])}
    except nvml.NVMLError:
        return {}
