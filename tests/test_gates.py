"""The pytest plugin, seen from a user's own project: his variants, his baseline, his ledger."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_ledger import write_ledger
from tiny_training import spec_of

import harness.claims
from harness import registry
from harness.bench.counts import count_step
from harness.ledger.records import Ledger

pytest_plugins = "pytester"

# A clock that only work moves, as unsteadily as a quiet machine's: what other processes do decides no test.
SPEED = """
import random
now, unsteady = [0.0], random.Random(0)
def work(n):
    def done(): now[0] += n * unsteady.lognormvariate(0, 0.02)
    return done
def test_step(speed_gate):
    speed_gate(work({candidate}), work(60_000), at_most=1.1, clock=lambda: now[0])
"""
REAL_SPEED = """
import time
def work(n): return lambda: sum(range(n))
def test_step(speed_gate):
    speed_gate(work({candidate}), work(60_000), at_most=1.1, clock=time.process_time)
"""
COST = """
import pytest
from harness import registry
from models.variants import grid
def mine(size: int, width: int = 4):
    return grid(size, width=width, channels=4)
@pytest.fixture(autouse=True)
def own_variant():
    known = dict(registry._added)
    registry.register("variant", "mine", mine)
    yield
    registry._added.clear()
    registry._added.update(known)
def test_own_cost(cost_gate):
    cost_gate.variant("mine", size=16, batch=2, width={width})
