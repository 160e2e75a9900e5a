"""Hostile and absurd input, at the command line: one line, a defined exit code, never a traceback, never a hang."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from command import called
from tiny_faces import write_folder

from harness import limits
from harness.cli.last_catch import INTERNAL, exit_code
from harness.data import decode
from harness.data.decode import Job, decode_files
from harness.data.exr import write_exr
from harness.data.faceset import check_folder
from harness.data.fingerprint import data_fingerprint
from harness.data.store import open_store
from harness.errors import EnvironmentProblem
from harness.files import cannot_write
from harness.spec import DataSpec

CORPUS = Path(__file__).parent / "corpus"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run `harness ARGUMENTS` in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield lambda *arguments: called(arguments, monkeypatch, capsys)
    limits.lift(False)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """The block ends in time, or the test fails instead of hanging."""

    def late(*_: object) -> None:
        raise AssertionError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("file", sorted(CORPUS.glob("suites/*.yaml")), ids=lambda file: file.stem)
def test_every_hostile_suite_of_the_past_ends_in_one_line(file: Path, run: Run) -> None:
    expected = file.read_text().splitlines()[0].removeprefix("# expect: ")
    with within(60):
        code, out, err = run("run", str(file), "--dry-run", "--device", "cpu")
    assert (code, out) == (2, "")
    assert expected in err and err.startswith("harness: ")
    assert len(err.splitlines()) == 1


def test_limits_can_be_lifted_on_purpose(run: Run) -> None:
    code, out, err = run(
        "run", str(CORPUS / "suites" / "grid_of_forty.yaml"), "--dry-run", "--device", "cpu", "--allow-large"
    )
    assert code == 0, err
    assert "to do" in out


def test_what_nobody_expected_is_one_line_with_a_file_of_details(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("it broke\nin two lines")

    monkeypatch.setattr("harness.suite.suite.find", broken)
    code, out, err = run("run", "smoke", "--dry-run")
    assert (code, out) == (INTERNAL, "")
    (file,) = (tmp_path / "cache" / "faceswap-bench" / "errors").iterdir()
    assert err == f"harness: unexpected RuntimeError: it broke in two lines (details: {file})\n"
    assert "harness run smoke --dry-run" in file.read_text() and "Traceback" in file.read_text()


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RecursionError("deep"), INTERNAL, "unexpected RecursionError: deep"),
        (MemoryError(), 4, "not enough memory"),
        (
            RuntimeError('Failed to write "a.exr". No space left on device.'),
            4,
            "No space left on device. Free the disk",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x/\udcff"), 4, "/x/\\xff: Permission denied"),
        (EnvironmentProblem("no weights"), 4, "harness: no weights\n"),
        (KeyboardInterrupt(), 130, "the same command continues"),
    ],
)
def test_every_failure_has_its_exit_code(
    error: BaseException, code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    assert exit_code(fail) == code
    told = capsys.readouterr().err
    assert text in told and len(told.splitlines()) == 1


def test_details_that_cannot_be_written_anywhere_are_no_failure_of_their_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/proc/nowhere")
    assert exit_code(lambda: 1 / 0) == INTERNAL
    assert capsys.readouterr().err == "harness: unexpected ZeroDivisionError: division by zero\n"


def test_a_message_about_a_file_says_what_would_help() -> None:
    for number, text in (
        (errno.ENOSPC, "cannot be written: No space left on device. Free the disk"),
        (errno.EROFS, "not writable: Read-only file system. Choose another folder"),
        (errno.EACCES, "not writable: Permission denied. Choose another folder"),
    ):
        assert text in str(cannot_write(Path("a"), OSError(number, os.strerror(number))))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder in which nobody can write")
def test_a_folder_that_cannot_be_written_is_called_that(run: Run) -> None:
    code, _, err = run("run", "smoke", "--device", "cpu", "--results", "/proc/nope")
    assert code == 4
    assert "/proc/nope/smoke/plan.json: not writable" in err and "Free the disk" not in err


def test_cuda_is_missed_by_a_dry_run_as_by_a_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for more in ((), ("--dry-run",)):
        code, out, err = run("run", "smoke", "--device", "cuda", *more)
        assert (code, out) == (4, "")
        assert "--device cuda: this machine has no usable CUDA device. Use --device cpu" in err


def test_no_message_shows_whose_library_found_the_mistake(run: Run, tmp_path: Path) -> None:
    changes = [
        "data.augment.warp=[0.5, 0.1]", "data.augment.zoom=[0, 1]", "optim.betas=[1, 2]", "optim.steps=0", "loss.l1=[]",
        "data.augment.warp=[1]", "optim.betas=3", "model.upsample=nearest", "model.grid=[1, 2, 3]", "model.vae=2",
        "loss.kl.free_bits=-1", "loss.l1=.nan", "data.pair=[]", "loss={}", "model=3", "optim=",
        "model.variant=null", "loss.l1.weight=x", "data.frames=1.5", "model.norm=[batch]", "model.logvar_start=.inf",
    ]  # fmt: skip
    for change in changes:
        code, out, err = run("run", "smoke", "--dry-run", "--device", "cpu", "--set", change)
        assert (code, out) == (2, ""), change
        for word in ("Value error", "Input should", "pydantic", "validation error", "type=", "Extra inputs"):
            assert word not in err, (change, err)


def hostile_folder(folder: Path) -> Path:
    """Twenty good files of each person, and beside them what hangs or breaks a careless reader."""
    write_folder(folder)
    os.mkfifo(folder / "src" / "pipe.exr")
    (folder / "src" / "device.exr").symlink_to("/dev/zero")
    (folder / "src" / "folder.exr").mkdir()
    (folder / "dst" / "gone.exr").symlink_to(folder / "nowhere.exr")
    (folder / "dst" / "loop.exr").symlink_to(folder / "dst" / "loop.exr")
    name = os.fsencode(folder / "dst") + b"/caf\xe9.exr"
    os.link(os.fsencode(folder / "dst" / "000.exr"), name)
    with open(folder / "dst" / "sparse.exr", "wb") as file:
        file.truncate(1 << 40)
    return folder


EXPECTED = {
    "src/pipe.exr": "a pipe, a device or a folder",
    "src/device.exr": "a pipe, a device or a folder",
    "src/folder.exr": "a pipe, a device or a folder",
    "dst/gone.exr": "no such file",
    "dst/loop.exr": "cannot be read",
    "dst/caf\\xe9.exr": "its name is not UTF-8: rename it",
    "dst/sparse.exr": "bytes long, more than the allowed",
}


def test_pipes_devices_and_strange_names_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    folder = hostile_folder(tmp_path / "faces")
    with within(60):
        report = check_folder(folder)
        data = DataSpec(source=str(folder), size=16)
        data_fingerprint(data, 0)
        store = open_store(data, 0, tmp_path)
    for bad in (dict(report.bad), dict(store.quarantined)):
        assert bad.keys() == EXPECTED.keys()
        for name, reason in EXPECTED.items():
            assert reason in bad[name]
    assert report.good == {"src": 20, "dst": 20}
    assert len(store.people["src"]) + len(store.heldout["src"] if store.heldout else ()) == 20


def test_the_verb_that_checks_a_folder_prints_names_that_are_not_utf_8(run: Run, tmp_path: Path) -> None:
    code, out, err = run("data", "check", str(hostile_folder(tmp_path / "faces")))
    assert code == 1
    assert "dst/caf\\xe9.exr: its name is not UTF-8" in out
    assert "7 files are not usable" in err


@pytest.mark.long
def test_a_file_whose_decoding_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that sleeps at one file stands for a file that keeps it busy."""
    folder = write_folder(tmp_path / "faces", 4, 1)
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "sitecustomize.py").write_text(
        "import time, harness.data.exr as exr\n"
        "check = exr.check_file\n"
        "def slow(path):\n"
        "    if '002' in str(path): time.sleep(600)\n"
        "    check(path)\n"
        "exr.check_file = slow\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{stub}{os.pathsep}{Path(decode.__file__).parents[2]}")
    monkeypatch.setattr(decode, "FILE_SECONDS", 6.0)
    began = time.monotonic()
    outcomes = decode_files([Job(str(p)) for p in sorted((folder / "src").iterdir())], tmp_path / "out", 8)
    assert [outcome.reason for outcome in outcomes] == [None, None, "damaged: took longer than 6 s", None]
    assert time.monotonic() - began < 60


