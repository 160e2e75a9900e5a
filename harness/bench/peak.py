"""What this machine can do at most, measured: the fastest square matrix product, in FLOP/s, and the fastest copy."""

from __future__ import annotations

import time

import torch

from harness.bench.step import synchronise


@torch.no_grad()
def matmul_flops(precision: str, device: torch.device, side: int | None = None, seconds: float = 0.4) -> float:
    """FLOP/s of the best of several products of two (side, side) matrices; side: 1024 on a CPU, 8192 on a GPU."""
    n = side or (8192 if device.type == "cuda" else 1024)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.rand(n, n, device=device).to(kind) for _ in range(2))
    out = a @ b
    best, ends, repeats = float("inf"), time.perf_counter() + seconds, 10 if device.type == "cuda" else 1
    while True:
        synchronise(device)
        began = time.perf_counter()
        for _ in range(repeats):
            torch.mm(a, b, out=out)
        synchronise(device)
        now = time.perf_counter()
        best = min(best, (now - began) / repeats)
        if now > ends:
            return 2 * n**3 / best


@torch.no_grad()
def copied_bytes(device: torch.device, mebibytes: int = 128, seconds: float = 0.4) -> float:
    """Bytes a second, read and written, of the best of several copies of a tensor that no cache holds."""
    source = torch.rand(mebibytes << 18, device=device)
    target = torch.empty_like(source)
    best, ends = float("inf"), time.perf_counter() + seconds
    while True:
        synchronise(device)
        began = time.perf_counter()
        target.copy_(source)
        synchronise(device)
        now = time.perf_counter()
        best = min(best, now - began)
        if now > ends:
            return 2 * source.numel() * source.element_size() / best
