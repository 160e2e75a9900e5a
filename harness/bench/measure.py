"""The whole measurement of some specifications: arms in turn, one table, one JSON record with its environment."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from harness.bench import energy
from harness.bench.cold import cold_start
from harness.bench.counts import count_step
from harness.bench.loop import LoopArm
from harness.bench.peak import matmul_flops
from harness.bench.step import StepArm, latency, synchronise
from harness.bench.timing import Summary, Watch, interleaved, ratio_of
from harness.compute import choose_compute
from harness.data.store import open_store
from harness.execute.memory import keep_freed_memory
from harness.files import hash_of, write_json
from harness.ledger import environment
from harness.spec import Spec

SCHEMA_VERSION = 1
PERCEPTUAL = ("lpips", "perceptual")


def bench(
    specs: Mapping[str, Spec],
    device: torch.device,
    root: Path,
    blocks: int = 9,
    steps: int = 5,
    cold: bool = True,
    loop: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure each specification; the arms take turns block by block. Returns the record, JSON values only.

    `blocks` blocks of `steps` steps a reading; `cold`: also start a fresh process for each; `loop`: also the real
    training loop on real data, with its batches, history and checkpoints.
    """
    keep_freed_memory()
    threads = torch.get_num_threads()
    precision = {name: choose_compute(spec, device.type).precision for name, spec in specs.items()}
    peaks = {kind: matmul_flops(kind, device) for kind in ("bf16", "fp32")}
    say("kernels")
    arms, joules, memory = {}, {}, {}
    for name, spec in specs.items():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        arms[name] = StepArm(spec, device, precision[name])
        for _ in range(2):
            arms[name]()
        synchronise(device)
        memory[name] = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
    with Watch(threads, device.type == "cuda") as watch:
        kernel = interleaved({name: block_of(arm, steps, device) for name, arm in arms.items()}, blocks)
        for name, arm in arms.items():
            if (before := energy.joules()) is not None:
                block_of(arm, 4 * steps, device)()
                joules[name] = ((energy.joules() or before) - before) / (4 * steps * arm.images)
    void = watch.void(kernel)
    loops: dict[str, list[float]] = {}
    if loop:
        say("training loop")
        with contextlib.ExitStack() as stack:
            running = {}
            for name, spec in specs.items():
                optim = spec.optim.model_copy(update={"steps": steps * (blocks + 4), "precision": precision[name]})
                store = open_store(spec.data, 0, root)
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                whole = spec.model_copy(update={"optim": optim.model_copy(update={"warmup": 0})})
                running[name] = stack.enter_context(LoopArm(whole, 0, store, device, folder))
            with Watch(threads, device.type == "cuda") as watch:
                calls = {name: (lambda arm=arm: arm.advance(steps)) for name, arm in running.items()}
                loops = interleaved(calls, blocks)
        void += [reason for reason in watch.void(loops) if reason not in void]
    rows: dict[str, dict[str, Any]] = {}
    for name, spec in specs.items():
        say(f"{name}: counts, latency" + (", cold start" if cold else ""))
        counts = count_step(spec, precision[name])
        images, seconds = arms[name].images, Summary.of(kernel[name]).median / steps
        plain = spec.model_copy(update={"loss": {k: v for k, v in spec.loss.items() if k not in PERCEPTUAL}})
        without = count_step(plain, precision[name]).flops if plain.loss and plain.loss != spec.loss else counts.flops
        rows[name] = {
            "spec": spec.model_dump(mode="json"),
            "precision": precision[name],
            "kernel_images_per_s": rates_of(kernel[name], images * steps),
            "loop_images_per_s": rates_of(loops[name], images * steps) if loop else None,
            **latency(arms[name], device),
            "counts": counts.to_dict(),
            "step_ms": round(1e3 * seconds, 3),
            "mfu": round(counts.flops / seconds / peaks[precision[name]], 4),
            "mfu_without_perceptual": round(without / seconds / peaks[precision[name]], 4),
            "joules_per_image": joules.get(name),
            "cold_start": cold_start(spec, str(device), threads, precision[name]) if cold else None,
            "peak_memory_mb": memory[name],
        }
        if rows[name]["peak_memory_mb"] is None and cold:
            rows[name]["peak_memory_mb"] = rows[name]["cold_start"]["peak_memory_mb"]
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "bench",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": str(device),
        "threads": threads,
        "blocks": blocks,
        "steps_a_block": steps,
        "peak_flops": {kind: float(f"{value:.4g}") for kind, value in peaks.items()},
        "void": void,
        "variants": rows,
        "ratios": _ratios(loops or kernel),
        "environment": environment.capture(),
    }


def block_of(arm: StepArm, steps: int, device: torch.device) -> Callable[[], None]:
    def run() -> None:
        for _ in range(steps):
            arm()
        synchronise(device)

    return run


def rates_of(seconds: list[float], images: int) -> dict[str, float]:
    return Summary.of([images / s for s in seconds]).to_dict()


def _ratios(times: Mapping[str, list[float]]) -> dict[str, dict[str, float]]:
    """How many times as fast each arm is as the first one, block against block, with a bootstrap interval."""
    first, *others = times
    found = {}
    for name in others:
        ratio = ratio_of(list(zip(times[first], times[name], strict=True)))
        found[name] = {"times_as_fast": ratio.value, "low": ratio.low, "high": ratio.high, "pairs": ratio.pairs}
    return found


def table(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The record's figures as rows for people; medians."""
    rows = []
    for name, row in record["variants"].items():
        loop, cold = row["loop_images_per_s"] or {}, row["cold_start"] or {}
        rows.append(
            {
                "variant": name,
                "kernels img/s": row["kernel_images_per_s"]["median"],
                "loop img/s": loop.get("median"),
                "loop IQR": f"{loop['q25']:.4g}-{loop['q75']:.4g}" if loop else None,
                "n": row["kernel_images_per_s"]["n"],
                "encode ms": row["encode_ms"]["median"],
                "decode ms": row["decode_ms"]["median"],
                "swap ms": row["swap_ms"]["median"],
                "swaps/s": row["swaps_per_s"]["median"],
                "at batch": row["best_batch"],
                "GFLOP/step": row["counts"]["flops"] / 1e9,
                "MFU": row["mfu"],
                "memory MB": row["peak_memory_mb"],
                "J/image": row["joules_per_image"],
                "cold s": cold.get("total_s"),
            }
        )
    return [{k: v for k, v in row.items() if any(other[k] is not None for other in rows)} for row in rows]


def save(record: Mapping[str, Any], root: Path) -> Path:
    """Write the record, under its hash, to root/bench/; returns the file."""
    digest = hash_of(record)
    stamp = record["measured"].replace(":", "").replace("-", "")[:15].lower()
    file = root / "bench" / f"{record['kind']}-{stamp}-{digest[:8]}.json"
    write_json(file, {**record, "sha256": digest})
    return file
