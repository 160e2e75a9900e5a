"""What a GPU reaches, in one command: kernels and training loop at 256 and 512 px, without LPIPS, with it, compiled.

Everything here runs on a CPU as well, at small sizes: a test does so. Figures of a CPU say nothing of a GPU, and the
record says which it was.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from harness.bench import energy, perceptual
from harness.bench.counts import count_step
from harness.bench.loop import LoopArm
from harness.bench.measure import SCHEMA_VERSION, block_of, rates_of
from harness.bench.peak import matmul_flops
from harness.bench.step import StepArm, synchronise
from harness.bench.timing import Summary, Watch, interleaved
from harness.data import batches
from harness.data.store import open_store
from harness.execute.memory import keep_freed_memory
from harness.ledger import environment
from harness.spec import Spec
from harness.suite.settings import from_options, resolve
from harness.suite.yamlfile import Where

SIZES, BATCH, MINUTES = (256, 512), 32, 10.0
REFERENCE = (  # the suites' paper scale: the topology and the objective of the source, without its perceptual term
    "model.variant=grid", "model.grid=3", "model.width=32", "model.channels=1024", "model.logvar_start=0.0",
    "data.frames=64", "data.eval_frames=8", "loss.face_l1=1.0", "loss.kl=0.2", "loss.latent_statistics=0.05",
    "optim.lr=2.0e-4", "score.previews=0",
)  # fmt: skip
PLAIN, EAGER, COMPILED, HOST = "without LPIPS", "LPIPS", "LPIPS compiled", "LPIPS compiled, data on host"


class OutOfTime(Exception):
    """The minutes are used up; what follows is left out and listed."""


def report(
    device: torch.device,
    root: Path,
    sizes: Sequence[int] = SIZES,
    batch: int = BATCH,
    blocks: int = 9,
    steps: int = 20,
    settings: Sequence[str] = (),
    minutes: float = MINUTES,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The record, JSON values only: for each size and arm the rates, share of the peak, memory, energy.

    `blocks` readings of `steps` steps. A batch that does not fit is halved for all arms of its size, and said. What
    would begin after `minutes` is left out and listed in `skipped`.
    """
    keep_freed_memory()
    cuda = device.type == "cuda"
    precision = "bf16" if not cuda or torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    ends = time.monotonic() + 60 * minutes
    random, backend = perceptual.weights_are_random(), "inductor" if cuda else "aot_eager"
    record: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "gpu-report",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if cuda else "cpu",
        "measured_a_gpu": cuda,
        "precision": precision,
        "peak_flops": float(f"{matmul_flops(precision, device):.4g}"),
        "lpips_trunk": "random (the published weights are absent): same arithmetic" if random else "published weights",
        "compiled_by": backend,
        "blocks": blocks,
        "steps_a_block": steps,
        "sizes": {},
        "skipped": [],
        "environment": environment.capture(),
    }
    with perceptual.registered() as lpips:
        for size in sizes:
            base = [*REFERENCE, f"data.size={size}", f"optim.precision={precision}", *settings]
            with_lpips = [*base, f"loss.{lpips}.random={str(random).lower()}"]
            arms = {PLAIN: base, EAGER: with_lpips, COMPILED: [*with_lpips, f"loss.{lpips}.backend={backend}"]}
            record["sizes"][str(size)] = _size(arms, size, batch, device, root, blocks, steps, ends, record, say)
    return record


def _spec(options: Sequence[str], batch: int, steps: int) -> Spec:
    sized = [f"optim.batch={batch}", f"optim.steps={steps}", "optim.warmup=0"]
    return resolve(from_options([*options, *sized]), Where("--gpu-report"))


