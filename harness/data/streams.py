"""Named random streams, re-derived from (seed, stream, step) at every step, so that resuming needs no hidden state.

The streams of a trial are init, data/... and eval/...
"""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, stream: str, step: int = 0) -> int:
    """The 63-bit seed of a stream: the first 8 bytes of sha256("{seed}/{stream}/{step}"), sign bit cleared."""
    digest = hashlib.sha256(f"{seed}/{stream}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "big") & ((1 << 63) - 1)


def generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """A CPU generator for `stream` at `step`; equal arguments give equal draws on every machine and device."""
    rng = torch.Generator(device="cpu")
    rng.manual_seed(stream_seed(seed, stream, step))
    return rng
