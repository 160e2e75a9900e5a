"""What computes a trial, as far as it decides numbers: kind of device, precision, and threads of a CPU.

Sums in floating point depend on all three, so they are settled when trials are planned, are part of a trial's digest,
and are the same after every interruption and whatever else runs beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.errors import EnvironmentProblem, UsageError
from harness.spec import Spec

Precision = Literal["fp32", "bf16"]
# Flags of processors that multiply faster in bfloat16 than in float32, x86-64 and Arm. AVX-512 does on AMD's only: an
# Intel Xeon without AMX reaches half its float32 rate (`harness bench` prints both peaks).
FAST_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}
INTEL, FAST_BF16_OF_INTEL = "GenuineIntel", {"amx_bf16"}
AMPERE = 8  # first CUDA capability that multiplies in bfloat16; before it torch emulates it, slowly


@dataclass(frozen=True)
class Compute:
    """`device`: cpu or cuda. `threads`: of each trial on a CPU; on a GPU they decide nothing and are not counted."""

    device: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 1

    @property
    def identity(self) -> dict[str, Any]:
        """What of it a digest covers."""
        return {"device": self.device, "precision": self.precision} | (
            {"threads": self.threads} if self.device == "cpu" else {}
        )


def choose_device(device: str) -> str:
    """`auto` is cuda where there is one, else cpu. EnvironmentProblem when cuda is asked for and absent."""
    if device == "cpu":
        return "cpu"
    if device not in ("auto", "cuda"):
        raise UsageError(f"--device {device}: expected auto, cpu or cuda")
    if has_cuda():
        return "cuda"
    if device == "cuda":
        raise EnvironmentProblem("--device cuda: this machine has no usable CUDA device. Use --device cpu")
    return "cpu"


def has_cuda() -> bool:
    """Whether torch can compute on a GPU here. It is only asked, which takes seconds, where there is a driver."""
    if not _driver():
        return False
    import torch

    return torch.cuda.is_available()


@functools.cache
def _driver() -> bool:
    """Whether a driver of CUDA's kind is installed: NVIDIA's library, or AMD's device."""
    if Path("/dev/kfd").exists():
        return True
    name = "nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1"
    with contextlib.suppress(OSError):
        ctypes.CDLL(name)
        return True
    return False


def choose_compute(spec: Spec, device: str, threads: int = 1) -> Compute:
    """The compute of a trial on `device` (cpu or cuda): `optim.precision: auto` is bf16 where that is faster."""
    if spec.optim.precision != "auto":
        return Compute(device, spec.optim.precision, threads)
    fast = _gpu_has_bf16() if device == "cuda" else bf16_pays()
    return Compute(device, "bf16" if fast else "fp32", threads)


def bf16_pays(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processor is faster in bfloat16 (Linux; False elsewhere: float32 is right everywhere)."""
    if platform.system() != "Linux":
        return False
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    intel = re.search(rf"^vendor_id\s*:\s*{INTEL}$", text, re.MULTILINE)
    fast = FAST_BF16_OF_INTEL if intel else FAST_BF16
    return bool(flags and fast & set(flags[1].split()))


def _gpu_has_bf16() -> bool:
    import torch

    # Without a GPU here the trials run on a cluster's, which are taken to be recent ones; a spec can say fp32.
    return not torch.cuda.is_available() or torch.cuda.get_device_capability()[0] >= AMPERE
