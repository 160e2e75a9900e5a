"""`harness bench`: how fast variants train and swap here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RESULTS, Results
from harness.errors import EnvironmentProblem, UsageError

BASE = (
    "data.frames=64",
    "data.eval_frames=8",
    "loss.face_l1=1.0",
    "loss.gradient=1.0",
    "loss.dssim=1.0",
    "loss.kl=0.005",
    "loss.latent_statistics=0.05",
    "score.previews=0",
)


def bench(
    variants: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VARIANT]...", help="Such as `grid`, or with options: `grid:grid=5,upsample=convt`."),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(min=8, max=2048, help="Image side; 64 on a CPU, 256 on a GPU. Several with --gpu-report."),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, max=4096, help="Images of each person a step.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, max=256, help="CPU threads; torch's own choice.")] = None,
    blocks: Annotated[int, typer.Option(min=2, max=1000, help="Readings of each arm.")] = 9,
    steps: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Steps a reading; 5, or 20 with --gpu-report and --packing.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the specification.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to compute.")] = "auto",
    cold: Annotated[bool, typer.Option("--cold/--no-cold", help="Also time the start of a fresh process.")] = True,
    results: Results = RESULTS,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE.py", help="A file with variants or losses of your own.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")] = False,
    gpu_report: Annotated[
        bool, typer.Option("--gpu-report", help="One GPU at 256 and 512 px, with and without LPIPS, in 10 minutes.")
    ] = False,
    overhead: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the time of this ledger's trials went, as shares.")
    ] = None,
    packing: Annotated[
        bool, typer.Option("--packing", help="One trial on all cores, or one on each: which is faster here.")
    ] = False,
    verbs: Annotated[
        bool, typer.Option("--verbs", help="CPU seconds of every verb that trains nothing, on --results, and why.")
    ] = False,
) -> None:
    """Measure variants in turn: kernels, training loop, latency, cold start, memory, FLOPs, share of the peak."""
    from harness import terminal
    from harness.cli import bench_reports as reports
    from harness.registry import load_plugin
    from harness.suite.settings import from_options, resolve
    from harness.suite.yamlfile import Where

    for file in plugin or ():
        load_plugin(file)
    if (gpu_report + packing + verbs + (overhead is not None) + bool(variants)) > 1:
        raise UsageError("bench: give one of VARIANT, --gpu-report, --overhead, --packing and --verbs")
    if verbs:
        return reports.verbs(results, json)
    if overhead is not None:
        return reports.overhead(overhead, results, json)
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: expected auto, cpu or cuda")
    import torch

    if threads:
        torch.set_num_threads(threads)
    if gpu_report:
        return reports.gpu(device, size, batch, blocks, steps or 20, set_ or [], results, json)
    if packing:
        return reports.packing(threads, blocks, steps or 20, set_ or [], results, json)
    if len(size or ()) > 1:
        raise UsageError("--size: several only with --gpu-report")
    if device == "cuda" and not torch.cuda.is_available():
        raise EnvironmentProblem("--device cuda: this machine has no usable CUDA device. Use --device cpu")
    place = torch.device("cuda" if torch.cuda.is_available() and device != "cpu" else "cpu")
    sizes = [f"data.size={size[0] if size else (256 if place.type == 'cuda' else 64)}"]
    sizes.append(f"optim.batch={batch or (32 if place.type == 'cuda' else 8)}")
    specs = {}
    for text in variants or ["grid"]:
        layers = [*BASE, *sizes, *options_of(text), *(set_ or [])]
        specs[text] = resolve(from_options(layers), Where(f"VARIANT {text}"))
    from harness.bench.measure import bench as measure
    from harness.bench.measure import save, table

    say = (lambda _: None) if json else terminal.say
    record = measure(specs, place, results, blocks, steps or 5, cold, say=say)
    file = save(record, results)
    if json:
        terminal.as_json(record)
        return
    rows = table(record)
    names = list(rows[0])
    for columns in (names[:5], [names[0], *names[5:]]):
        terminal.table(rows, columns)
        print()
    for name, ratio in record["ratios"].items():
        interval = f"{ratio['low']:.3g} to {ratio['high']:.3g}, {ratio['pairs']} pairs"
        print(f"{name} is {ratio['times_as_fast']:.3g} times as fast as {next(iter(specs))} ({interval})")
    peak = ", ".join(f"{value / 1e9:.4g} GFLOP/s {kind}" for kind, value in record["peak_flops"].items())
    print(f"{record['threads']} thread(s) on {place.type}; measured peak {peak}")
    if record["void"]:
        print("VOID as throughput: " + "; ".join(record["void"]))
    print(file)


def options_of(text: str) -> list[str]:
    """`grid:grid=5,upsample=convt` -> the settings that choose the variant `grid` with these options."""
    name, _, rest = text.partition(":")
    found = [f"model.variant={name}"]
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{text!r}: {part!r} is not readable. Expected NAME:OPTION=VALUE,OPTION=VALUE")
        found.append(f"model.{key.strip()}={value}")
    return found
