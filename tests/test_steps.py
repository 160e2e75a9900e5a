"""Claims about speed rest on steps that took turns in one process, kept under a hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_ledger import write_ledger
from tiny_training import spec_of

from harness.bench.steps import time_steps
from harness.claims.simulated import claim, table
from harness.claims.standing import standings
from harness.claims.verdict import Verdict, judge
from harness.ledger.steps import STEPS, read_steps, write_steps
from harness.ledger.table import load
from harness.ledger.verify import verify_suite

FASTER = {"relation": "faster", "metric": "step_seconds", "a": "v0", "than": "v1", "by": 0.0}


def judged(ratio: float, by: float = 0.0, correlation: float = 0.5, **more: object) -> Verdict:
    """The verdict on v0 being faster, when v1 truly takes `ratio` times as long, in noise that comes in spells."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, 80)
    for i in range(1, 80):
        noise[i] = correlation * noise[i - 1] + np.sqrt(1 - correlation**2) * noise[i]
    steps = {"v0": list(0.1 * np.exp(rng.normal(0, 0.01, 80))), "v1": list(0.1 * ratio * np.exp(noise))}
    found = table(rng, {"leak_gap": [0.5, 0.5]}, 4, [claim({**FASTER, "by": by})], **more)
    return judge(replace(found, steps=steps))[0]


def test_a_step_that_is_a_tenth_faster_is_found_and_an_equal_one_is_not() -> None:
    [part] = judged(1.1).parts
    assert part.verdict == "supported" and 1.0 < part.low < part.effect < part.high < 1.2
    assert (part.n, part.unit) == (16, "times as fast")
    assert "80 steps of each, in turns" in part.reason and "16 blocks" in part.reason
    assert judged(1.0).verdict == "undecided"
    assert judged(0.9).verdict == "refuted"
    assert judged(1.1, by=0.3).verdict == "refuted"


def test_speed_needs_no_pairs_of_people_and_has_one_look() -> None:
    found = judged(1.1, looks=(4, 6, 8, 10))
    assert (found.verdict, found.parts[0].level) == ("supported", 0.95)
    plan = table(np.random.default_rng(0), {"leak_gap": [0.5, 0.5]}, 4, [claim(FASTER)], looks=(4, 6))
    [standing] = standings(plan)
    assert (standing.state, standing.labels) == ("closed", ())


def test_steps_that_were_not_timed_are_named() -> None:
    plan = table(np.random.default_rng(0), {"leak_gap": [0.5, 0.5]}, 4, [claim(FASTER)])
    [verdict] = judge(plan)
    assert verdict.verdict == "undecided" and "no step of v0 and v1 was timed" in verdict.reason


def test_steps_are_timed_in_turns() -> None:
    found = time_steps({"small": spec_of(), "same": spec_of()}, torch.device("cpu"), steps=6)
    assert {len(values) for values in found["seconds"].values()} == {6}
    assert all(value > 0 for values in found["seconds"].values() for value in values)
    assert (found["device"], found["kind"]) == ("cpu", "steps")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("results") / "bottleneck", grids=(3, 7), tile=8)


def test_a_changed_steps_file_is_found_by_its_hash_and_not_used(folder: Path) -> None:
    assert read_steps(folder) == {}
    write_steps(folder, {"seconds": {"grid3": [0.5, 0.25]}})
    assert load(folder).steps == {"grid3": [0.5, 0.25]}
    content = (folder / STEPS).read_text()
    (folder / STEPS).write_text(content.replace("0.25", "0.05"))
    table_ = load(folder)
    assert table_.steps == {} and any(name == STEPS for name, _ in table_.damaged)
    assert any(finding.path.name == STEPS for finding in verify_suite(folder).findings)
    (folder / STEPS).unlink()
