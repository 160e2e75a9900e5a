"""The ledger: what is written is read back, damage is named, and nothing leads out of the results."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import EnvironmentProblem, UsageError
from harness.files import write_atomic
from harness.ledger.records import Ledger, Record, inside, ledgers
from harness.lock import Busy, claim_trial, held


def record(name: str = "grid3-s0-aaaaaaaa", **changes: object) -> Record:
    base = Record(
        name=name,
        label="grid3",
        seed=0,
        status="done",
        suite="tiny",
        scale="quick",
        cell={"model.grid": 3},
        pair="far",
        digest="a" * 64,
        score_digest="b" * 64,
        scores={"identity_transfer": {"mean": 0.8125, "n": 64}},
        cost={"wall_s": {"total": 12.5}, "latent": {"shape": [128, 3, 3]}},
        environment={"python": "3.11"},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "tiny")
    written = ledger.write(record())
    assert written == ledger.read(written.name)
    assert replace(written, sha256="", folder=Path()) == record()
    assert written.folder == tmp_path / "tiny" / "trials" / written.name


def test_a_deleted_index_is_rebuilt_equal(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for seed in (2, 0, 1):
        ledger.write(record(f"grid3-s{seed}-aaaaaaaa", seed=seed, status="failed" if seed else "done"))
    before = ledger.index.read_bytes()
    assert [json.loads(line)["seed"] for line in before.splitlines()] == [0, 1, 2]
    ledger.index.unlink()
    assert ledger.rebuild().read_bytes() == before


def test_every_flipped_bit_and_every_truncation_is_noticed_by_name(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(record("other-s0-bbbbbbbb", label="other"))
    path = ledger.write(record()).folder / "record.json"
    good = path.read_bytes()
    chance = random.Random(0)
    kept = 0
    for i in range(200):
        bad = bytearray(good)
        place = chance.randrange(len(good))
        if i % 4:
            bad[place] ^= 1 << chance.randrange(8)
        else:
            del bad[place:]
        path.write_bytes(bad)
        found = ledger.records()
        if len(found) == 2:  # a flip in the white space between values changes no value
            assert json.loads(bad) == json.loads(good)
            kept += 1
            continue
        assert [r.name for r in found] == ["other-s0-bbbbbbbb"]
        assert ledger.damaged[0][0] == "grid3-s0-aaaaaaaa"
    assert kept < 60


@pytest.mark.parametrize("content", ["", "null", "[]", '{"sha256": 3}', "{" * 5000, '{"a":1}', "\ufeff{}"])
def test_a_record_that_is_no_record_counts_as_absent(tmp_path: Path, content: str) -> None:
    ledger = Ledger(tmp_path)
    folder = tmp_path / "trials" / "x-s0-1"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(content)
    assert ledger.records() == []
    assert ledger.damaged[0][0] == "x-s0-1"


def test_a_record_moved_to_another_trial_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = ledger.write(record())
    written.folder.rename(tmp_path / "trials" / "grid7-s0-cccccccc")
    assert ledger.records() == []
    assert "another trial's" in ledger.damaged[0][1]


def test_values_and_history_come_back_with_gaps_as_nan(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = ledger.write(record())
    assert ledger.values(written) == {}
    assert ledger.history(written) == []
    ledger.write_values(written.name, {"identity_transfer": [0.5, None]})
    (written.folder / "history.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"ste')
    values = ledger.values(written)["identity_transfer"]
    assert values[0] == 0.5
    assert values[1] != values[1]
    assert [entry["step"] for entry in ledger.history(written)] == [1, 2]


def test_damaged_values_are_told_and_count_as_absent(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    written = ledger.write(record())
    ledger.write_values(written.name, {"identity_transfer": [0.5] * 100})
    (file,) = written.folder.glob("values*")
    content = file.read_bytes()
    for damage in (content[:-9], content[:20] + bytes([content[20] ^ 8]) + content[21:], b"{}"):
        file.write_bytes(damage)
        ledger.damaged.clear()
        assert ledger.values(written) == {}
        assert "values.json.gz" in ledger.damaged[0][1]


def test_nan_is_never_written_into_a_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Ledger(tmp_path).write(record(scores={"x": {"mean": float("nan"), "n": 1}}))
    with pytest.raises(ValueError, match="unknown status"):
        Ledger(tmp_path).write(record(status="finished"))
    assert Ledger(tmp_path).records() == []


@pytest.mark.parametrize("name", ["..", "a/b", "../x", "", ".hidden", "A", "a b", "a\n", "x" * 300, "-x"])
def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no usable name"):
        inside(tmp_path, name)


def test_links_that_leave_the_root_are_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "root"
    (root / "trials").mkdir(parents=True)
    (root / "trials" / "linked").symlink_to(outside)
    with pytest.raises(UsageError, match="leads out of"):
        Ledger(root).trial_folder("linked")
    (outside / "record.json").write_text("{}")
    assert Ledger(root).records() == []
    (root / "trials" / "inner").mkdir()
    (root / "trials" / "inner" / "record.json").symlink_to(outside / "record.json")
    ledger = Ledger(root)
    assert ledger.read("inner") is None
    assert "leads out" in ledger.damaged[0][1]


def test_plans_are_kept_and_damaged_ones_are_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "tiny")
    assert ledger.plan() is None
    ledger.write_plan({"suite": "tiny", "trials": []})
    assert ledger.plan() == {"schema_version": 2, "suite": "tiny", "trials": []}
    assert [found.folder.name for found in ledgers(tmp_path)] == ["tiny"]
    (tmp_path / "tiny" / "plan.json").write_text("{")
    with pytest.raises(EnvironmentProblem, match=r"plan\.json: damaged"):
        ledger.plan()


def test_a_full_disk_leaves_the_old_file_and_names_the_path(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    write_atomic(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(EnvironmentProblem, match=r"record\.json: cannot be written"):
            write_atomic(path, b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]


def test_a_claimed_trial_is_busy_for_others_until_it_is_released(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    assert not held(folder)
    with claim_trial(folder):
        assert held(folder)
        with pytest.raises(Busy, match=f"process {os.getpid()}"), claim_trial(folder):
            pass
        assert held(folder)
    assert not held(folder)
    with claim_trial(folder):
        pass


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    code = "import os, sys; from pathlib import Path; from harness.lock import claim_trial\n"
    code += "with claim_trial(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    dead = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert dead.returncode == -9
    assert (folder / "owner.json").exists()
    assert not held(folder)
    with claim_trial(folder):
        assert held(folder)


def test_a_reused_process_number_is_not_taken_for_the_owner(tmp_path: Path) -> None:
    with claim_trial(tmp_path):
        owner = json.loads((tmp_path / "owner.json").read_text())
    for changes, expected in (({"started": "1"}, False), ({"host": "elsewhere"}, True), ({}, True)):
        (tmp_path / "owner.json").write_text(json.dumps({**owner, **changes}))
        assert held(tmp_path) is expected
    (tmp_path / "owner.json").write_text("{torn")
    assert not held(tmp_path)


def test_of_eight_processes_that_want_one_trial_one_gets_it(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from harness.lock import Busy, claim_trial\n"
    code += "try:\n with claim_trial(Path(sys.argv[1])):\n  print('mine', flush=True); sys.stdin.read()\n"
    code += "except Busy:\n print('busy', flush=True)\n"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    said = [process.stdout.readline().strip() for process in started if process.stdout]
    for process in started:
        process.communicate()
    assert sorted(said) == ["busy"] * 7 + ["mine"]
