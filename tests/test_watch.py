"""Watching a suite from another shell: only its files are read, and it ends when all trials have."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from pathlib import Path

import pytest
from command import called
from fake_ledger import trial_name, write_ledger

from harness.errors import UsageError
from harness.ledger.watch import follow, newest_preview, state


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """grid3 is done, grid5 runs, and grid7 waits."""
    place = write_ledger(tmp_path / "results" / "bottleneck", grids=(3, 5, 7), replicates=1, tile=8)
    for grid in (5, 7):
        (place / "trials" / trial_name(f"grid{grid}", 0) / "record.json").unlink()
    running = place / "trials" / trial_name("grid5", 0)
    status = {"step": 50, "steps": 200, "images_per_s": 321.4, "eta_s": 45.0, "phase": "train", "loss": 0.5}
    (running / "status.json").write_text(json.dumps(status))
    for age, step in ((20, 0), (10, 100)):
        strip = running / "previews" / f"step-{step:06d}.png"
        strip.parent.mkdir(exist_ok=True)
        strip.write_bytes(b"")
        os.utime(strip, (time.time() - age,) * 2)
    return place


def test_one_look_tells_states_errors_and_the_newest_preview(folder: Path) -> None:
    stream = io.StringIO()
    rows = follow(folder, once=True, stream=stream)
    assert [row.state for row in rows] == ["done", "running", "waiting"]
    text = stream.getvalue()
    assert "1 of 3 done, 1 running" in text
    assert "grid5 seed 0: train 50/200 (25 %)" in text
    assert "grid5 seed 0, step 600: reconstruction error" in text
    assert "swap error" in text
    assert text.rstrip().endswith(f"newest preview: {folder}/trials/{trial_name('grid5', 0)}/previews/step-000100.png")
    assert "\x1b" not in text


def test_a_torn_last_line_of_a_history_is_passed_over(folder: Path) -> None:
    with open(folder / "trials" / trial_name("grid5", 0) / "history.jsonl", "a") as file:
        file.write('{"step": 610, "swap_err')
    assert any("step 600" in note for note in state(folder)[1])


def test_it_ends_when_the_last_trial_has_ended_and_prints_only_news(folder: Path) -> None:
    stream, found = io.StringIO(), []
    watcher = threading.Thread(target=lambda: found.extend(follow(folder, interval_s=0.02, stream=stream)), daemon=True)
    watcher.start()
    time.sleep(0.2)
    assert watcher.is_alive()
    for grid, status in ((5, "done"), (7, "diverged")):
        trial = folder / "trials" / trial_name(f"grid{grid}", 0)
        (trial / "status.json").unlink(missing_ok=True)
        (trial / "record.json").write_text(json.dumps({"status": status, "cost": {"wall_s": {"total": 61.0}}}))
    watcher.join(10)
    assert not watcher.is_alive()
    assert [row.state for row in found] == ["done", "done", "diverged"]
    lines = [line[9:] for line in stream.getvalue().splitlines()]
    assert lines.count("grid3 seed 0: done after 46 s") <= 1
    assert "grid7 seed 0: diverged after 1 min 01 s" in lines
    assert "2 of 3 done, 1 diverged" in lines


def test_a_terminal_gets_a_table_with_names_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    place = write_ledger(tmp_path / "s", grids=(3, 5), replicates=1, tile=8, labels={3: "[red]x[/red]", 5: "=cmd()"})
    stream = Terminal()
    follow(place, stream=stream)
    assert "[red]x[/red]" in stream.getvalue()
    assert "=cmd()" in stream.getvalue()
    assert "2 of 2 done" in stream.getvalue()


def test_control_characters_in_a_name_come_out_as_escapes(tmp_path: Path) -> None:
    stream = io.StringIO()
    follow(write_ledger(tmp_path / "s", grids=(3,), replicates=1, tile=8, labels={3: "a\x1b[31mb"}), stream=stream)
    assert "\x1b" not in stream.getvalue()
    assert "a\\x1b[31mb" in stream.getvalue()


def test_no_preview_is_no_preview(tmp_path: Path) -> None:
    assert newest_preview(tmp_path, [{"name": "grid3-s0-aaaaaaaa"}]) is None


def test_without_a_plan_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="harness run"):
        follow(tmp_path, once=True)
    code, _, told = called(["watch", "bottlneck", "--out", str(tmp_path)], monkeypatch, capsys)
    assert code == 2
    assert "no results of 'bottlneck'" in told
    assert "Traceback" not in told


def test_a_run_that_has_not_begun_is_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream, found = io.StringIO(), []
    place = tmp_path / "later"
    watcher = threading.Thread(target=lambda: found.extend(follow(place, interval_s=0.02, stream=stream)), daemon=True)
    watcher.start()
    time.sleep(0.1)
    assert watcher.is_alive() and stream.getvalue() == ""
    write_ledger(place, grids=(3, 5), replicates=1, tile=8)
    watcher.join(10)
    assert [row.state for row in found] == ["done", "done"]
    assert f"waiting for a run to begin in {place}" in capsys.readouterr().err


def test_the_verb_waits_for_a_known_suite_and_for_no_misspelt_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[Path] = []
    monkeypatch.setattr("harness.ledger.watch.follow", lambda folder, **_: waited.append(folder))
    assert called(["watch", "smoke", "--results", str(tmp_path)], monkeypatch, capsys)[0] == 0
    assert called(["watch", "smok", "--results", str(tmp_path)], monkeypatch, capsys)[0] == 2
    assert called(["watch", "smoke", "--once", "--results", str(tmp_path)], monkeypatch, capsys)[0] == 2
    assert waited == [tmp_path / "smoke"]


def test_the_verb_watches_a_suite_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = called(["watch", "bottleneck", "--once", "--out", str(folder.parent)], monkeypatch, capsys)
    assert code == 0
    assert "1 of 3 done" in out
