"""Progress: read from the folder only, live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from trouble_plans import until

from harness.ledger.progress import duration, headline, rows, time_left
from harness.ledger.view import View
from harness.ledger.watch import Progress
from harness.lock import claim_trial

PLAN = [{"name": f"grid{g}-s0-aaaaaaaa", "label": f"grid{g}", "seed": 0} for g in (3, 4, 5)]


def put(folder: Path, place: int, name: str, values: dict[str, Any]) -> Path:
    file = folder / "trials" / PLAN[place]["name"] / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, 0, "record.json", {"status": "done", "cost": {"wall_s": {"total": 60.0}}})
    status = {"step": 50, "steps": 200, "images_per_s": 321.4, "eta_s": 45.0, "phase": "train", "loss": 0.123456}
    put(tmp_path, 1, "status.json", status)
    return tmp_path


def test_states_come_from_the_files(folder: Path) -> None:
    assert [row.state for row in rows(folder, PLAN)] == ["done", "running", "waiting"]
    put(folder, 2, "record.json", {"status": "diverged"})
    assert [row.state for row in rows(folder, PLAN)] == ["done", "running", "diverged"]


def test_torn_and_foreign_files_do_not_disturb(folder: Path) -> None:
    put(folder, 2, "status.json", {"step": "many", "eta_s": None})
    assert rows(folder, PLAN)[2].step == 0
    (folder / "trials" / PLAN[1]["name"] / "status.json").write_text('{"step": 1')
    assert rows(folder, PLAN)[1].state == "waiting"


def test_an_old_status_runs_only_while_somebody_holds_the_trial(folder: Path) -> None:
    status = folder / "trials" / PLAN[1]["name"] / "status.json"
    os.utime(status, (time.time() - 1000,) * 2)
    assert rows(folder, PLAN)[1].state == "waiting"
    with claim_trial(status.parent):
        assert rows(folder, PLAN)[1].state == "running"


def test_a_trial_that_runs_again_is_running_not_failed(folder: Path) -> None:
    record = put(folder, 1, "record.json", {"status": "failed"})
    os.utime(record, (time.time() - 60,) * 2)
    assert rows(folder, PLAN)[1].state == "running"


def test_time_left_counts_running_and_waiting_trials(folder: Path) -> None:
    # 45 s left of the running one; one waits, and a trial takes 60 s (done: 60, running: 45 / (1 - 50 / 200))
    assert time_left(rows(folder, PLAN)) == pytest.approx(45 + 60)
    assert headline(rows(folder, PLAN)) == "1 of 3 done, 1 running, about 1 min 45 s left"
    assert time_left([]) is None


@pytest.mark.parametrize(("seconds", "text"), [(None, "?"), (4.4, "4 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")])
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_a_finished_record_is_read_again_when_it_is_written_again(folder: Path) -> None:
    assert rows(folder, PLAN)[0].state == "done"
    record = put(folder, 0, "record.json", {"status": "oom"})
    os.utime(record, (time.time() + 5,) * 2)
    assert rows(folder, PLAN)[0].state == "oom"


# One view for the shell that runs the trials and for any other.


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_come_with_a_twentieth_of_the_work_or_half_a_minute(folder: Path) -> None:
    stream, clock = io.StringIO(), Clock()
    view = View(stream, clock=clock)

    def printed(step: int, seconds: float) -> list[str]:
        put(folder, 1, "status.json", {"step": step, "steps": 200, "phase": "train"})
        clock.now += seconds
        before = len(stream.getvalue())
        view.show(rows(folder, PLAN), ["a claim is open"])
        return [text[9:] for text in stream.getvalue()[before:].splitlines()]

    grid3 = "grid3 seed 0: done after 1 min 00 s"
    first = "1 of 3 done, 1 running, about 1 min 00 s left | grid4 seed 0: train 20/200 (10 %)"
    assert printed(20, 0) == [grid3, first, "a claim is open"]
    assert printed(40, 20) == []  # a thirtieth of the work, twenty seconds
    assert printed(51, 1) == [first.replace("20/200 (10 %)", "51/200 (25 %)")]  # more than 30 of 600 steps
    assert printed(52, 29) == []
    assert printed(53, 2) == [first.replace("20/200 (10 %)", "53/200 (26 %)")]
    put(folder, 1, "record.json", {"status": "diverged"})
    (folder / "trials" / PLAN[1]["name"] / "status.json").unlink()
    view.show(rows(folder, PLAN), [])
    assert "grid4 seed 0: diverged" in stream.getvalue().splitlines()[-2]
    assert "\x1b" not in stream.getvalue()


def test_elsewhere_the_runner_prints_plain_lines_and_the_end(folder: Path) -> None:
    stream = io.StringIO()
    with Progress(folder, PLAN, stream=stream, interval_s=0.02):
        until(lambda: "1 of 3 done, 1 running" in stream.getvalue())
        put(folder, 2, "record.json", {"status": "done"})
    lines = stream.getvalue().splitlines()
    assert "grid4 seed 0: train 50/200 (25 %), 321 images/s, loss 0.1235, 45 s left" in lines[1]
    assert "grid5 seed 0: done" in lines[-2] and "2 of 3 done, 1 running" in lines[-1]
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("no_colour", [False, True])
def test_on_a_terminal_it_draws_a_table_and_respects_no_color(
    folder: Path, monkeypatch: pytest.MonkeyPatch, no_colour: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with Progress(folder, PLAN, stream=stream, interval_s=0.02):
        until(lambda: "50/200" in stream.getvalue())
    text = stream.getvalue()
    assert "grid4" in text
    assert ("\x1b[36m" in text) is not no_colour  # cyan: running
