"""`harness bench --gpu-report`, `--overhead` and `--packing`: what they print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import terminal
from harness.errors import EnvironmentProblem

QUICK = ("data.frames=64", "data.eval_frames=8", "score.previews=0")
PACKED = (  # the quick scale of the bottleneck suite, 3x3 cells
    "model.variant=grid", "model.grid=3", "model.width=32", "model.channels=128", "model.logvar_start=-6.0",
    "data.size=64", "optim.batch=8", "loss.face_l1=1.0", "loss.gradient=1.0", "loss.dssim=1.0", "loss.kl=0.005",
    "loss.latent_statistics=0.05", *QUICK,
)  # fmt: skip


def gpu(
    device: str,
    sizes: Sequence[int] | None,
    batch: int | None,
    blocks: int,
    steps: int,
    settings: Sequence[str],
    root: Path,
    json: bool,
) -> None:
    """Measure a GPU; on a CPU only when it is asked for by name. EnvironmentProblem without a GPU."""
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise EnvironmentProblem(
            "--gpu-report: this machine has no usable CUDA device, so nothing of a GPU was measured. Run it where there"
            " is one, or with --device cpu and small sizes to try the command"
        )
    from harness.bench import gpu as bench

    place = torch.device("cpu" if device == "cpu" else "cuda")
    record = bench.report(place, root, sizes or bench.SIZES, batch or bench.BATCH, blocks, steps, settings,
                          say=(lambda _: None) if json else terminal.say)  # fmt: skip
    if _kept(record, root, json):
        return
    if not record["measured_a_gpu"]:
        print("On a CPU: the command was tried, NOTHING OF A GPU WAS MEASURED.")
    terminal.table(bench.table(record))
    print(f"{record['device']}, {record['precision']}; measured peak {record['peak_flops'] / 1e12:.4g} TFLOP/s")
    print(f"LPIPS-VGG: {record['lpips_trunk']}; compiled by {record['compiled_by']}, one graph, no recompilation")
    for size, found in record["sizes"].items():
        for note in found["notes"]:
            print(f"{size} px: {note}")
        if found["void"]:
            print(f"{size} px: VOID as throughput: " + "; ".join(found["void"]))
    for left in record["skipped"]:
        print(f"left out: {left}")


def overhead(folder: Path, root: Path, json: bool) -> None:
    """Shares of the trials of a ledger: a folder, or the name of a suite under `root`."""
    from harness.bench import overhead as bench

    folder = folder if folder.is_dir() else root / folder
    record = bench.measure(folder)
    if _kept(record, root, json):
        return
    terminal.table(bench.table(record))
    print("medians over trials; % are of training")
    print(*bench.verdicts(record), sep="\n")
    print(*(f"left out: {line}" for line in record["left_out"]), sep="\n", end="\n" if record["left_out"] else "")


def packing(threads: int | None, blocks: int, steps: int, settings: Sequence[str], root: Path, json: bool) -> None:
    """One trial on all cores against one on each; `threads`: as if the machine had so many cores."""
    from harness.bench import packing as bench
    from harness.execute.devices import cores
    from harness.suite.settings import from_options, resolve
    from harness.suite.yamlfile import Where

    count = threads or cores()
    if count < 2:
        raise EnvironmentProblem("--packing: there is one core, so there is nothing to choose")
    spec = resolve(from_options([*PACKED, *settings]), Where("--packing"))
    record = bench.measure(spec, root, count, blocks, steps)
    if _kept(record, root, json):
        return
    for name, rate in record["images_per_s"].items():
        print(f"{name:20} {rate:8.1f} images/s")
    ratio = record["jobs_are_better"]
    interval = f"{ratio['low']:.2f} to {ratio['high']:.2f}, {ratio['pairs']} pairs"
    print(f"{count} trials at once finish {ratio['ratio']:.2f} times as much as one after the other ({interval})")
    for reason in record["void"]:
        print(f"rates VOID (the ratio is paired and stands): {reason}")


def verbs(root: Path, json: bool) -> None:
    """What every verb that trains nothing costs here; those that read results, on the first suite under `root`."""
    from harness.bench import verbs as bench

    rows = []
    for verb in bench.verbs(root):
        found = bench.start(verb).to_dict()
        rows.append({**found, "imports": " ".join(found["imports"])})
        if not json:
            print(
                f"{found['cpu_s']:6.2f} s  harness {found['verb']}  ({rows[-1]['imports'] or 'nothing heavy'})",
                flush=True,
            )
    if json:
        terminal.as_json({"verbs": rows})


def _kept(record: Mapping[str, Any], root: Path, json: bool) -> bool:
    """Write the record under root/bench; True when it was printed as JSON as well."""
    from harness.bench.measure import save

    file = save(record, root)
    if json:
        terminal.as_json(record)
    else:
        terminal.say(str(file))
    return json
