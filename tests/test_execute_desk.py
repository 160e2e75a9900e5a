"""What travels between a node and the machine that asked arrives as it was; here both are folders of this machine."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from trouble_plans import plan

from harness.errors import EnvironmentProblem, UsageError
from harness.execute import connect, desk, node
from harness.execute.cluster import ClusterExecutor
from harness.execute.desk import Desk, Overtaken, files_of
from harness.execute.node import Errand
from harness.trials.digest import Hashes

NAME = "grid3-s0-12345678"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Desk, Path]:
    """A desk that expects one trial, and the trial's folder in the ledger."""
    found = Desk(str(tmp_path / "ledger"))
    (tmp_path / "ledger" / NAME).mkdir(parents=True)
    found.expect(NAME)
    return found, tmp_path / "ledger" / NAME


def caller(of: Desk) -> Callable[..., Any]:
    return lambda method, *arguments: getattr(of, method)(*arguments)


def errand(of: Desk, folder: Path, clock: Clock | None = None) -> Errand:
    folder.mkdir(parents=True, exist_ok=True)
    return Errand(caller(of), NAME, folder, clock or Clock())


def put(folder: Path, **contents: str) -> None:
    for name, text in contents.items():
        path = folder / name.replace("__", "/").replace("_json", ".json").replace("_bin", ".bin")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(folder: Path) -> dict[str, str]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_tensors_of_a_checkpoint_travel_before_the_file_that_commits_them(tmp_path: Path) -> None:
    for name in ("checkpoint/step-1.json", "checkpoint/step-1.safetensors", "log.txt", "previews/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    put(tmp_path, record_json="", status_json="", owner_json="")
    (tmp_path / ".log.txt.part").write_text("")
    assert list(files_of(tmp_path)) == [
        "checkpoint/step-1.safetensors", "log.txt", "previews/a.png", "checkpoint/step-1.json",
    ]  # fmt: skip


def test_what_a_node_sends_stands_in_the_ledger_as_it_was(
    asked: tuple[Desk, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "PIECE", 4)
    to, folder = asked
    one = errand(to, tmp_path / "node")
    one.fetch()
    put(one.folder, a_bin="", b_bin="four", c_bin="more than four", checkpoint__step_json="{}")
    one.send()
    put(one.folder, c_bin="less")
    one.send()
    expected = {"a.bin": "", "b.bin": "four", "c.bin": "less", "checkpoint/step.json": "{}"}
    assert {k: v for k, v in read(folder).items() if k != "status.json"} == expected


def test_another_node_goes_on_from_what_the_first_has_sent_and_the_first_is_refused(
    asked: tuple[Desk, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "PIECE", 5)
    to, folder = asked
    first, second = errand(to, tmp_path / "first"), errand(to, tmp_path / "second")
    first.fetch()
    put(first.folder, checkpoint__step_1_json="the first checkpoint")
    first.send()
    second.fetch()
    assert read(second.folder) == {"checkpoint/step_1.json": "the first checkpoint"}
    put(first.folder, checkpoint__step_1_json="written too late")
    for late in (first.report, first.send):
        with pytest.raises(Overtaken):
            late()
    assert (folder / "checkpoint" / "step_1.json").read_text() == "the first checkpoint"


def test_old_checkpoints_are_dropped_there_and_the_last_ones_stay_when_a_trial_ends(
    asked: tuple[Desk, Path], tmp_path: Path
) -> None:
    to, folder = asked
    one = errand(to, tmp_path / "node")
    one.fetch()
    for step in (1, 2):
        (one.folder / "checkpoint").mkdir(exist_ok=True)
        (one.folder / "checkpoint" / f"step-{step}.json").write_text("{}")
    one.send()
    (one.folder / "checkpoint" / "step-1.json").unlink()
    one.send()
    assert [path.name for path in (folder / "checkpoint").iterdir()] == ["step-2.json"]
    (one.folder / "checkpoint" / "step-2.json").unlink()  # as a trial does once its record stands
    one.send()
    assert (folder / "checkpoint" / "step-2.json").exists()  # until the record stands here, too


def test_a_beat_brings_the_status_and_takes_the_request_to_stop_back(asked: tuple[Desk, Path], tmp_path: Path) -> None:
    to, folder = asked
    one = errand(to, tmp_path / "node")
    one.fetch()
    put(one.folder, status_json='{"phase": "train"}')
    assert one.report()
    assert (folder / "status.json").read_text() == '{"phase": "train"}'
    assert to.stop(NAME)
    assert not one.report()
    to.close(NAME)
    assert not (folder / "status.json").exists()
    with pytest.raises(Overtaken):
        one.report()


def test_a_trial_told_to_stop_before_it_began_never_begins(asked: tuple[Desk, Path], tmp_path: Path) -> None:
    to, _ = asked
    assert not to.stop(NAME)
    with pytest.raises(Overtaken):
        errand(to, tmp_path / "node").fetch()


def test_a_silent_execution_does_not_run_until_it_speaks_again(
    asked: tuple[Desk, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("harness.execute.desk.time.monotonic", clock)
    to, folder = asked
    one = errand(to, tmp_path / "node")
    assert to.running() == set()
    one.fetch()
    assert to.running() == {NAME}
    clock.now = desk.SILENT_S + 1
    assert to.running() == set()
    assert not (folder / "status.json").exists()
    one.report()
    assert to.running() == {NAME}


def test_sending_takes_at_most_a_twentieth_of_the_time(asked: tuple[Desk, Path], tmp_path: Path) -> None:
    to, _ = asked
    clock, taken = Clock(), []
    one = errand(to, tmp_path / "node", clock)
    one.fetch()

    def slow(method: str, *arguments: Any) -> Any:
        if method == "take":
            taken.append(clock.now)
            clock.now += 60.0
        return getattr(to, method)(*arguments)

    one.call = slow
    while clock.now < 6000.0:
        put(one.folder, a_bin=str(clock.now))
        one.report()
        clock.now += 100.0
    assert 60.0 * len(taken) <= 6000.0 / 20 + 60.0
    assert len(taken) >= 4


@pytest.mark.parametrize("path", ["../other/a", "/etc/passwd", "a/../../b", "record.json", "", "a//b"])
def test_no_file_outside_a_trial_is_touched(asked: tuple[Desk, Path], path: str) -> None:
    to, _ = asked
    to.begin(NAME, "one")
    with pytest.raises(ValueError, match="no file of a trial"):
        to.take(NAME, "one", path, 0, b"x", True)
    with pytest.raises(ValueError, match="no file of a trial"):
        to.give(NAME, path, 0)


def test_a_folder_travels_whole_and_once(tmp_path: Path) -> None:
    put(tmp_path / "faces", src__1_bin="one", src__2_bin="two", dst__1_bin="three", manifest_json="{}")
    names = ["src/1.bin", "src/2.bin", "src/absent.bin", "dst/1.bin", "manifest.json"]
    archives, fetched = list(node.packed(tmp_path / "faces", names, piece=4)), []
    assert len(archives) == 3

    def fetch() -> list[bytes]:
        fetched.append(1)
        return archives

    for _ in range(2):
        there = node.unpacked(fetch, tmp_path / "node" / "folders" / "abc")
    assert read(there) == read(tmp_path / "faces")
    assert fetched == [1]


def test_other_versions_are_refused_before_anything_is_fetched() -> None:
    old = {**node.versions(), "torch": "1.0.0"}
    ended = node.execute({"versions": old}, lambda *_: pytest.fail("nothing is to be fetched"), None)
    assert ended["unfit"]
    assert ended["reason"] == f"other versions: torch {node.versions()['torch']} there, 1.0.0 here"


@pytest.mark.long
def test_a_trial_knows_whether_code_and_images_are_those_of_its_plan(
    root: Path, trouble: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = Hashes()
    monkeypatch.setattr("harness.trials.trial.Hashes", lambda: hashes)  # reading all code takes seconds
    (trial,) = plan(root, "elsewhere", "none")
    assert trial.differs_here() == ""
    assert "images" in replace(trial, fingerprint="0").differs_here()
    assert "trains" in replace(trial, digest="0").differs_here()
    assert "scores" in replace(trial, score_digest="0").differs_here()


def test_without_ray_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'faceswap-bench\[ray\]'"):
        connect.connect("auto")


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("127.0.0.1:1", EnvironmentProblem, "there is no Ray cluster at 127.0.0.1:1"),
        ("127.0.0.1:99999", EnvironmentProblem, "there is no Ray cluster"),
        ("ray://head:10001", UsageError, "on a node of the cluster"),
        ("head", UsageError, "expected auto, local or HOST:PORT"),
    ],
)
def test_an_address_without_a_cluster_is_one_line(address: str, error: type[Exception], said: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    with pytest.raises(error, match=said):
        connect.connect(address)


def test_what_answers_and_is_no_cluster_to_enter_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")

    def refuse(**_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(ray, "init", refuse)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EnvironmentProblem, match=f"something answers at {address} .* asks for a token"):
            connect.connect(address)


class PretendedRay:
    """A cluster of nodes with these resources, one of them dead."""

    def __init__(self, *nodes: dict[str, float]) -> None:
        self.there = [{"Alive": True, "Resources": node} for node in nodes]
        self.there.append({"Alive": False, "Resources": {"CPU": 99.0, "GPU": 99.0}})

    def nodes(self) -> list[dict[str, Any]]:
        return self.there


def place(device: str, *nodes: dict[str, float], threads: int = 1, per_gpu: int = 1) -> ClusterExecutor:
    found = ClusterExecutor(Path("results"), "auto", device, "auto", per_gpu)
    found.ray, found.threads = PretendedRay(*nodes), threads
    return found


def test_as_many_trials_fit_as_each_node_has_room_for() -> None:
    assert place("cpu", {"CPU": 4.0}, {"CPU": 3.0}).fitting() == 7
    assert place("cpu", {"CPU": 4.0}, {"CPU": 3.0}, threads=2).fitting() == 3
    assert place("cuda", {"CPU": 64.0, "GPU": 8.0}, {"CPU": 4.0}).fitting() == 8
    assert place("cuda", {"CPU": 64.0, "GPU": 8.0}, per_gpu=3).fitting() == 24


def test_what_no_node_can_serve_is_an_error_before_anything_begins(root: Path, trouble: None) -> None:
    (trial,) = plan(root, "wide", "none")
    wide = replace(trial, compute=replace(trial.compute, threads=4))
    with pytest.raises(EnvironmentProblem, match=r"needs 4 cores, and no node .* \(the largest has 3\)"):
        place("cpu", {"CPU": 3.0}, {"CPU": 3.0}).prepare([wide])
    with pytest.raises(EnvironmentProblem, match=r"no node of the cluster has a GPU \(1 nodes\)"):
        place("cuda", {"CPU": 3.0}).prepare([trial])
