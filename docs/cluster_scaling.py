"""How throughput grows with nodes: `python docs/cluster_scaling.py` prints the table of docs/cluster.md.

The nodes are those of Ray's test cluster, all on this machine, with one core each. Trials that sleep take no core, so
that what is seen is what a cluster costs: finding a place, fetching, beats, bringing all back. A first trial on each
node imports what is needed; it is not counted.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

os.environ |= {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_worker_niceness": "0"}
NODES, EACH, SLEEP_S = (1, 2, 4), 2, 30.0
PLUGIN = f"""\
import time
from harness import loss

@loss("sleep")
class Sleep:
    \"\"\"Adds nothing, and sleeps in the second step.\"\"\"
    def __call__(self, step):
        if step.number == 2:
            time.sleep({SLEEP_S})
        return 0 * step.rec["src"].mean()
"""
SUITE = """\
suite: {name}
question: How much does the cluster cost?
data: {{pair: near, frames: 20, eval_frames: 6, size: 16, render_supersample: 1}}
base:
  model: {{variant: grid, width: 4, channels: 4}}
  loss: {{l1: 1.0, sleep: 1.0}}
  optim: {{steps: 4, batch: 6, precision: fp32}}
  score: {{previews: 1}}
seeds: {seeds}
metrics: [identity]
scales: {{quick: {{}}}}
"""


def seconds(root: Path, name: str, count: int, address: str) -> float:
    """What so many sleeping trials take on the cluster, in all."""
    from harness.execute import run_plan
    from harness.execute.cluster import ClusterExecutor
    from harness.suite.suite import load
    from harness.trials.trial import trials

    file = root / f"{name}.yaml"
    file.write_text(SUITE.format(name=name, seeds=list(range(count))))
    todo = trials(load(file), "quick")
    began = time.monotonic()
    records = run_plan(todo, root=root, executor=ClusterExecutor(root, address, "cpu"))
    assert [record.status for record in records] == ["done"] * count, [record.reason for record in records]
    return time.monotonic() - began


def measure(root: Path, nodes: int) -> float:
    """Seconds of EACH trials on each of so many nodes."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for number in range(nodes):
            cluster.add_node(num_cpus=1, env_vars={"HARNESS_SCRATCH": str(root / f"node{nodes}-{number}")})
        seconds(root, f"first{nodes}", nodes, cluster.address)
        took = seconds(root, f"then{nodes}", EACH * nodes, cluster.address)
        if nodes == NODES[-1]:
            print(f"\n{desk(root)}\n", flush=True)
        return took
    finally:
        ray.shutdown()
        cluster.shutdown()


def desk(root: Path) -> str:
    """What one desk takes in from two workers on this machine, once connected."""
    import ray

    from harness.execute.desk import PIECE, Desk

    actor = ray.remote(Desk).options(num_cpus=0, max_concurrency=8).remote(str(root))

    @ray.remote(num_cpus=0)
    def worker(name: str, beats: int, pieces: int) -> None:
        ray.get(actor.expect.remote(name))
        ray.get(actor.begin.remote(name, "one"))
        for start in range(0, beats, 50):
            ray.get([actor.beat.remote(name, "one", b"{}") for _ in range(start, start + 50)])
        piece = ray.put(bytes(PIECE))
        for number in range(pieces):
            ray.get(actor.take.remote(name, "one", "a.bin", number * PIECE, piece, number == pieces - 1))

    def seconds(beats: int, pieces: int) -> float:
        began = time.monotonic()
        ray.get([worker.remote(name, beats, pieces) for name in ("one", "two")])
        return time.monotonic() - began

    for name in ("one", "two"):
        (root / name).mkdir()
    seconds(50, 1)
    beats, content = 2 * 2000 / seconds(2000, 0), 2 * 30 * PIECE / seconds(0, 30)
    return f"one desk: {beats:.0f} beats a second, {content / 1e6:.0f} MB a second"


def main() -> None:
    """Print the table."""
    from harness.registry import load_plugin

    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder) / "sleep.py"
        plugin.write_text(PLUGIN)
        load_plugin(plugin)
        print("| nodes | trials | seconds | trials a minute | of ideal | beyond the sleep, a trial |")
        print("|---|---|---|---|---|---|")
        for nodes in NODES:
            took = measure(Path(folder), nodes)
            rate, ideal = 60 * EACH * nodes / took, EACH * SLEEP_S / took
            beyond = took / EACH - SLEEP_S
            print(f"| {nodes} | {EACH * nodes} | {took:.0f} | {rate:.2f} | {ideal:.0%} | {beyond:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
