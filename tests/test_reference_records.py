"""The committed records: what two suites say of one variant agrees."""

from __future__ import annotations

import copy
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.files import canonical
from harness.ledger.records import ledgers

ROOTS = [Path(__file__).resolve().parent.parent / "results" / "reference" / name for name in ("quick", "replication")]
HEADLINES = ("swap_score", "identity_transfer", "off_axis", "leak_gap", "expression_error", "rec_l1_face")
LEVEL = 0.05

Trials = Mapping[str, list[dict[str, Any]]]  # by suite


def committed() -> Trials:
    """The finished trials of every suite with records."""
    found: dict[str, list[dict[str, Any]]] = {}
    for root in ROOTS:
        for ledger in ledgers(root):
            files = sorted((ledger.folder / "trials").glob("*/record.json"))
            trials = [json.loads(file.read_text(encoding="utf-8")) for file in files]
            found[f"{root.name}/{ledger.folder.name}"] = [trial for trial in trials if trial["status"] == "done"]
    return found


def variant(trial: Mapping[str, Any]) -> bytes:
    """What is the same in all replicates of a variant, in whatever suite."""
    spec = copy.deepcopy(trial["spec"])
    del spec["data"]["pair"]
    return canonical(spec)


def meetings(trials: Trials) -> Iterator[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]:
    """(who, replicates here, replicates there) for each two suites with a variant in common."""
    places: dict[bytes, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for suite, records in trials.items():
        for trial in records:
            places[variant(trial)][suite].append(trial)
    for suites in places.values():
        for (one, here), (other, there) in itertools.combinations(sorted(suites.items()), 2):
            yield f"{here[0]['label']} of {one} and {there[0]['label']} of {other}", here, there


def means(trials: Iterable[Mapping[str, Any]], metric: str) -> list[float]:
    values = (trial["scores"].get(metric, {}).get("mean") for trial in trials)
    return [value for value in values if value is not None]


def disagreements(trials: Trials) -> list[str]:
    """What two suites say of one variant beyond chance, by Welch's test, at LEVEL over all that is compared here."""
    found, compared = [], 0
    for who, here, there in meetings(trials):
        for metric in HEADLINES:
            a, b = means(here, metric), means(there, metric)
            if min(len(a), len(b)) < 3:
                continue
            compared += 1
            same = sorted(a) == sorted(b)
            found.append((1.0 if same else float(stats.ttest_ind(a, b, equal_var=False).pvalue), f"{who}: {metric}"))
    return [what for p, what in found if p < LEVEL / compared]


def test_a_trial_that_two_suites_share_is_one_trial() -> None:
    """The same digest: the same weights, bit for bit, and the same scores."""
    known: dict[str, dict[str, Any]] = {}
    shared = 0
    for suite, records in committed().items():
        for trial in records:
            other = known.setdefault(trial["digest"], trial)
            shared += other is not trial
            assert other["cost"]["weights_sha256"] == trial["cost"]["weights_sha256"], (suite, trial["name"])
            for metric in trial["scores"].keys() & other["scores"].keys():
                mine, others = trial["scores"][metric]["mean"], other["scores"][metric]["mean"]
                same = mine is others if None in (mine, others) else mine == pytest.approx(others, rel=1e-6, abs=1e-9)
                assert same, (suite, trial["name"], metric)
    assert shared, "no two suites share a trial: nothing was compared"


def test_where_two_suites_share_a_variant_their_numbers_agree() -> None:
    assert [*meetings(committed())] and disagreements(committed()) == []


def test_a_suite_that_measures_something_else_is_found() -> None:
    """The same comparison on records that were moved by eight of their standard deviations."""
    trials = {suite: copy.deepcopy(records) for suite, records in committed().items()}
    who, here, there = next(m for m in meetings(trials) if min(len(m[1]), len(m[2])) >= 4)
    spread = float(np.std(means(here, "swap_score"), ddof=1))
    for trial in there:
        trial["scores"]["swap_score"]["mean"] += 8 * spread
    assert f"{who}: swap_score" in disagreements(trials)
