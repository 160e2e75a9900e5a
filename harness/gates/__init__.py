"""The pytest plugin: gates on speed, on counted cost, and on the results of a ledger. See docs/gates.md.

Loaded by pytest's entry point in every run, so only pytest and the standard library are imported here. Tests that use
a gate's fixture get the marker `gate`, those with a clock in them also `timed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.gates.baseline import Baselines
    from harness.gates.cost import CostGate
    from harness.gates.results import ResultGate
    from harness.gates.speed import SpeedGate

TIMED, UNTIMED = ("speed_gate",), ("cost_gate", "gate")
LINES = pytest.StashKey[list[tuple[str, str]]]()
BASELINES = pytest.StashKey["Baselines"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gates", "gates of faceswap-bench")
    group.addoption(
        "--gate-update", action="store_true", help="Write what is measured now into the baseline, and show the change."
    )
    group.addoption(
        "--gate-inconclusive",
        choices=("warn", "fail"),
        default="warn",
        help="What an inconclusive gate does: be told in the summary (default), or fail.",
    )
    group.addoption("--gate-ledger", metavar="DIR", help="A suite's results, for gates on results.")
    parser.addini("gate_ledger", "A suite's results, relative to the project, for gates on results.", default="")
    parser.addini("gate_baseline", "Name of the baseline beside the test file.", default="gates.json")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gate: a gate of faceswap-bench")
    config.addinivalue_line("markers", "timed: a gate that needs a clock, so quiet cores")
    config.stash[LINES] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        names = getattr(item, "fixturenames", ())
        if any(name in names for name in TIMED + UNTIMED):
            item.add_marker("gate")
        if any(name in names for name in TIMED):
            item.add_marker("timed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("gates")
        for outcome, line in lines:
            loud = {"yellow": True, "bold": True} if outcome != "pass" else {}
            terminalreporter.write_line(f"{outcome.upper():12} {line}", **loud)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if BASELINES in session.config.stash:
        session.config.stash[BASELINES].save()


@pytest.fixture(scope="session")
def _gate_baselines(request: pytest.FixtureRequest) -> Baselines:
    from harness.gates.baseline import Baselines

    config = request.config
    name, update = config.getini("gate_baseline"), config.getoption("gate_update")
    config.stash[BASELINES] = Baselines(str(name), bool(update), config.stash[LINES])
    return config.stash[BASELINES]


@pytest.fixture
def speed_gate(request: pytest.FixtureRequest, _gate_baselines: Baselines) -> Iterator[SpeedGate]:
    """`speed_gate(candidate, reference, at_most=1.1)`: paired timing in this process; see docs/gates.md."""
    from harness.gates.speed import SpeedGate

    if hasattr(request.config, "workerinput"):
        pytest.fail("speed gate: pytest-xdist shares the cores between tests. Run it without -n")
    if not request.config.pluginmanager.hasplugin("benchmark"):
        pytest.fail("speed gate: pytest-benchmark is not active, so nothing would be recorded. Load it")
    gate = SpeedGate(request, _gate_baselines, request.config.stash[LINES])
    yield gate
    if not gate.used:
        pytest.fail("speed gate: it was asked for and never called, so nothing was tested")


@pytest.fixture
def cost_gate(request: pytest.FixtureRequest, _gate_baselines: Baselines) -> Iterator[CostGate]:
    """`cost_gate.variant("name", size=64)` or `cost_gate.check({...})`: counts against the committed baseline."""
    from harness.gates.cost import CostGate

    gate = CostGate(request, _gate_baselines, request.config.stash[LINES])
    yield gate
    if not gate.used:
        pytest.fail("cost gate: it was asked for and never called, so nothing was tested")


@pytest.fixture
def gate(request: pytest.FixtureRequest) -> Iterator[ResultGate]:
    """`gate.metric("identity_transfer", variant="grid3").at_least(0.5)`, `gate.claim("C5").supported()`."""
    from harness.gates.results import ResultGate

    config = request.config
    given, written = config.getoption("gate_ledger"), config.getini("gate_ledger")
    folder = Path(given) if given else config.rootpath / str(written) if written else None
    found = ResultGate(folder, config.stash[LINES], config.getoption("gate_inconclusive") == "fail")
    yield found
    if not found.used:
        pytest.fail("gate: it was asked for and nothing was asked of it, so nothing was tested")