"""


@pytest.fixture(scope="module")
def loaded() -> None:
    """What the inner runs import is there before them: pytester forgets every module that they load."""
    assert registry.entries("variant") and harness.claims
    assert count_step(spec_of()).flops > 0


@pytest.fixture
def project(loaded: None, pytester: pytest.Pytester) -> pytest.Pytester:
    return pytester


def run(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:randomly", *options)


def speed_baseline(project: pytest.Pytester, at_most: float = 1.1) -> None:
    entry = {"kind": "speed", "at_most": at_most, "pairs": 20, "outcome": "pass", "values": {"value": 1.0}}
    content = {"schema_version": 1, "gates": {"test_own_speed.py::test_step": entry}}
    (project.path / "gates.json").write_text(json.dumps(content))


def test_the_plugin_is_an_entry_point_and_imports_nothing_heavy() -> None:
    points = importlib.metadata.entry_points(group="pytest11")
    assert [point.value for point in points if point.name == "faceswap-bench"] == ["harness.gates"]
    code = "import sys, harness.gates; print(*{'torch', 'numpy', 'pydantic', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_equal_work_passes_and_is_recorded(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_speed=SPEED.format(candidate=60_000))
    speed_baseline(project)
    result = run(project, "--benchmark-json=out.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*gates*", "PASS *test_own_speed.py::test_step: time ratio *below the threshold 1.1*"])
    recorded = json.loads((project.path / "out.json").read_text())["benchmarks"][0]["extra_info"]
    assert recorded["outcome"] == "pass" and recorded["pairs"] in (20, 40, 80)
    assert recorded["low"] <= recorded["ratio"] <= recorded["high"] <= 1.1


def test_a_planted_delay_of_a_fifth_fails(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_speed=SPEED.format(candidate=72_000))
    speed_baseline(project)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["FAIL *above the threshold 1.1*"])


@pytest.mark.timed
@pytest.mark.parametrize(("candidate", "outcome"), [(60_000, "passed"), (72_000, "failed")])
def test_real_work_on_a_real_clock_is_judged_alike(project: pytest.Pytester, candidate: int, outcome: str) -> None:
    project.makepyfile(test_own_speed=REAL_SPEED.format(candidate=candidate))
    speed_baseline(project)
    result = run(project)
    result.assert_outcomes(**{outcome: 1})
    said = {"passed": "PASS *below the threshold 1.1*", "failed": "FAIL *above the threshold 1.1*"}
    result.stdout.fnmatch_lines([said[outcome]])


def test_an_interval_that_never_leaves_the_threshold_is_inconclusive_out_loud(project: pytest.Pytester) -> None:
    # A clock of our own: the candidate's times lie evenly on both sides of the threshold.
    project.makepyfile(
        test_own_speed="""
        import itertools
        def test_step(speed_gate):
            now, slow = [0.0], itertools.cycle([1.0, 1.3, 1.3, 1.0])
            def candidate(): now[0] += next(slow)
            def reference(): now[0] += 1.0
            found = speed_gate(candidate, reference, at_most=1.1, clock=lambda: now[0])
            assert found.outcome == "inconclusive" and found.ratio.pairs == 80
        """
    )
    speed_baseline(project)
    result = run(project)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["INCONCLUSIVE *INCONCLUSIVE against the threshold 1.1*"])
    run(project, "--gate-inconclusive=fail").assert_outcomes(failed=1)


def test_a_gate_that_is_missing_from_the_baseline_fails(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_speed=SPEED.format(candidate=60_000), test_own_cost=COST.format(width=4))
    result = run(project)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*test_own_cost.py::test_own_cost is not in the baseline*"])
    result.stdout.fnmatch_lines(["*test_own_speed.py::test_step is not in the baseline*"])


def test_a_changed_threshold_needs_a_review(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_speed=SPEED.format(candidate=60_000))
    speed_baseline(project, at_most=1.05)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the threshold is 1.1, the baseline was reviewed with 1.05*"])


def test_a_disabled_benchmark_fails(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_speed=SPEED.format(candidate=60_000))
    speed_baseline(project)
    result = run(project, "--benchmark-disable")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*pytest-benchmark is disabled*"])
    run(project, "-p", "no:benchmark").assert_outcomes(errors=1)


def test_a_worker_of_xdist_is_refused(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_speed=SPEED.format(candidate=60_000))
    project.makeconftest("def pytest_configure(config): config.workerinput = {}")
    speed_baseline(project)
    result = run(project)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*pytest-xdist shares the cores*"])


def test_a_benchmark_that_the_compared_run_lacks_fails(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own_speed=SPEED.format(candidate=60_000), test_other="def test_other(benchmark): benchmark(int)"
    )
    speed_baseline(project)
    run(project, "--benchmark-save=one", "test_other.py").assert_outcomes(passed=1)
    result = run(project, "--benchmark-compare=*one*", "test_own_speed.py")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_step is not in the compared run*"])


def test_counts_are_exact_and_an_update_is_shown_and_written(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_cost=COST.format(width=4))
    result = run(project, "--gate-update")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["UPDATED *test_own_cost.py::test_own_cost: new: *parameters *"])
    run(project).assert_outcomes(passed=1)
    project.makepyfile(test_own_cost=COST.format(width=8))
    changed = run(project)
    changed.assert_outcomes(failed=1)
    changed.stdout.fnmatch_lines(["*parameters * -> *%*--gate-update*"])
    baseline = json.loads((project.path / "gates.json").read_text())
    entry = baseline["gates"]["test_own_cost.py::test_own_cost"]
    assert entry["values"]["flops"] > 0 and entry["torch"]


def test_counts_of_another_torch_are_not_held_and_said(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_own_cost="def test_own_cost(cost_gate): cost_gate.check({'flops': 7, 'operators': 9})",
        test_worse="def test_own_cost(cost_gate): cost_gate.check({'flops': 8, 'operators': 9})",
    )
    entry = {"kind": "cost", "torch": "1.0", "values": {"flops": 7, "operators": 1}}
    gates = {f"{name}.py::test_own_cost": entry for name in ("test_own_cost", "test_worse")}
    (project.path / "gates.json").write_text(json.dumps({"schema_version": 1, "gates": gates}))
    result = run(project)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["NOT HELD *operators: counted with torch 1.0*"])


def test_a_damaged_baseline_fails(project: pytest.Pytester) -> None:
    project.makepyfile(test_own_cost="def test_own_cost(cost_gate): cost_gate.check({'flops': 7})")
    (project.path / "gates.json").write_text("{")
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no baseline can be read*"])


def test_a_gate_that_asks_nothing_does_not_pass(project: pytest.Pytester) -> None:
    project.makepyfile(
        "def test_a(speed_gate): pass\ndef test_b(cost_gate): pass\ndef test_c(gate): gate.ledger('nowhere')"
    )
    run(project).assert_outcomes(passed=3, errors=3)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return write_ledger(tmp_path / "ledger", grids=(3, 7), statuses={(7, 2): "diverged"}, tile=16, steps=20)


@pytest.mark.parametrize(
    ("asked", "outcome", "line"),
    [
        ("metric('identity_transfer', variant='grid3').at_least(0.5)", "passed", "PASS *is 0.9* n = 3*"),
        ("metric('identity_transfer', variant='grid3').at_least(1.1)", "failed", "FAIL *asked for at least 1.1*"),
        ("metric('identity_transfer', variant='grid3').at_least(0.92)", "passed", "INCONCLUSIVE *at least 0.92*"),
        ("metric('swap_error', variant='grid3').at_most(0.2)", "passed", "PASS *at most 0.2*"),
        ("metric('identity_transfer', variant='grid7').at_least(0.1)", "failed", "*its status is diverged*"),
        ("metric('identity_transfer', variant='grid8').at_least(0.1)", "failed", "*no variant 'grid8'*grid3, grid7*"),
        ("metric('identity', variant='grid3').at_least(0.1)", "failed", "*no value: not scored*"),
        ("metric('cells', variant='grid3').better_than('grid7')", "failed", "*has no better direction*"),
        ("claim('C5').supported()", "failed", "*has no claim 'C5'*"),
    ],
)
def test_gates_on_results(project: pytest.Pytester, ledger: Path, asked: str, outcome: str, line: str) -> None:
    project.makepyfile(f"def test_result(gate): gate.{asked}")
    result = run(project, f"--gate-ledger={ledger}")
    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines([line])


def test_better_is_paired_and_follows_the_metric(project: pytest.Pytester, tmp_path: Path) -> None:
    write_ledger(tmp_path / "full", grids=(3, 7), tile=16, steps=20)
    project.makepyfile(
        """
        def test_higher(gate): gate.metric("identity_transfer", variant="grid3").better_than("grid7", by=0.05)
        def test_lower(gate): gate.metric("swap_error", variant="grid3").better_than("grid7")
        def test_worse(gate): gate.metric("identity_transfer", variant="grid7").better_than("grid3")
        """
    )
    project.makeini(f"[pytest]\ngate_ledger = {tmp_path / 'full'}")
    run(project, "-m", "gate and not timed").assert_outcomes(passed=2, failed=1)


def test_a_claim_is_a_gate(project: pytest.Pytester, tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "claims", grids=(3, 7), tile=16, steps=20)
    plan = Ledger(folder).plan()
    assert plan is not None
    level = {"relation": "level", "metric": "identity_transfer", "sign": 1, "of": "grid3"}
    claim = {"says": "Three cells swap.", "source": "supported", "only_if": []}
    plan["claims"] = [
        {"id": "C1", **claim, "parts": [{**level, "value": 0.5}]},
        {"id": "C2", **claim, "parts": [{**level, "value": 2.0}]},
    ]
    Ledger(folder).write_plan({k: v for k, v in plan.items() if k != "schema_version"})
    project.makepyfile(
        "def test_one(gate): gate.claim('C1').supported()\ndef test_two(gate): gate.claim('C2').supported()"
    )
    result = run(project, f"--gate-ledger={folder}")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAIL *claim C2 (Three cells swap.) is refuted*"])


def test_a_gate_answers_as_the_claim_of_the_same_words(project: pytest.Pytester, tmp_path: Path) -> None:
    folder = write_ledger(tmp_path / "claims", grids=(3, 7), tile=16, steps=20)
    plan = Ledger(folder).plan()
    assert plan is not None
    level = {"relation": "level", "metric": "identity_transfer", "sign": 1, "of": "grid3"}
    claim = {"says": "It is so.", "source": "supported", "only_if": []}
    plan["claims"] = [
        {"id": "first", **claim, "parts": [{**level, "value": 0.92}]},
        {"id": "second", **claim, "parts": [{**level, "value": 0.5}]},
    ]
    Ledger(folder).write_plan({k: v for k, v in plan.items() if k != "schema_version"})
    project.makepyfile(
        """
        def test_one(gate): gate.metric("identity_transfer", variant="grid3").at_least(0.92)
        def test_two(gate): gate.metric("identity_transfer", variant="grid3").at_least(0.5)
        def test_other(gate): gate.metric("identity_transfer", variant="grid3").at_least(0.4)
        """
    )
    result = run(project, f"--gate-ledger={folder}")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "INCONCLUSIVE *0.92*; as claim first, undecided",
            "INCONCLUSIVE *0.5*; as claim second, undecided",
            "PASS *0.4",
        ]
    )


def test_without_a_ledger_the_gate_says_how_to_give_one(project: pytest.Pytester) -> None:
    project.makepyfile("def test_result(gate): gate.metric('swap_error', variant='grid3').at_most(1)")
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Give --gate-ledger results/SUITE*"])
