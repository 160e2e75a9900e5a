"""The committed records: what two suites say of one variant agrees."""

from __future__ import annotations

import copy
import functools
import itertools
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from harness.cli.verification import verify_folder
from harness.compute import Compute
from harness.data.store import open_store
from harness.files import canonical
from harness.ledger import environment
from harness.ledger.records import ledgers
from harness.spec import Spec
from harness.train.checkpoint import write_weights
from harness.train.loop import train
from harness.trials.digest import Hashes, digest

ROOTS = [Path(__file__).resolve().parent.parent / "results" / "reference" / name for name in ("quick", "replication")]
HEADLINES = ("swap_score", "identity_transfer", "off_axis", "leak_gap", "expression_error", "rec_l1_face")
LEVEL = 0.05

Trials = Mapping[str, list[dict[str, Any]]]  # by suite


@functools.cache
def committed() -> Trials:
    """The finished trials of every suite with records."""
    found: dict[str, list[dict[str, Any]]] = {}
    for root in ROOTS:
        for ledger in ledgers(root):
            records = ledger.records()
            assert not ledger.damaged
            found[f"{root.name}/{ledger.folder.name}"] = [r.to_dict() for r in records if r.status == "done"]
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


def processor(trial: Mapping[str, Any]) -> str:
    """What decides how a trial's arithmetic is rounded."""
    return f"{trial['environment']['cpu']} {trial['environment']['cpu_capability']}"


def pairs_of_one_digest(trials: Trials) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each two records of one trial, of different suites."""
    known: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for trial in itertools.chain.from_iterable(trials.values()):
        known[trial["digest"]].append(trial)
    return itertools.chain.from_iterable(itertools.combinations(records, 2) for records in known.values())


def test_a_trial_that_two_suites_share_is_one_trial() -> None:
    """The same digest: on one kind of processor the same weights, bit for bit, and the same scores."""
    shared = [pair for pair in pairs_of_one_digest(committed()) if processor(pair[0]) == processor(pair[1])]
    assert shared, "no two suites share a trial: nothing was compared"
    for one, other in shared:
        assert one["cost"]["weights_sha256"] == other["cost"]["weights_sha256"], (one["suite"], other["suite"])
        for metric in one["scores"].keys() & other["scores"].keys():
            mine, others = one["scores"][metric]["mean"], other["scores"][metric]["mean"]
            same = mine is others if None in (mine, others) else mine == pytest.approx(others, rel=1e-6, abs=1e-9)
            assert same, (one["suite"], other["suite"], one["name"], metric)


def test_another_processor_changes_no_trial_by_as_much_as_a_picture_shows() -> None:
    """It rounds otherwise, so weights differ; what is measured may by half of what is seen, see docs/statistics.md."""
    shared = [pair for pair in pairs_of_one_digest(committed()) if processor(pair[0]) != processor(pair[1])]
    assert shared, "no trial was run on two kinds of processor"
    for metric, seen in {"swap_score": 0.1, "identity_transfer": 0.1, "leak_gap": 0.05}.items():
        apart = [one["scores"][metric]["mean"] - other["scores"][metric]["mean"] for one, other in shared]
        assert float(np.sqrt(np.mean(np.square(apart)))) < seen / 2, (metric, apart)
        assert any(apart), "two processors round alike"


def planned(trial: Mapping[str, Any]) -> tuple[Spec, Compute]:
    """What was to be trained, and what computed it."""
    kept = trial["cost"]
    return Spec.model_validate(trial["spec"]), Compute(kept["device"], kept["precision"], kept["threads"])


def test_every_variant_was_trained_by_the_code_that_is_here() -> None:
    hashes, variants = Hashes(), 0
    for suite, records in committed().items():
        first = min(record["seed"] for record in records)
        for record in (record for record in records if record["seed"] == first):
            spec, compute = planned(record)
            fingerprint, code = hashes.data(spec.data, first), hashes.training(spec, compute.precision)
            assert fingerprint == record["data"]["fingerprint"], suite
            assert digest(spec, first, fingerprint, code, compute) == record["digest"], suite
            variants += 1
    assert variants > 80


@pytest.mark.long
def test_a_committed_trial_comes_out_again_bit_for_bit(tmp_path: Path) -> None:
    """The shortest training that this kind of processor and this torch made. It holds `SAME_IN_BF16` to its word."""
    here = {"environment": environment.capture()}
    alike = [
        record
        for record in itertools.chain.from_iterable(committed().values())
        if processor(record) == processor(here)
        and record["environment"]["libraries"]["torch"] == here["environment"]["libraries"]["torch"]
    ]
    if not alike:
        pytest.skip(f"no reference was made on {processor(here)} by this torch")
    record = min(alike, key=lambda record: record["cost"]["wall_s"]["train"])
    spec, compute = planned(record)
    store = open_store(spec.data, record["seed"], tmp_path)
    model = train(spec, record["seed"], store, torch.device("cpu"), tmp_path / "trial", compute=compute).model
    assert write_weights(tmp_path / "weights.safetensors", model.state_dict()) == record["cost"]["weights_sha256"]


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


def test_the_references_are_small_enough_to_travel_with_the_code() -> None:
    """30 MB of files that are committed: records, values, pictures of one replicate, tables and pages."""
    home = ROOTS[0].parent.parent.parent
    listed = subprocess.run(
        ["git", "ls-files", "-z", "results/reference"], cwd=home, capture_output=True, check=True
    ).stdout.decode().split("\0")  # fmt: skip
    sizes = [(home / name).stat().st_size for name in listed if name]
    assert len(sizes) > 100 and sum(sizes) < 30_000_000


@pytest.mark.long
def test_what_is_committed_is_sound() -> None:
    """As `harness verify results/reference` sees it."""
    found = verify_folder(ROOTS[0].parent)
    assert found.files > 1000 and not found.findings