def _size(
    arms: dict[str, list[str]],
    size: int,
    batch: int,
    device: torch.device,
    root: Path,
    blocks: int,
    steps: int,
    ends: float,
    record: dict[str, Any],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """One picture size: {"batch", "notes", "void", "arms": {name: figures}}."""
    found: dict[str, Any] = {"batch": batch, "notes": [], "void": [], "arms": {name: {} for name in (*arms, HOST)}}
    total = steps * (blocks + 4)
    try:
        while True:
            _in_time(ends)
            say(f"{size} px, batch {batch} + {batch}: kernels")
            try:
                _kernels({n: _spec(o, batch, total) for n, o in arms.items()}, device, blocks, steps, record, found)
                break
            except torch.OutOfMemoryError:
                if batch == 1:
                    raise
                batch //= 2
                found["notes"].append(f"out of memory: batch {batch} instead of {2 * batch}")
            torch.cuda.empty_cache()  # outside the handler: the exception holds the frames, and they the tensors
        found["batch"] = batch
        _in_time(ends)
        say(f"{size} px: training loop")
        _loops({n: _spec(o, batch, total) for n, o in arms.items()}, device, root, blocks, steps, found)
    except OutOfTime:
        record["skipped"].append(f"{size} px: what is missing in the table would have begun after the time was up")
    return found


def _in_time(ends: float) -> None:
    if time.monotonic() > ends:
        raise OutOfTime


def _kernels(
    specs: dict[str, Spec],
    device: torch.device,
    blocks: int,
    steps: int,
    record: dict[str, Any],
    found: dict[str, Any],
) -> None:
    """Steps on a resident batch: rate, share of the peak, memory, energy, first step, waits for the device."""
    cuda, arms = device.type == "cuda", {}
    torch._dynamo.reset()  # another size or batch is another graph, and no recompilation
    for name, spec in specs.items():
        before = _memory(device)
        arms[name] = StepArm(spec, device, record["precision"])
        began = time.perf_counter()
        arms[name]()
        synchronise(device)
        first = time.perf_counter() - began
        waits = host_syncs(arms[name], device)
        row = found["arms"][name] = {"first_step_s": round(first, 3), "host_syncs": waits}
        row["peak_memory_mb"] = round((torch.cuda.max_memory_allocated(device) - before) / 2**20, 1) if cuda else None
        if waits:
            found["notes"].append(f"{name}: the step waits for the device: {waits[0]}")
    with Watch(torch.get_num_threads(), cuda) as watch:
        times = interleaved({name: block_of(arm, steps, device) for name, arm in arms.items()}, blocks)
        joules = {name: _joules(arm, steps, device) for name, arm in arms.items()}
    found["void"] += watch.void(times)
    for name, arm in arms.items():
        seconds, row = Summary.of(times[name]).median / steps, found["arms"][name]
        flops, mine = counted(specs[name], record["precision"]), counted(specs[PLAIN], record["precision"])
        row["kernel_images_per_s"] = rates_of(times[name], arm.images * steps)
        row |= {"step_ms": round(1e3 * seconds, 3), "tflop_a_step": round(flops / 1e12, 4)}
        row["mfu"] = round(flops / seconds / record["peak_flops"], 4)
        row["mfu_without_perceptual"] = round(mine / seconds / record["peak_flops"], 4)
        row["joules_per_image"] = joules[name]


def _loops(
    specs: dict[str, Spec], device: torch.device, root: Path, blocks: int, steps: int, found: dict[str, Any]
) -> None:
    """The training loop itself, on real data: from the device's memory, and from the host's."""
    cuda = device.type == "cuda"
    misses = _misses(device)
    with contextlib.ExitStack() as stack:
        running = {}
        for name, spec in {**specs, HOST: specs[COMPILED]}.items():
            store = open_store(spec.data, 0, root)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            with data_on_host() if name == HOST else contextlib.nullcontext():
                running[name] = stack.enter_context(LoopArm(spec, 0, store, device, folder))
            found["arms"][name]["seconds_to_first_step"] = round(running[name].seconds_to_first, 3)
        with Watch(torch.get_num_threads(), cuda) as watch:
            calls = {name: (lambda arm=arm: arm.advance(steps)) for name, arm in running.items()}
            times = interleaved(calls, blocks)
    crowded = any(reason.startswith("load ") for reason in found["void"])  # its figure differs, the reason does not
    found["void"] += [reason for reason in watch.void(times) if not (crowded and reason.startswith("load "))]
    if _misses(device) > misses:
        found["void"].append("the training loop fell back to a smaller micro-batch")
    for name, values in times.items():
        found["arms"][name]["loop_images_per_s"] = rates_of(values, 2 * specs[PLAIN].optim.batch * steps)


def counted(spec: Spec, precision: str) -> int:
    """FLOPs of one step, counted with an eager LPIPS of a random trunk: neither changes them."""
    loss = {}
    for name, term in spec.loss.items():
        options = {"random": True, "backend": "none"} if name == perceptual.NAME else {}
        loss[name] = term.model_copy(update=options)
    return count_step(spec.model_copy(update={"loss": loss}), precision).flops


@contextlib.contextmanager
def data_on_host() -> Iterator[None]:
    """Training that begins within the block leaves its images in the host's memory."""
    share, batches.RESIDENT_SHARE = batches.RESIDENT_SHARE, 0.0
    try:
        yield
    finally:
        batches.RESIDENT_SHARE = share


def host_syncs(arm: StepArm, device: torch.device) -> list[str]:
    """Where one step makes the host wait for a GPU: file and line as CUDA's own check tells; empty on a CPU."""
    if device.type != "cuda":
        return []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            arm()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    told = [w for w in caught if "synchroniz" in str(w.message)]
    return sorted({f"{Path(w.filename).name}:{w.lineno}" for w in told})


def _joules(arm: StepArm, steps: int, device: torch.device) -> float | None:
    before = energy.joules() if device.type == "cuda" else None
    if before is None:
        return None
    block_of(arm, 4 * steps, device)()
    return round(((energy.joules() or before) - before) / (4 * steps * arm.images), 4)


def _memory(device: torch.device) -> int:
    """Bytes in use on the GPU; the highest mark is set anew."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _misses(device: torch.device) -> int:
    """How often the GPU's allocator has run out of memory."""
    return int(torch.cuda.memory_stats(device).get("num_ooms", 0)) if device.type == "cuda" else 0


def table(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows for people; medians."""
    rows = []
    for size, found in record["sizes"].items():
        for name, row in found["arms"].items():
            kernel, loop = row.get("kernel_images_per_s") or {}, row.get("loop_images_per_s") or {}
            shown = {"px": int(size), "batch": found["batch"], "arm": name, "kernels img/s": kernel.get("median")}
            shown |= {"loop img/s": loop.get("median"), "step ms": row.get("step_ms"), "MFU": row.get("mfu")}
            shown |= {"MFU less LPIPS": row.get("mfu_without_perceptual"), "memory MB": row.get("peak_memory_mb")}
            rows.append(shown | {"J/image": row.get("joules_per_image"), "first step s": row.get("first_step_s")})
    return [{k: v for k, v in row.items() if any(other[k] is not None for other in rows)} for row in rows]
