"""Trials on a real Ray cluster of two nodes: the same numbers as at home, whatever becomes of a node."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import test_hostile_plugins
import tiny_faces
from trouble_plans import checkpoints, command, plan, suite_file, until

from harness.errors import EnvironmentProblem
from harness.execute import connect, run_plan
from harness.execute.cluster import ClusterExecutor
from harness.ledger.packed import HISTORY
from harness.ledger.records import Ledger, Record
from harness.ledger.watch import state
from harness.lock import held
from harness.suite.suite import find, load
from harness.trials.trial import Trial, trials

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = pytest.mark.long
CLOCKED = ("seconds", "images_per_s")  # of an entry of the history: another in each run
LONG_S = 900.0  # a busy machine starts the processes of a cluster in minutes
TROUBLE = pytest.mark.usefixtures("trouble")  # its metrics would end a trial that asks for all metrics
SETTINGS = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # among other tests a nice worker would wait for ever
}  # fmt: skip
# Under names of its own: the plugin by file is beside it.
INSTALLED = test_hostile_plugins.PLUGIN.read_text().replace('@variant("', '@variant("installed_')


def started(start: Callable[..., Any], **options: Any) -> Any:
    """What `start` returns; on a busy machine a node of Ray's may be too late three times."""
    for _ in range(3):
        with contextlib.suppress(Exception):
            return start(**options)
    return start(**options)


