"""Gates on speed: candidate and reference in one process, in ABBA pairs, until an interval answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from harness.bench.timing import Clock
from harness.gates.baseline import Baselines, Lines
from harness.gates.decision import STAGES, Decision, decide


class SpeedGate:
    """Called once a test; `used` says whether it was."""

    def __init__(self, request: pytest.FixtureRequest, baselines: Baselines, lines: Lines) -> None:
        self.request, self.baselines, self.lines = request, baselines, lines
        self.used = False

    def __call__(
        self,
        candidate: Callable[[], object],
        reference: Callable[[], object],
        at_most: float,
        warmup: int = 2,
        stages: tuple[int, ...] = STAGES,
        clock: Clock = time.perf_counter,
    ) -> Decision:
        """The test fails when `candidate` surely takes more than `at_most` times as long as `reference`.

        Both are called `warmup` times unmeasured, then in pairs. `clock`: seconds; time.process_time leaves out what
        other processes take. The record of pytest-benchmark holds ratio, interval, pairs and outcome.
        """
        self.used = True
        config = self.request.config
        session: Any = getattr(config, "_benchmarksession", None)
        if session is None or session.disabled or session.skip:
            pytest.fail(
                "speed gate: pytest-benchmark is disabled, so nothing would be timed. "
                "Run without --benchmark-disable, --benchmark-skip and -n",
                pytrace=False,
            )
        key = self.baselines.key(self.request)
        if not self.baselines.update:
            known = self.baselines.get(self.request, key)
            if known.get("at_most") != at_most:
                pytest.fail(
                    f"{key}: the threshold is {at_most}, the baseline was reviewed with {known.get('at_most')}. "
                    "`pytest -m gate --gate-update`, and commit the change",
                    pytrace=False,
                )
        self._compared(session)
        for _ in range(warmup):
            candidate()
            reference()
        found: list[Decision] = []
        benchmark = self.request.getfixturevalue("benchmark")
        benchmark.pedantic(
            lambda: found.append(decide(candidate, reference, at_most, stages, clock)), rounds=1, iterations=1
        )
        decision = found[0]
        ratio = decision.ratio
        benchmark.extra_info.update(
            outcome=decision.outcome, ratio=ratio.value, low=ratio.low, high=ratio.high, pairs=ratio.pairs,
            at_most=at_most,
        )  # fmt: skip
        self.request.node.user_properties.append(("speed_gate", f"{decision.outcome}: {ratio}"))
        self.lines.append((decision.outcome, f"{key}: {decision.sentence()}"))
        if decision.outcome == "fail":
            pytest.fail(decision.sentence(), pytrace=False)
        if decision.outcome == "inconclusive" and config.getoption("gate_inconclusive") == "fail":
            pytest.fail(decision.sentence(), pytrace=False)
        if self.baselines.update:
            rounded = {k: float(f"{getattr(ratio, k):.3g}") for k in ("value", "low", "high")}
            entry = {"kind": "speed", "at_most": at_most, "pairs": ratio.pairs, "outcome": decision.outcome}
            self.baselines.put(self.request, key, {**entry, "values": rounded})
        return decision

    def _compared(self, session: Any) -> None:
        """With --benchmark-compare: a benchmark that the other run lacks would pass in silence."""
        for path, run in session.storage.load(session.compare) if session.compare else ():
            if self.request.node.nodeid not in {record["fullname"] for record in run["benchmarks"]}:
                pytest.fail(f"{self.request.node.nodeid} is not in the compared run {path}", pytrace=False)
