"""Timing on machines that are not quiet: arms take turns, ratios are paired, intervals come from a bootstrap.

No torch here: the pytest plugin loads this module.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

Call = Callable[[], object]
Clock = Callable[[], float]
MUCH_SLOWER = 1.5  # a block this much slower than the median of its arm was disturbed


@dataclass(frozen=True)
class Summary:
    """Median, quartiles and count of repeated readings; unit as given."""

    median: float
    q25: float
    q75: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Of at least one value."""
        one = list(values)[:1]
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else one * 3
        return cls(middle, low, high, len(values))

    def to_dict(self) -> dict[str, float]:
        """Plain JSON values, 6 significant digits."""
        return {key: float(f"{value:.6g}") for key, value in asdict(self).items()} | {"n": self.n}


@dataclass(frozen=True)
class Ratio:
    """Time of A over time of B: exp of the median log-ratio of pairs, with a bootstrap 95 % interval."""

    value: float
    low: float
    high: float
    pairs: int

    def inverse(self) -> Ratio:
        """B over A: how many times as fast A is."""
        return Ratio(1 / self.value, 1 / self.high, 1 / self.low, self.pairs)

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g}, {self.pairs} pairs)"


def ratio_of(pairs: Sequence[tuple[float, float]], draws: int = 4000) -> Ratio:
    """The ratio of (seconds of A, seconds of B) pairs; the same pairs give the same interval."""
    logs = np.log(np.asarray([a / b for a, b in pairs], dtype=np.float64))
    rng = np.random.default_rng(len(logs))
    medians = np.median(logs[rng.integers(0, len(logs), size=(draws, len(logs)))], axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return Ratio(math.exp(float(np.median(logs))), math.exp(float(low)), math.exp(float(high)), len(logs))


def seconds_of(call: Call, clock: Clock = time.perf_counter) -> float:
    """How long one call takes."""
    began = clock()
    call()
    return clock() - began


def paired(a: Call, b: Call, count: int, clock: Clock = time.perf_counter) -> list[tuple[float, float]]:
    """(seconds of A, seconds of B) of `count` pairs in the order A B, B A, A B, ...: a drift falls on both alike."""
    found = []
    for k in range(count):
        if k % 2 == 0:
            of_a = seconds_of(a, clock)
            found.append((of_a, seconds_of(b, clock)))
        else:
            of_b = seconds_of(b, clock)
            found.append((seconds_of(a, clock), of_b))
    return found


def interleaved(arms: Mapping[str, Call], blocks: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each arm's blocks; the arms take turns, every second round in the opposite order."""
    for _ in range(warmup):
        for call in arms.values():
            call()
    found: dict[str, list[float]] = {name: [] for name in arms}
    for block in range(blocks):
        for name in list(arms) if block % 2 == 0 else reversed(list(arms)):
            found[name].append(seconds_of(arms[name]))
    return found


@dataclass
class Watch:
    """What else went on while the clock ran. `with Watch(threads) as watch: ...`, then `watch.void(times)`.

    `threads`: cores that the measured process keeps busy itself.
    """

    threads: int = 1
    cuda: bool = False
    reasons: list[str] = field(default_factory=list)

    def __enter__(self) -> Watch:
        self.load = _load()
        self.clocks = _gpu() if self.cuda else {}
        return self

    def __exit__(self, *_: object) -> None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.load = max(self.load, _load())
        if self.load > cores + 0.25:
            self.reasons.append(f"load {self.load:.1f} on {cores} cores: others were computing")
        if self.cuda:
            after = _gpu()
            if after.get("others") or self.clocks.get("others"):
                self.reasons.append("another process was on the GPU")
            first, last = self.clocks.get("sm_mhz"), after.get("sm_mhz")
            if first and last and abs(last - first) > 0.1 * first:
                self.reasons.append(f"the GPU's clock went from {first} to {last} MHz")

    def void(self, times: Mapping[str, Sequence[float]]) -> list[str]:
        """Why these figures are no throughput; empty when nothing speaks against them."""
        found = list(self.reasons)
        for name, values in times.items():
            slow = sum(value > MUCH_SLOWER * statistics.median(values) for value in values)
            if slow > len(values) / 5:
                found.append(f"{name}: {slow} of {len(values)} blocks took more than {MUCH_SLOWER} times the median")
        return found


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _gpu() -> dict[str, Any]:
    from harness.bench import energy

    return energy.state()
