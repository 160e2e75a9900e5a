"""Gates on a ledger: metrics and paired differences by their bounds over pairs of people, and verdicts on claims.

A gate on a metric decides as a claim of the same words does, by the same code: it passes where the claim is supported,
fails where it is refuted, and is else inconclusive. Where the suite has that claim, the gate has its verdict, with the
suite's correction; else 95 % one-sided. What has no number fails: absent is not good enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.gates.baseline import Lines

if TYPE_CHECKING:
    from harness.claims.verdict import Verdict
    from harness.ledger.table import Key, Table


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

    def verdict_on(self, relation: Mapping[str, Any]) -> tuple[Verdict, str]:
        """The verdict on a relation, and the id of the suite's claim of the same words where there is one.

        Without one it is judged as the only claim of a suite, at the looks of the plan.
        """
        from harness.claims.verdict import judge

        for claim, verdict in zip(self._claims, judge(self.table), strict=True):
            if claim["parts"] == [relation] and not claim.get("only_if"):
                return verdict, verdict.id
        alone = {"id": "gate", "says": "", "source": "open", "only_if": [], "parts": [relation]}
        [verdict] = judge(replace(self.table, plan={**self.table.plan, "claims": [alone]}))
        return verdict, ""

    @property
    def _claims(self) -> list[Mapping[str, Any]]:
        return [claim for claim in self.table.plan.get("claims") or [] if "parts" in claim]

    def say(self, outcome: str, text: str) -> None:
        """Note the outcome for the summary; fail where it is one."""
        self.lines.append((outcome, text))
        if outcome == "fail" or (outcome == "inconclusive" and self.strict):
            pytest.fail(text, pytrace=False)


@dataclass(frozen=True)
class MetricGate:
    """A metric of a variant; each method is one gate, and decides as a claim of the same words does."""

    gate: ResultGate
    name: str
    variant: str

    def at_least(self, value: float) -> None:
        """The mean over pairs of people is surely at least `value`."""
        self._level(value, 1, f"asked for at least {value:g}")

    def at_most(self, value: float) -> None:
        """The mean over pairs of people is surely at most `value`."""
        self._level(value, -1, f"asked for at most {value:g}")

    def better_than(self, other: str, by: float = 0.0) -> None:
        """Surely better than the variant `other` in the metric's own direction by more than `by`, by pair."""
        direction = self.gate.table.facts(self.name).direction
        if direction == "none":
            pytest.fail(f"gate: {self.name} has no better direction. Use at_least or at_most", pytrace=False)
        mine, theirs = (self.gate.means(self.name, v) for v in (self.variant, other))
        if not mine.keys() & theirs.keys():
            pytest.fail(f"gate: {self.variant} and {other} share no replicate", pytrace=False)
        sign = 1 if direction == "higher" else -1
        relation = {"relation": "difference", "metric": self.name, "a": self.variant, "than": other}
        self._decide({**relation, "by": by, "sign": sign}, f"asked to be better than {other} by more than {by:g}")

    def _level(self, value: float, sign: int, asked: str) -> None:
        self.gate.means(self.name, self.variant)
        relation = {"relation": "level", "metric": self.name, "of": self.variant, "value": value, "sign": sign}
        self._decide(relation, asked)

    def _decide(self, relation: Mapping[str, Any], asked: str) -> None:
        verdict, claim = self.gate.verdict_on(relation)
        outcome = {"supported": "pass", "refuted": "fail"}.get(verdict.verdict, "inconclusive")
        if not verdict.parts:
            return self.gate.say(outcome, f"{self.name} of {self.variant}, {asked}: {verdict.reason}")
        part, unlike = verdict.parts[0], "" if relation["relation"] == "level" else f" less that of {relation['than']}"
        what = f"{part.effect:.4g} ({part.low:.4g} to {part.high:.4g}, n = {part.n})"
        words = f"{self.name} of {self.variant}{unlike} is {what}, {asked}"
        self.gate.say(outcome, f"{words}; as claim {claim}, {verdict.verdict}" if claim else words)


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
