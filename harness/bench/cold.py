"""Cold start: what a fresh process needs from its first import to the end of its first step, and its memory.

`python -m harness.bench.cold SPEC.json DEVICE THREADS PRECISION` prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.errors import EnvironmentProblem


def cold_start(spec: Any, device: str, threads: int, precision: str, timeout_s: float = 300.0) -> dict[str, float]:
    """{"import_s", "build_s", "first_step_s", "total_s", "peak_memory_mb"} of a fresh process; total includes Python.

    `spec`: a Spec. EnvironmentProblem when the process fails.
    """
    from harness import registry

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "spec.json"
        file.write_text(
            json.dumps({"spec": spec.model_dump(mode="json"), "plugins": list(map(str, registry.loaded_plugins()))})
        )
        command = [sys.executable, "-m", "harness.bench.cold", str(file), device, str(threads), precision]
        paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        began = time.perf_counter()
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout_s, check=True, env=environment
            )
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise EnvironmentProblem(f"the cold start failed: {said[-1] if said else error}") from None
        total = time.perf_counter() - began
    return {**json.loads(done.stdout.splitlines()[-1]), "total_s": round(total, 3)}


def _measure(file: str, device: str, threads: int, precision: str) -> dict[str, float]:
    began = time.perf_counter()
    import resource

    import torch

    from harness import registry
    from harness.bench.step import StepArm, synchronise
    from harness.spec import Spec

    torch.set_num_threads(threads)
    imported = time.perf_counter()
    job = json.loads(Path(file).read_text())
    for plugin in job["plugins"]:
        registry.load_plugin(Path(plugin))
    place = torch.device(device)
    arm = StepArm(Spec.model_validate(job["spec"]), place, precision)
    synchronise(place)
    built = time.perf_counter()
    arm()
    synchronise(place)
    ended = time.perf_counter()
    memory = (
        torch.cuda.max_memory_allocated(place) / 2**20
        if place.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    return {
        "import_s": round(imported - began, 3),
        "build_s": round(built - imported, 3),
        "first_step_s": round(ended - built, 3),
        "peak_memory_mb": round(memory, 1),
    }


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