class TwoNodes:
    """A head that trains nothing and two nodes with a core each, every one with a scratch folder of its own."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder = folder
        self.cluster = started(
            Cluster, initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
        )
        self.nodes = {name: self.add(name) for name in ("one", "two")}

    def add(self, name: str) -> Any:
        environment = {"HARNESS_SCRATCH": str(self.folder / name), "PYTHONPATH": str(self.folder / "site")}
        return started(self.cluster.add_node, num_cpus=1, env_vars=environment)

    def works_on(self, trial: Trial) -> str | None:
        """The node with a checkpoint of a trial."""
        found = [n for n in self.nodes if any(self.folder.glob(f"{n}/*/trials/{trial.name}/checkpoint/step-*.json"))]
        return found[0] if found else None

    def kill(self, name: str) -> None:
        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("nodes")
        test_hostile_plugins.package(folder, INSTALLED)
        found = TwoNodes(folder)
        yield found
        ray.shutdown()
        found.cluster.shutdown()


@pytest.fixture
def alone(there: TwoNodes) -> Iterator[None]:
    """Without the connection of another test."""
    ray.shutdown()
    yield
    ray.shutdown()


def on_the_cluster(there: TwoNodes, todo: list[Trial], root: Path) -> list[Record]:
    return run_plan(todo, root=root, executor=ClusterExecutor(root, there.cluster.address, "cpu"))


def same(here: Record, far: Record) -> None:
    """The same weights, scores, values and pictures, byte for byte."""
    assert far.cost["weights_sha256"] == here.cost["weights_sha256"]
    assert (far.scores, far.references, far.spec) == (here.scores, here.references, here.spec)
    assert far.files.keys() == here.files.keys()
    for name in here.files.keys() - {HISTORY}:
        assert (far.folder / name).read_bytes() == (here.folder / name).read_bytes(), name
    assert losses(far) == losses(here)


def losses(record: Record) -> list[dict[str, Any]]:
    """The history without what the clock said."""
    lines = (record.folder / HISTORY).read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCKED} for line in lines]


def test_the_smoke_suite_comes_out_bit_for_bit_as_at_home(there: TwoNodes, tmp_path: Path) -> None:
    todo = trials(load(find("smoke")), "quick")
    here = run_plan(todo, root=tmp_path / "here")
    assert [record.status for record in here] == ["done"] * len(todo)
    far = on_the_cluster(there, todo, tmp_path / "far")
    assert [record.status for record in far] == ["done"] * len(todo)
    for one, other in zip(here, far, strict=True):
        same(one, other)
    assert not list((tmp_path / "far").rglob("status.json")) + list((tmp_path / "far").rglob("owner.json"))
    assert not list((tmp_path / "far").rglob("checkpoint"))
    assert not (tmp_path / "far" / "data").exists()  # images are made where they are needed


@TROUBLE
def test_a_trial_whose_node_died_goes_on_elsewhere_and_ends_with_the_same_weights(
    there: TwoNodes, tmp_path: Path
) -> None:
    todo = plan(tmp_path, "lost", "slow", steps=600)
    killed: list[str] = []

    def kill() -> None:
        until(lambda: checkpoints(tmp_path / "far", todo[0]), LONG_S)
        killed.append(until(lambda: there.works_on(todo[0])))
        there.kill(killed[0])

    killer = threading.Thread(target=kill)
    killer.start()
    (far,) = on_the_cluster(there, todo, tmp_path / "far")
    killer.join()
    there.nodes[killed[0]] = there.add(killed[0])
    (here,) = run_plan(todo, root=tmp_path / "here")
    assert far.status == "done"
    assert far.resumed_from and far.resumed_from >= 20
    assert far.attempts == 1
    assert far.cost["weights_sha256"] == here.cost["weights_sha256"]
    assert far.scores == here.scores


@TROUBLE
def test_trouble_on_a_node_is_a_row_with_its_reason_and_the_others_go_on(there: TwoNodes, tmp_path: Path) -> None:
    todo = plan(tmp_path, "troubles", "raise", "abort", "leave", "none")
    raised, aborted, left, sound = on_the_cluster(there, todo, tmp_path)
    assert (raised.status, raised.reason) == ("failed", "RuntimeError: trouble was asked for")
    assert aborted.status == left.status == "failed"
    assert aborted.reason and "killed by SIGABRT" in aborted.reason and "on the node" in aborted.reason
    assert left.reason and "over with exit status 0 and no record" in left.reason
    assert "about to abort" in aborted.log_tail
    assert sound.status == "done"


@TROUBLE
def test_an_own_folder_of_faces_travels_once_and_leaves_no_trace_in_the_record(there: TwoNodes, tmp_path: Path) -> None:
    folder = tiny_faces.write_folder(tmp_path / "faces", size=16)
    file = suite_file(tmp_path, "own", ("none", "slow"))
    text = file.read_text().replace("pair: near, frames: 20, eval_frames: 6, size: 16, render_supersample: 1", "")
    file.write_text(text.replace("data: {", f"data: {{source: {folder}, size: 16"))
    todo = trials(load(file), "quick")
    here = run_plan(todo, root=tmp_path / "here")
    far = on_the_cluster(there, todo, tmp_path / "far")
    for one, other in zip(here, far, strict=True):
        assert one.status == "done", one.reason
        same(one, other)
        assert other.spec["data"]["source"] == other.data["source"] == str(folder)
    for node in there.folder.iterdir():
        assert len(list(node.glob("folders/*/src/*.exr"))) in (0, 20)


@TROUBLE
def test_a_node_with_other_code_refuses_and_says_so(there: TwoNodes, tmp_path: Path, alone: None) -> None:
    todo = plan(tmp_path, "other", "none")
    with connect.code() as folder:
        losses = folder / "models" / "losses.py"
        losses.write_text(losses.read_text().replace("(alpha > 0.9).to", "(alpha > 0.8).to"))
        ray.init(address=there.cluster.address, runtime_env={"working_dir": str(folder)}, log_to_driver=False)
        with pytest.raises(EnvironmentProblem, match=r"refuses .*: the code that trains is another"):
            on_the_cluster(there, todo, tmp_path)
    assert Ledger(tmp_path / "other").read(todo[0].name) is None
    ray.shutdown()
    assert [record.status for record in on_the_cluster(there, todo, tmp_path)] == ["done"]


def test_a_gpu_that_no_node_has_is_an_error(there: TwoNodes) -> None:
    assert connect.device_of("auto", there.cluster.address) == "cpu"
    with pytest.raises(EnvironmentProblem, match="the cluster has no GPU"):
        connect.device_of("cuda", there.cluster.address)


@TROUBLE
def test_an_interrupted_command_ends_with_130_and_goes_on_when_it_is_given_again(
    there: TwoNodes, tmp_path: Path, alone: None
) -> None:
    (tmp_path / "far").mkdir()
    (trial,) = todo = plan(tmp_path / "far", "halted", "slow", steps=600)
    file = tmp_path / "far" / "halted.yaml"
    cluster = ("--executor", "ray", "--address", there.cluster.address)
    process = command(tmp_path / "far", file, *cluster)
    until(lambda: checkpoints(tmp_path / "far", trial), LONG_S)
    rows, _ = state(tmp_path / "far" / "halted")
    assert [(row.state, row.phase) for row in rows] == [("running", "train")]
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130, said
    assert "interrupted: stopped; the same command continues where it was" in said
    assert checkpoints(tmp_path / "far", trial)
    owners = f"*/halted/trials/{trial.name}/owner.json"
    until(lambda: not any(held(owner.parent) for owner in there.folder.glob(owners)))
    process = command(tmp_path / "far", file, *cluster)
    said = process.communicate(timeout=LONG_S)[0]
    assert process.returncode == 0, said
    far = Ledger(tmp_path / "far" / "halted").read(trial.name)
    (here,) = run_plan(todo, root=tmp_path / "here")
    assert far and far.resumed_from
    assert far.cost["weights_sha256"] == here.cost["weights_sha256"]


def test_code_that_travels_is_what_runs_and_nothing_else() -> None:
    with connect.code() as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["harness", "metrics", "models"]
        assert not list(folder.rglob("__pycache__"))
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 50 * 2**20


@pytest.mark.parametrize("installed", [False, True], ids=["by_file", "by_entry_point"])
def test_a_hostile_plugin_on_a_node_is_a_row_with_its_reason_and_the_others_go_on(
    there: TwoNodes, tmp_path: Path, alone: None, installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hostile.yaml"
    file.write_text(test_hostile_plugins.SUITE)
    more = ["--plugin", str(test_hostile_plugins.PLUGIN)]
    if installed:
        file.write_text(test_hostile_plugins.SUITE.replace("variant: hostile", "variant: installed_hostile"))
        monkeypatch.setenv("PYTHONPATH", str(there.folder / "site"))
        more = []
    cluster = ("--executor", "ray", "--address", there.cluster.address, "--timeout", "240")  # of a busy machine
    process = command(tmp_path, file, *cluster, *more)
    told = process.communicate(timeout=2 * LONG_S)[0]
    assert process.returncode == 3 and "Traceback" not in told, told
    records = {record.cell["model.way"]: record for record in Ledger(tmp_path / "hostile").records()}
    assert records["none"].status == "done"
    for way, (status, reason) in test_hostile_plugins.REASONS.items():
        record = records[way]
        assert (record.status, reason.lower() in (record.reason or "").lower()) == (status, True), (way, record.reason)
