"""Gates on a ledger: metrics and paired differences by their bounds over pairs of people, and verdicts on claims.

As with claims, a bound decides and not the mean: at 95 % one-sided, a gate passes when the value is surely good enough,
fails when it surely is not, and else is inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.gates.baseline import Lines

if TYPE_CHECKING:
    from harness.claims.stats import Estimate
    from harness.claims.verdict import Verdict
    from harness.ledger.table import Key, Table

LEVEL = 0.05  # one-sided


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

    def means(self, metric: str, variant: str) -> dict[Key, float]:
        """The numbers of all replicates. The test fails when a planned one has none: absent is not good enough."""
        known = {v.label: v for v in self.table.variants}
        if variant not in known:
            pytest.fail(f"gate: {self.folder} has no variant {variant!r}. Known: {', '.join(known)}", pytrace=False)
        found = known[variant].replicates(metric)
        reasons = [(seed, f"its status is {status}") for (seed, _), status in found.unfinished.items()]
        reasons += [(seed, why or "not scored") for (seed, _), why in found.undefined.items()]
        for seed, why in reasons[:1]:
            pytest.fail(f"gate: {metric} of {variant}-s{seed} has no value: {why}", pytrace=False)
        return dict(found.means)

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
        """The mean over pairs of people is surely at least `value`."""
        self._held(self._estimate(), value, 1, f"asked for at least {value:g}")

    def at_most(self, value: float) -> None:
        """The mean over pairs of people is surely at most `value`."""
        self._held(self._estimate(), value, -1, f"asked for at most {value:g}")

    def better_than(self, other: str, by: float = 0.0) -> None:
        """Surely better than the variant `other` in the metric's own direction by more than `by`, by pair."""
        from harness.claims import stats

        direction = self.gate.table.facts(self.name).direction
        if direction == "none":
            pytest.fail(f"gate: {self.name} has no better direction. Use at_least or at_most", pytrace=False)
        mine, theirs = (self.gate.means(self.name, v) for v in (self.variant, other))
        found = stats.differences(*((mine, theirs) if direction == "higher" else (theirs, mine)))
        if not found:
            pytest.fail(f"gate: {self.variant} and {other} share no replicate", pytrace=False)
        self._held(stats.estimate_of(found), by, 1, f"asked to be better than {other} by more than {by:g}")

    def _estimate(self) -> Estimate:
        from harness.claims import stats

        return stats.estimate_of(self.gate.means(self.name, self.variant))

    def _held(self, found: Estimate, value: float, sign: int, asked: str) -> None:
        above, below = found.above(value), found.below(value)
        good, bad = (above, below) if sign > 0 else (below, above)
        outcome = "pass" if good <= LEVEL else "fail" if bad <= LEVEL else "inconclusive"
        low, high = found.bounds(1 - LEVEL)
        what = f"{found.mean:.4g} ({low:.4g} to {high:.4g}, n = {found.n})"
        self.gate.say(outcome, f"{self.name} of {self.variant} is {what}, {asked}")


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
