"""Runs until their claims are decided: who is trained when, where it ends, and that looks depend on records alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.claims.simulated import claim, table
from harness.claims.stats import wilson
from harness.claims.verdict import judge
from harness.ledger.records import Ledger, Record
from harness.ledger.table import load
from harness.rounds.run import BUDGET, DECIDED, OVER, rounds

M = "identity_transfer"
LOOKS = (4, 6, 8, 10)
GRIDS = ("grid3", "grid5", "grid7")
ENDS = {"relation": "difference", "metric": M, "a": "grid3", "than": "grid7", "by": 0.0, "sign": 1}
MIDDLE = {"relation": "difference", "metric": M, "a": "grid3", "than": "grid5", "by": 0.0, "sign": 1}
CLAIMS = [claim(ENDS, id="C1", primary=True), claim(MIDDLE, id="C2")]


@dataclass(frozen=True)
class FakeTrial:
    """As much of a trial as rounds look at."""

    label: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.label}-s{self.seed}"


TRIALS = [FakeTrial(label, seed) for seed in range(LOOKS[-1]) for label in GRIDS]


def value(label: str, seed: int, means: Mapping[str, float], spread: float) -> float:
    """What a trial of this name comes to, whenever it is run."""
    noise = np.random.default_rng(int(hashlib.sha256(f"{label}{seed}".encode()).hexdigest()[:8], 16))
    return means[label] + spread * float(noise.normal())


class Run:
    """A run in a folder: trains by drawing values, and remembers what it trained in which round."""

    def __init__(self, folder: Path, means: Mapping[str, float], claims: Sequence[Any] = CLAIMS, spread: float = 0.02):
        self.ledger, self.means, self.claims, self.spread = Ledger(folder), means, claims, spread
        self.batches: list[list[str]] = []
        self.failing: set[str] = set()

    def plan(self, planned: Sequence[FakeTrial]) -> dict[str, Any]:
        trials = [{"name": t.name, "label": t.label, "seed": t.seed, "pair": f"p{t.seed:04d}"} for t in planned]
        return {"suite": "s", "claims": self.claims, "trials": trials}

    def train(self, batch: Sequence[FakeTrial]) -> None:
        known = {path.name for path in (self.ledger.folder / "trials").glob("*")}
        new = [trial for trial in batch if trial.name not in known]
        self.batches.append([trial.name for trial in new])
        for trial in new:
            scores = {M: {"mean": value(trial.label, trial.seed, self.means, self.spread), "n": 1}}
            status = "diverged" if trial.name in self.failing else "done"
            self.ledger.write(Record(trial.name, trial.label, trial.seed, status, scores=scores))

    def steps(self, fits: Any = lambda batch: True) -> Iterator[list[FakeTrial]]:
        for batch, _ in rounds(TRIALS, LOOKS, self.ledger, self.plan, fits):  # type: ignore[arg-type]
            yield batch  # type: ignore[misc]
            if batch:
                self.train(batch)  # type: ignore[arg-type]

    def finish(self, fits: Any = lambda batch: True) -> dict[str, Any]:
        list(self.steps(fits))
        return self.ledger.plan() or {}


def named(pairs: range, *labels: str) -> list[str]:
    return [f"{label}-s{seed}" for seed in pairs for label in labels]


def test_the_primary_claims_variants_go_first_then_the_others_on_the_same_people(tmp_path: Path) -> None:
    run = Run(tmp_path, {"grid3": 0.8, "grid5": 0.7, "grid7": 0.6})
    plan = run.finish()
    assert run.batches == [named(range(4), "grid3", "grid7"), named(range(4), "grid5")]
    assert plan["until"] == {"looks": list(LOOKS), "ended": DECIDED}
    assert [(row["pairs"], row["labels"]) for row in plan["rounds"]] == [(4, ["grid3", "grid7"]), (4, ["grid5"])]
    assert plan["rounds"][0]["claims"]["C1"]["state"] == "supported"
    assert plan["rounds"][0]["claims"]["C2"] == {"state": "open", "pairs": 0, "needs": "4 pairs needed"}
    assert [v.verdict for v in judge(load(tmp_path))] == ["supported", "supported"]


def test_pairs_are_added_to_the_variants_of_open_claims_only(tmp_path: Path) -> None:
    run = Run(tmp_path, {"grid3": 0.8, "grid5": 0.78, "grid7": 0.3}, spread=0.03)
    plan = run.finish()
    later = [name for batch in run.batches[2:] for name in batch]
    assert later and not [name for name in later if name.startswith("grid7")]
    assert plan["rounds"][2]["labels"] == ["grid3", "grid5"] and plan["rounds"][2]["pairs"] == 6


def test_without_a_difference_it_ends_after_the_last_look_undecided(tmp_path: Path) -> None:
    run = Run(tmp_path, {"grid3": 0.5, "grid5": 0.5, "grid7": 0.5})
    plan = run.finish()
    assert plan["until"]["ended"] == OVER
    assert [row["pairs"] for row in plan["rounds"]] == [4, 6, 8, 10, 4]  # at last the cells that no look reached
    assert plan["rounds"][-1]["labels"] == ["grid5"]
    assert plan["rounds"][-1]["claims"]["C1"]["needs"] == "undecided after the last look"
    assert plan["rounds"][-1]["claims"]["C2"] == {
        "state": "closed", "pairs": 4, "needs": "the primary claim is undecided"
    }  # fmt: skip


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_run_goes_on_with_the_same_looks(tmp_path: Path, after: int) -> None:
    means = {"grid3": 0.8, "grid5": 0.78, "grid7": 0.74}
    whole = Run(tmp_path / "whole", means, spread=0.03)
    plan = whole.finish()
    broken = Run(tmp_path / "broken", means, spread=0.03)
    steps = broken.steps()
    for _ in range(after):
        batch = next(steps)
    broken.train(batch[:1])  # then the lights go out
    assert broken.finish() == plan
    assert repr(judge(load(tmp_path / "broken"))).replace("broken", "whole") == repr(judge(load(tmp_path / "whole")))


def test_records_of_more_pairs_change_neither_looks_nor_verdicts(tmp_path: Path) -> None:
    means = {"grid3": 0.8, "grid5": 0.7, "grid7": 0.6}
    few, many = Run(tmp_path / "few", means), Run(tmp_path / "many", means)
    many.train(TRIALS)
    assert few.finish() == many.finish()


def test_a_round_that_does_not_fit_the_budget_is_not_begun_and_the_plan_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path, {"grid3": 0.8, "grid5": 0.7, "grid7": 0.6})
    plan = run.finish(fits=lambda batch: False)
    assert (plan["until"]["ended"], len(plan["rounds"])) == (BUDGET, 1)
    assert {trial["label"] for trial in plan["trials"]} == {"grid3", "grid7"}
    assert judge(load(tmp_path))[1].reason.startswith("no look yet: grid3, grid5 at 4 pairs are needed")


def test_a_failed_trial_closes_its_claim_and_the_run_ends(tmp_path: Path) -> None:
    run = Run(tmp_path, {"grid3": 0.8, "grid5": 0.7, "grid7": 0.6})
    run.failing = {"grid5-s1"}
    plan = run.finish()
    assert plan["until"]["ended"] == OVER and len(plan["rounds"]) == 2
    assert plan["rounds"][-1]["claims"]["C2"]["state"] == "closed"
    assert "1 of 4 trials of grid5: diverged" in plan["rounds"][-1]["claims"]["C2"]["needs"]


def test_an_open_claim_says_about_how_many_pairs_it_needs(tmp_path: Path) -> None:
    run = Run(tmp_path, {"grid3": 0.8, "grid5": 0.7, "grid7": 0.77}, spread=0.02)
    rows = run.finish()["rounds"]
    needs = [row["claims"]["C1"]["needs"] for row in rows if row["claims"]["C1"]["state"] == "open"]
    assert needs and all("about" in text or "more than 10 needed at this effect" in text for text in needs)


@pytest.mark.long
@pytest.mark.parametrize("truth", ["primary clear", "primary at its margin", "nothing differs"])
def test_a_suite_errs_in_at_most_five_percent_of_its_runs_with_four_looks(truth: str) -> None:
    """Five variants, a primary claim and five others; a run errs when any of its verdicts is false."""
    by = {"primary clear": 0.0, "primary at its margin": 0.3, "nothing differs": 0.0}[truth]
    means = {M: [0.8, 0.5, 0.5, 0.5, 0.5] if truth != "nothing differs" else [0.5] * 5}
    first = {"relation": "difference", "metric": M, "a": "v0", "than": "v4", "by": by, "sign": 1}
    others = [
        *({**first, "a": f"v{i}", "by": 0.0} for i in (1, 2, 3)),  # true at the margin: not higher
        {"relation": "monotone", "metric": M, "direction": "rises", "in": "cells", "over": ["v1", "v2", "v3", "v4"]},
        {"relation": "equivalent", "metric": M, "a": "v1", "to": "v2", "within": 0.001},
    ]
    claims = [claim(first, id="C0", primary=True), *(claim(o, id=f"C{i}") for i, o in enumerate(others, start=1))]
    wrong = {"C0": "refuted" if truth == "primary clear" else "supported", "C5": "refuted"}
    rng, runs, errors = np.random.default_rng(1), 500, 0
    for _ in range(runs):
        found = judge(table(rng, means, 10, claims, looks=LOOKS))
        errors += any(v.verdict == wrong.get(v.id, "supported") for v in found)
    assert wilson(errors, runs, 0.999)[0] <= 0.05
