"""`harness run --until-decided`: its options, and what a dry run says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_suite
import typer
from command import called

from harness import registry
from harness.cli.until import in_seconds, seconds_of
from harness.errors import UsageError
from harness.suite.suite import from_document
from harness.suite.yamlfile import parse

CLAIM = "claims: [{id: C1, says: s, metric: leak_gap, better: {a: grid3, than: grid5}}]\n"
UNTIL = "until: decided\nlooks: [3, 5]\n"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`harness run` of a tiny suite with more text, dry."""
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)

    def run(more: str, *words: str) -> tuple[int, str, str]:
        file = tiny_suite.write(tmp_path, tiny_suite.TEXT + more)
        command = ["run", str(file), "--dry-run", "--json", "--results", str(tmp_path / "r"), *words]
        return called(command, monkeypatch, capsys)

    return run


def plan_of(found: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = found
    assert code == 0, err
    return json.loads(out)


def test_a_suite_may_ask_for_rounds_and_say_when_to_look(run) -> None:
    plan = plan_of(run(CLAIM + UNTIL))
    assert plan["until_decided"]["looks"] == [3, 5]
    assert len(plan["trials"]) == 10 and plan["until_decided"]["trials"] in (6, 10)
    assert plan["until_decided"]["seconds"] > 0


def test_the_command_may_ask_for_rounds_and_bound_them(run) -> None:
    assert plan_of(run(CLAIM, "--until-decided"))["until_decided"]["looks"] == [4, 6, 8, 10]
    assert plan_of(run(CLAIM, "--until-decided", "--max-pairs", "7"))["until_decided"]["looks"] == [4, 6, 7]
    assert plan_of(run(CLAIM))["until_decided"] is None


def test_a_fixed_number_of_trials_takes_the_suites_rounds_away(run) -> None:
    fixed = plan_of(run(CLAIM + UNTIL, "--seeds", "2"))
    assert fixed["until_decided"] is None and len(fixed["trials"]) == 4
    assert plan_of(run(CLAIM + UNTIL, "--only", "grid3"))["until_decided"] is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--until-decided", "--seeds", "3"], "--seeds and --until-decided contradict each other"),
        (["--budget", "45m"], "--budget bounds a run until its claims are decided. Add --until-decided"),
        (["--max-pairs", "9"], "--max-pairs bounds a run"),
        (["--until-decided", "--budget", "soon"], "'soon' is no time. Expected 90s, 45m or 2h"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(run, words: list[str], told: str) -> None:
    code, out, err = run(CLAIM, *words)
    assert (code, out) == (2, "") and told in " ".join(err.replace("│", " ").split())


def test_nothing_can_be_decided_without_claims(run) -> None:
    code, _, err = run("", "--until-decided")
    assert code == 2 and "has no claims" in err


def test_a_budget_is_seconds_minutes_or_hours() -> None:
    found = [in_seconds(seconds_of(text)) for text in ("90s", "45m", "1.5h", "10", None)]
    assert found == [90.0, 2700.0, 5400.0, 600.0, None]
    with pytest.raises(typer.BadParameter):
        seconds_of("-3m")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("until: done\n", "until cannot be 'done'"),
        ("looks: [6, 4]\n", "Expected rising numbers"),
        ("looks: [1, 4]\n", "looks.0"),
    ],
)
def test_a_mistake_in_the_suites_looks_is_reported_with_its_place(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)
    with pytest.raises(UsageError, match=r"s\.yaml:18:") as caught:
        from_document(parse(tiny_suite.TEXT + text, "s.yaml"), Path("s.yaml"))
    assert told in str(caught.value)
