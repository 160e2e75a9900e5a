"""Verbs that train nothing answer at once: after the first time none of them imports a heavy library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import called

from harness import memo, registry
from harness.bench import verbs
from harness.claims import looks

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """`harness ARGUMENTS` in this process, which leaves what it found out in a cache folder of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()

    def run(*arguments: str) -> tuple[int, str, str]:
        found = called(arguments, monkeypatch, capsys)
        memo.save()
        return found

    yield run
    forget()


def forget() -> None:
    """As in a fresh process."""
    memo.forget()
    registry._shipped.cache_clear()
    looks._levels.cache_clear()


def test_the_second_process_imports_nothing_heavy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    verb = ("list", "losses", "--results", str(tmp_path))
    assert verbs.start(verb, repeats=1).code == 0
    again = verbs.start(verb, repeats=1)
    assert (again.code, again.imports) == (0, ())


def test_a_second_plan_imports_nothing_heavy(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor where a library has put a folder of packages of its own on the path meanwhile, as setuptools does."""
    (tmp_path / "vendored" / "thing-1.0.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "vendored")
    verb = ("run", "smoke", "--dry-run", "--results", str(tmp_path))
    assert call(*verb)[0] == 0
    again = verbs.start(verb, repeats=1)
    assert (again.code, again.imports) == (0, ())


@pytest.mark.long
@pytest.mark.parametrize("what", ["suites", "variants", "metrics", "settings", "trials"])
def test_a_list_imports_nothing_heavy_once_it_is_known(what: str, call: Call, tmp_path: Path) -> None:
    verb = ("list", what, "--results", str(tmp_path))
    call(*verb)
    again = verbs.start(verb, repeats=1)
    assert (again.code, again.imports) == (0, ())


@pytest.mark.long
def test_a_finished_suite_is_answered_without_a_heavy_library(call: Call, tmp_path: Path) -> None:
    """Run again, reported again, watched, judged: all from what is kept."""
    tiny = ["--set", "model.width=4", "--set", "model.channels=8", "--set", "optim.steps=2", "--seeds", "1"]
    run = ["run", "smoke", *tiny, "--results", str(tmp_path)]
    assert call(*run)[0] == 0
    reads = (["report", "smoke"], ["watch", "smoke", "--once"], ["claims", str(tmp_path / "smoke")])
    for verb in (run, *([*read, "--results", str(tmp_path)] for read in reads)):
        call(*verb)
        again = verbs.start(verb, repeats=1)
        assert (again.code, again.imports) == (0, ()), verb


def test_a_damaged_memory_is_made_again(call: Call, tmp_path: Path) -> None:
    verb = ["list", "losses", "--json"]
    _, first, _ = call(*verb)
    (file,) = (tmp_path / "cache").rglob("memo-*.json")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    forget()
    assert call(*verb)[:2] == (0, first)
    assert file.read_bytes() == whole


def test_a_memory_belongs_to_the_sources_that_it_came_from(tmp_path: Path) -> None:
    for package in memo.PACKAGES:
        (tmp_path / package).mkdir()
    source = tmp_path / "models" / "grid.py"
    source.write_text("WIDTH = 1\n")
    before = memo.sources_digest(tmp_path)
    memo.sources_digest.cache_clear()
    source.write_text("WIDTH = 2\n")
    assert memo.sources_digest(tmp_path) != before
    memo.sources_digest.cache_clear()
