"""Fixtures of the tests that run whole plans: single-threaded trials, the trouble-making plugin, one results root."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # read when ray is imported; see harness.execute.connect


def pytest_sessionfinish() -> None:
    """No process outlives the tests."""
    if forks := sys.modules.get("harness.execute.forks"):
        forks.close_parents()


@pytest.fixture
def tiny_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variant `tiny-test` of `tiny_suite` is known."""
    import tiny_suite

    from harness import registry

    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)


@pytest.fixture(scope="module")
def one_core() -> Iterator[None]:
    """One trial at a time: several are slower on pictures this small, and much slower on a busy machine."""
    from harness.execute import devices

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "cores", lambda: 1)
        yield


@pytest.fixture(scope="module")
def trouble() -> Iterator[None]:
    """The plugin tests/trouble.py is loaded, and nothing of it stays."""
    from trouble_plans import PLUGIN

    from harness import registry
    from harness.train import loop

    added, loaded, seconds = dict(registry._added), list(registry._plugins), loop.CHECKPOINT_S
    registry.load_plugin(PLUGIN)
    yield
    loop.CHECKPOINT_S = seconds
    registry._added.clear()
    registry._added.update(added)
    registry._plugins[:] = loaded


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One results root, so that the face set is rendered once."""
    return tmp_path_factory.mktemp("results")
