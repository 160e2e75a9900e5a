"""`harness pack`: a packed suite is read, judged, reported and run on as before, and a damaged pack is told."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import fake_ledger
import pytest
from command import called

from harness.errors import CheckFailed
from harness.files import write_atomic
from harness.ledger.find import find_trial
from harness.ledger.pack import pack
from harness.ledger.packed import LARGEST, MEMBERS, PACK, RECORD, VALUES, PackDamaged, packed
from harness.ledger.progress import rows
from harness.ledger.records import Ledger
from harness.ledger.table import load
from harness.ledger.verify import verify_suite
from harness.lock import Busy, claim_trial

Harness = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def loose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_ledger.write_ledger(tmp_path_factory.mktemp("loose") / "bottleneck", claims=fake_ledger.CLAIMS)


@pytest.fixture
def suite(loose: Path, tmp_path: Path) -> Path:
    """A suite's folder that may be changed."""
    return shutil.copytree(loose, tmp_path / "results" / loose.name)


@pytest.fixture
def harness(suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Harness:
    """The command line on the suite's results: (exit code, stdout, stderr)."""
    return lambda *words: called([*words, "--results", str(suite.parent)], monkeypatch, capsys)


def content(folder: Path) -> dict[str, object]:
    """All that a ledger tells of its trials."""
    ledger = Ledger(folder)
    return {
        record.name: (record.to_dict(), record.sha256, ledger.values(record), ledger.history(record))
        for record in ledger.records()
    }


def test_a_packed_suite_tells_what_it_told_before_in_a_third_of_the_bytes(suite: Path) -> None:
    before, table = content(suite), load(suite)
    packing = pack(suite)
    assert content(suite) == before and len(before) == packing.trials > 0
    assert not [path for name in MEMBERS for path in suite.glob(f"trials/*/{name}")]
    assert packing.after == (suite / PACK).stat().st_size < 0.4 * packing.before
    again = load(suite)
    assert [len(v.done) for v in again.variants] == [len(v.done) for v in table.variants] and not again.damaged
    assert {t.name: sorted(t.pictures) for t in again.done} == {t.name: sorted(t.pictures) for t in table.done}
    assert verify_suite(suite).findings == () and verify_suite(suite).files > packing.trials


def test_packing_again_changes_nothing_and_equal_results_give_equal_packs(
    suite: Path, loose: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(loose, tmp_path / "elsewhere" / loose.name)
    for folder in (suite, suite, other):
        pack(folder)
    assert (suite / PACK).read_bytes() == (other / PACK).read_bytes()


def test_every_verb_that_reads_results_reads_a_packed_suite(suite: Path, harness: Harness) -> None:
    asked = (
        ["claims", "--format", "json"],
        ["list", "trials", "--json"],
        ["compare", "bottleneck:grid3", "bottleneck:grid7"],
    )
    state, told = rows(suite, Ledger(suite).plan()["trials"]), [harness(*words) for words in asked]
    assert all(code == 0 and out for code, out, _ in told)
    assert harness("pack", suite.name)[0] == 0
    assert [harness(*words) for words in asked] == told
    assert rows(suite, Ledger(suite).plan()["trials"]) == state
    name = Ledger(suite).names()[0]
    assert find_trial(suite / "trials" / name, suite.parent).name == find_trial(name, suite.parent).name == name
    assert harness("report", suite.name)[0] == 0


def test_a_file_of_its_own_goes_before_the_packed_one_and_is_packed_next(suite: Path) -> None:
    pack(suite)
    ledger = Ledger(suite)
    record = ledger.records()[0]
    ledger.write_values(record.name, {"swap_error": [0.125]})
    written = ledger.write(record)
    assert ledger.values(written) == {"swap_error": [0.125]}
    pack(suite)
    kept = Ledger(suite).read(record.name)
    assert kept is not None and Ledger(suite).values(kept) == {"swap_error": [0.125]}


@pytest.mark.parametrize("at", (0.02, 0.3, 0.6, 0.98))
def test_a_damaged_pack_is_told_by_every_verb_and_never_read(suite: Path, harness: Harness, at: float) -> None:
    pack(suite)
    file = suite / PACK
    flipped = bytearray(file.read_bytes())
    flipped[int(at * len(flipped))] ^= 16
    file.write_bytes(flipped)
    with pytest.raises(PackDamaged, match="cannot be read"):
        packed(suite)
    assert Ledger(suite).records() == []
    findings = verify_suite(suite).findings
    assert [finding.path for finding in findings] == [file] and "copy it again" in findings[0].remedy
    code, _, told = harness("report", suite.name)
    assert code == 1 and told.count(f"{PACK} is damaged") == 1 and "Traceback" not in told


def test_a_pack_that_ends_too_early_or_claims_too_much_is_refused(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(suite)
    file, whole = suite / PACK, (suite / PACK).read_bytes()
    for wrong in (whole[:-10], whole + b"more", b"", b"no pack"):
        file.write_bytes(wrong)
        with pytest.raises(PackDamaged, match="cannot be read"):
            packed(suite)
    file.write_bytes(whole)
    monkeypatch.setattr("harness.ledger.packed.LARGEST", 1000)
    shutil.copy(file, suite / "other")
    (suite / "other").replace(file)  # written anew, so it is read anew
    with pytest.raises(PackDamaged, match="more than"):
        packed(suite)
    assert LARGEST >= 1 << 30


def test_a_damaged_file_is_not_packed(suite: Path) -> None:
    record = Ledger(suite).records()[0]
    (record.folder / VALUES).write_bytes(b"damaged")
    with pytest.raises(CheckFailed, match="Nothing was packed"):
        pack(suite)
    assert (record.folder / RECORD).exists() and not (suite / PACK).exists()


def test_a_suite_that_is_being_run_is_not_packed(suite: Path) -> None:
    record = Ledger(suite).records()[0]
    with claim_trial(record.folder), pytest.raises(Busy, match="Nothing was packed"):
        pack(suite)
    assert (record.folder / RECORD).exists() and not (suite / PACK).exists()


def test_nothing_to_pack_is_a_usage_error(suite: Path, harness: Harness) -> None:
    code, _, told = harness("pack", "grid3")
    assert code == 2 and "bottleneck" in told
    shutil.rmtree(suite)
    code, _, told = harness("pack")
    assert code == 2 and "there are no results" in told


def test_a_runner_that_begins_meanwhile_keeps_what_it_works_on(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds one trial, and has written the record of another anew, when the pack is there and files are removed."""
    held_one, rewritten = Ledger(suite).records()[:2]
    begun = contextlib.ExitStack()

    def writing(path: Path, content: bytes) -> None:
        write_atomic(path, content)
        begun.enter_context(claim_trial(held_one.folder))
        (rewritten.folder / RECORD).write_bytes(b"newer")

    monkeypatch.setattr("harness.ledger.pack.write_atomic", writing)
    with begun:
        pack(suite)
        assert (held_one.folder / RECORD).exists()
        assert (rewritten.folder / RECORD).read_bytes() == b"newer"
    assert not (rewritten.folder / VALUES).exists()


def test_a_suite_without_a_record_is_left_as_it_is(suite: Path) -> None:
    shutil.rmtree(suite / "trials")
    (suite / "ledger.jsonl").unlink()
    assert pack(suite).trials == 0 and not (suite / PACK).exists()
