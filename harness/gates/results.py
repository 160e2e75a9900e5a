"""Gates on a ledger: metrics over all replicates, comparisons paired by replicate, verdicts on claims."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.gates.baseline import Lines

if TYPE_CHECKING:
    from harness.claims.stats import Interval
    from harness.claims.verdict import Verdict
    from harness.ledger.table import Table


class ResultGate:
    """The gates of one ledger; `ledger(folder)` gives those of another."""

    def __init__(self, folder: Path | None, lines: Lines, strict: bool) -> None:
        self.folder, self.lines, self.strict = folder, lines, strict
        self._used = False
        self._others: list[ResultGate] = []

    @property
    def used(self) -> bool:
        """Whether anything was asked."""
        return self._used or any(other.used for other in self._others)

    def ledger(self, folder: str | Path) -> ResultGate:
        """The gates of the suite's results in `folder`."""
        self._others.append(ResultGate(Path(folder), self.lines, self.strict))
        return self._others[-1]

    @cached_property
    def table(self) -> Table:
        """The ledger, read once. The test fails when there is none."""
        from harness.errors import HarnessError
        from harness.ledger.table import load

        if self.folder is None:
            pytest.fail("gate: no ledger. Give --gate-ledger results/SUITE, or gate_ledger in pytest's ini", False)
        try:
            return load(self.folder)
        except HarnessError as error:
            pytest.fail(f"gate: {error}", pytrace=False)

    def metric(self, name: str, variant: str) -> MetricGate:
        """A metric (or a cost) of a variant, over all its replicates."""
        self._used = True
        return MetricGate(self, name, variant)

    def claim(self, id: str) -> ClaimGate:
        """A claim of the suite, by its id."""
        from harness.claims.verdict import judge

        self._used = True
        verdicts = {verdict.id: verdict for verdict in judge(self.table)}
        if id not in verdicts:
            pytest.fail(f"gate: {self.folder} has no claim {id!r}. Known: {', '.join(verdicts) or 'none'}", False)
        return ClaimGate(self, verdicts[id])

    def groups(self, metric: str, variant: str) -> dict[Any, Any]:
        """Per-image values by replicate. The test fails when a planned trial has none: absent is not good enough."""
        known = {v.label: v for v in self.table.variants}
        if variant not in known:
            pytest.fail(f"gate: {self.folder} has no variant {variant!r}. Known: {', '.join(known)}", pytrace=False)
        found = known[variant].groups(metric)
        for trial in known[variant].trials:
            if trial.key not in found:
                why = trial.part("invalid").get(metric) if trial.done else f"its status is {trial.status}"
                name = f"{trial.label}-s{trial.seed}"
                pytest.fail(f"gate: {metric} of {name} has no value: {why or 'not scored'}", pytrace=False)
        return found

    def say(self, outcome: str, text: str) -> None:
        """Note the outcome for the summary; fail where it is one."""
        self.lines.append((outcome, text))
        if outcome == "fail" or (outcome == "inconclusive" and self.strict):
            pytest.fail(text, pytrace=False)


@dataclass(frozen=True)
class MetricGate:
    """A metric of a variant; each method is one gate."""

    gate: ResultGate
    name: str
    variant: str

    def at_least(self, value: float) -> None:
        """The mean over replicates is at least `value`."""
        self._absolute(value, "at least", 1)

    def at_most(self, value: float) -> None:
        """The mean over replicates is at most `value`."""
        self._absolute(value, "at most", -1)

    def better_than(self, other: str, by: float = 0.0) -> None:
        """Better than the variant `other` in the metric's own direction by more than `by`, paired by replicate.

        Pass or fail when the 95 % interval of the difference lies wholly on one side of `by`; else inconclusive.
        """
        from harness.claims import stats

        direction = self.gate.table.facts(self.name).direction
        if direction == "none":
            pytest.fail(f"gate: {self.name} has no better direction. Use at_least or at_most", pytrace=False)
        mine, theirs = (self.gate.groups(self.name, v) for v in (self.variant, other))
        shared = [key for key in mine if key in theirs]
        if not shared:
            pytest.fail(f"gate: {self.variant} and {other} share no replicate", pytrace=False)
        a, b = (mine, theirs) if direction == "higher" else (theirs, mine)
        rng = stats.generator("gate", self.name, self.variant, other)
        interval = stats.paired_interval([a[key] for key in shared], [b[key] for key in shared], rng)
        outcome = "pass" if interval.low > by else "fail" if interval.high < by else "inconclusive"
        text = (
            f"{self.name}: {self.variant} is better than {other} by {_interval(interval)}, asked for more than {by:g}"
        )
        self.gate.say(outcome, text)

    def _absolute(self, value: float, word: str, sign: int) -> None:
        from harness.claims import stats

        groups = list(self.gate.groups(self.name, self.variant).values())
        interval = stats.mean_interval(groups, stats.generator("gate", self.name, self.variant))
        outcome = "pass" if sign * interval.mean >= sign * value else "fail"
        self.gate.say(outcome, f"{self.name} of {self.variant} is {_interval(interval)}, asked for {word} {value:g}")


@dataclass(frozen=True)
class ClaimGate:
    """A claim's verdict; each method is one gate. Undecided is never a pass."""

    gate: ResultGate
    verdict: Verdict

    def supported(self) -> None:
        """The records support the claim; inconclusive when they leave it undecided."""
        self._is("supported")

    def refuted(self) -> None:
        """The records refute the claim; inconclusive when they leave it undecided."""
        self._is("refuted")

    def _is(self, wanted: str) -> None:
        found = self.verdict
        outcome = {wanted: "pass", "undecided": "inconclusive"}.get(found.verdict, "fail")
        self.gate.say(outcome, f"claim {found.id} ({found.says}) is {found.verdict}: {found.reason}")


def _interval(interval: Interval) -> str:
    return f"{interval.mean:.4g} ({interval.low:.4g} to {interval.high:.4g}, n = {interval.n})"
