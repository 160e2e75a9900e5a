"""Trials as tasks of a Ray cluster: Ray places them, brings the code there, and repeats what a dead node interrupted.

The machine that asks is a node of the cluster. Nothing else is shared: see `harness.execute.node` for what happens on
the others, and docs/cluster.md for how to start one.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from harness.data.listing import list_folder
from harness.errors import EnvironmentProblem
from harness.execute.connect import connect
from harness.execute.desk import Desk
from harness.execute.executor import Ended, Job
from harness.execute.node import execute, packed, versions
from harness.execute.prepare import prepare
from harness.files import Damaged, verified
from harness.ledger.manifest import manifest_of
from harness.ledger.records import Ledger, Record
from harness.lock import Busy, claim_trial
from harness.trials.trial import Trial

RETRIES = 5  # of a trial whose node or worker process died; each goes on from the last checkpoint that came back
QUEUED = 8  # trials that wait in Ray's queue beyond twice what fits: it sees what is wanted, and can ask for nodes
LOOK_S, COUNT_S = 0.2, 5.0  # between two questions to Ray: what has ended; who is there
GONE_S = 20.0  # the desk answers sooner, or is lost


def task(description: Mapping[str, Any], desk: Any, faces: Sequence[Any] | None) -> dict[str, Any]:
    """What a worker of the cluster runs: one trial."""
    import ray

    def call(method: str, *arguments: Any) -> Any:
        return ray.get(getattr(desk, method).remote(*arguments))

    def pieces() -> Iterator[bytes]:
        return (ray.get(piece) for piece in faces or ())

    where = ray.util.get_node_ip_address()
    return {**execute(description, call, pieces if faces is not None else None), "node": where}


class ClusterExecutor:
    """A cluster at `address`. `jobs` trials at most, or "auto": what fits, `per_gpu` on each GPU.

    UsageError and EnvironmentProblem: see `connect`, and `prepare` for requests that no node can serve.
    """

    def __init__(self, root: Path, address: str, device: str, jobs: int | str = "auto", per_gpu: int = 1) -> None:
        self.root, self.address, self.device = root.absolute(), address, device
        self.jobs, self.per_gpu = jobs, per_gpu
        self.faces: dict[str, list[Any]] = {}
        self.under_way: list[ClusterAttempt] = []
        self.threads = 1
        self.ready: set[Any] = set()
        self.running: set[str] = set()
        self.looked = self.counted = 0.0
        self.room = 1
        self.desk: Any = None

    @property
    def slots(self) -> int:
        """More than fits now: the rest waits in Ray's queue."""
        if self.jobs != "auto":
            return int(self.jobs)
        if time.monotonic() - self.counted > COUNT_S:
            self.counted, self.room = time.monotonic(), 2 * self.fitting() + QUEUED
        return self.room

    def fitting(self) -> int:
        """Trials that the cluster has room for at once."""
        per_node = (self._on(node["Resources"]) for node in self.ray.nodes() if node["Alive"])
        return sum(per_node)

    def _on(self, resources: Mapping[str, float]) -> int:
        if self.device == "cuda":
            return int(min(resources.get("GPU", 0) * self.per_gpu, resources.get("CPU", 0)))
        return int(resources.get("CPU", 0) // self.threads)

    def __enter__(self) -> Self:
        self.ray = connect(self.address)
        return self

    def __exit__(self, *_: object) -> None:
        if self.desk is not None:
            self.ray.kill(self.desk)
            self.desk = None
            self.ledger.rebuild()  # once: hundreds of trials may end in a minute, and each time all records are read

    def prepare(self, trials: Sequence[Trial]) -> None:
        """See that some node can serve these trials, open the desk, and make own folders of faces ready to travel."""
        if not trials:
            return
        self.threads = max(trial.compute.threads for trial in trials) if self.device == "cpu" else 1
        if not self.fitting():
            raise EnvironmentProblem(self._lacking())
        own = {t.fingerprint: t for t in trials if t.spec.data.source != "builtin"}
        prepare(list(own.values()), self.root)  # a folder that cannot be used ends the run before it begins
        for fingerprint, trial in own.items():
            self.faces[fingerprint] = list(self._sent(Path(trial.spec.data.source)))
        strategy = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        here = strategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        actor = self.ray.remote(Desk).options(num_cpus=0, max_concurrency=8, scheduling_strategy=here)
        self.ledger = Ledger(self.root / trials[0].suite)
        self.desk = actor.remote(str(self.ledger.folder / "trials"))
        self.remote = self.ray.remote(task)

    def _lacking(self) -> str:
        alive = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        cores = max((int(resources.get("CPU", 0)) for resources in alive), default=0)
        if self.device == "cuda":
            return f"no node of the cluster has a GPU ({len(alive)} nodes). Use --device cpu, or add a node with one"
        wanted = f"{self.threads} core{'s' * (self.threads > 1)}"
        return f"a trial needs {wanted}, and no node of the cluster has so many (the largest has {cores})"

    def _sent(self, folder: Path) -> Iterator[Any]:
        listing = list_folder(folder)
        names = [str(Path(job.path).relative_to(listing.folder)) for _, job in listing.members()]
        print(f"{folder}: {len(names)} files travel to each node once", file=sys.stderr, flush=True)
        for piece in packed(listing.folder, [*names, *(["manifest.json"] if listing.manifest else [])]):
            yield self.ray.put(piece)

    def start(self, job: Job) -> ClusterAttempt:
        """Hand a trial to Ray."""
        attempt = ClusterAttempt(self, job)
        self.under_way = [other for other in self.under_way if other.over is None] + [attempt]
        return attempt

    def submitted(self, job: Job) -> Any:
        """The task of a job, in Ray's queue."""
        name = job.trial.name
        self.ray.get(self.desk.expect.remote(name))
        plugins = [(Path(file).name, Path(file).read_text(encoding="utf-8")) for file in job.plugins]
        description = {
            **job.described(Path(), self.device, 1, self.per_gpu > 1), "plugins": plugins, "versions": versions(),
        }  # fmt: skip
        needs = {"num_gpus": 1 / self.per_gpu} if self.device == "cuda" else {"num_cpus": job.trial.compute.threads}
        options = self.remote.options(name=name, max_retries=RETRIES, **needs)
        return options.remote(description, self.desk, self.faces.get(job.trial.fingerprint))

    def has_ended(self, reference: Any) -> bool:
        """Whether a task is over, as seen a moment ago."""
        self._look()
        return reference in self.ready

    def runs(self, name: str) -> bool:
        """Whether a node works on a trial, as seen a moment ago."""
        self._look()
        return name in self.running

    def _look(self) -> None:
        if time.monotonic() - self.looked < LOOK_S:
            return
        self.looked = time.monotonic()
        tasks = [attempt.task for attempt in self.under_way if attempt.over is None]
        self.ready = set(self.ray.wait(tasks, num_returns=len(tasks), timeout=0)[0]) if tasks else set()
        self.running = self.ray.get(self.desk.running.remote(), timeout=GONE_S)


class ClusterAttempt:
    """A job in Ray's hands. Its folder in the ledger is held by this process until it is over."""

    def __init__(self, place: ClusterExecutor, job: Job) -> None:
        self.place, self.job = place, job
        self.over: Ended | None = None
        self.task: Any = None
        self.claim = contextlib.ExitStack()
        try:
            self.claim.enter_context(claim_trial(job.folder))
            self.task = place.submitted(job)
        except Busy:
            self.over = Ended("another process has the trial", busy=True)

    @property
    def began(self) -> bool:
        """Whether a node works on it."""
        return self.over is None and self.place.runs(self.job.trial.name)

    def ended(self) -> Ended | None:
        """How it ended. EnvironmentProblem when a node's code, versions or environment are not those of this run."""
        if self.over is None and self.place.has_ended(self.task):
            self._settle()
        return self.over

    def _settle(self) -> None:
        errors = self.place.ray.exceptions
        try:
            result = self.place.ray.get(self.task)
        except errors.RuntimeEnvSetupError as error:
            self._end(Ended(lost(error)))
            raise EnvironmentProblem(f"a node cannot set the code up: {lost(error)}") from None
        except errors.RayError as error:
            self._end(Ended(lost(error)))
            return
        if result["unfit"]:
            self._end(Ended(result["reason"]))
            raise EnvironmentProblem(
                f"the node {result['node']} refuses {self.job.trial.name}: {result['reason']}. Give all nodes the "
                "libraries, plugins and weights of this one; the same command then goes on"
            )
        broken = self._written(result["record"]) if result["record"] else ""
        self._end(Ended(broken or f"on the node {result['node']}: {result['reason']}", result["busy"]))

    def _written(self, values: Mapping[str, Any]) -> str:
        """Enter a record that came back into the ledger; what is wrong with it, or with the files that it knows."""
        trial, folder = self.job.trial, self.job.folder
        try:
            content = verified(values)
        except Damaged as error:
            return f"its record came back damaged: {error}"
        content.pop("schema_version")
        # Where the node had an own folder of faces is of no interest here.
        spec, source = trial.spec.model_dump(mode="json"), {"source": trial.spec.data.source}
        record = replace(Record(**content), spec=spec, data={**content["data"], **source} if content["data"] else {})
        if record.status == "done":
            for name in manifest_of(folder).keys() - record.files.keys():  # the node has dropped it
                (folder / name).unlink()
            if changed := [n for n, sha in manifest_of(folder).items() ^ record.files.items()]:
                return f"{sorted(set(changed))[0]} did not come back as it was"
        Ledger(folder.parent.parent).write(record, index=False)
        if record.status == "done":
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)
        return ""

    def _end(self, how: Ended) -> None:
        self.over = how
        self.place.ray.get(self.place.desk.close.remote(self.job.trial.name))
        self.claim.close()

    def stop(self) -> None:
        """Ask it to leave; one that has not begun is taken out of the queue."""
        if self.over is None and not self.place.ray.get(self.place.desk.stop.remote(self.job.trial.name)):
            self.kill()

    def kill(self) -> None:
        """Have Ray end it, and take nothing of it any more."""
        if self.over is None:
            self.place.ray.cancel(self.task, force=True)
            self._end(Ended("it was ended"))


def lost(error: BaseException) -> str:
    """Why Ray gave a trial up, in one line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"Ray gave it up: {type(error).__name__}: {first}"[:300]