def test_light_beyond_half_floats_is_clipped_and_said(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "faces", 20, 20)
    bright = np.full((4, 16, 16), 0.5, np.float32)
    bright[0, 3, 3] = 1e30
    write_exr(folder / "src" / "000.exr", bright, half=False)
    report = check_folder(folder)
    assert report.notes == [("src/000.exr", "values up to 1e+30 are clipped to 65504")]
    store = open_store(DataSpec(source=str(folder), size=16), 0, tmp_path)
    assert ("src/000.exr", "values up to 1e+30 are clipped to 65504") in store.notes
    assert np.isfinite(store.people["src"]).all() and store.people["src"].max() == 65504


@pytest.mark.parametrize("file", sorted(CORPUS.glob("images/*.exr")), ids=lambda file: file.stem)
def test_every_hostile_image_of_the_past_is_refused_with_a_reason(file: Path, tmp_path: Path) -> None:
    with within(60):
        (outcome,) = decode_files([Job(str(file))], tmp_path / "out", 8)
    assert outcome.reason


def test_a_library_that_prints_or_raises_at_a_name_does_not_stop_the_reading_of_others(tmp_path: Path) -> None:
    write_exr(tmp_path / "good.exr", np.ones((4, 16, 16), np.float32))
    names = ["a\nb.exr", "a\x1b[31m.exr", "é.exr", "x" * 250 + ".exr"]
    for name in names:
        os.link(tmp_path / "good.exr", tmp_path / name)
    outcomes = decode_files([Job(str(tmp_path / name)) for name in names], tmp_path / "out", 8)
    assert [outcome.reason for outcome in outcomes] == [None] * 4
    assert OpenEXR.isOpenExrFile(str(tmp_path / "good.exr"))
