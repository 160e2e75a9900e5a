"""Fill the tables of docs/performance.md from the figures under results/reference/bench.

    python docs/performance_tables.py [FOLDER]

Files there: peers*.json (`python -m tests.peers.compare --json`, one for each machine), quality.json (with --quality),
time-to.json (with --time-to), and overhead*.json, packing*.json, gpu-report*.json as `harness bench` writes them; of
several of these the last by name. A table without its file says which command makes it.
"""

import json
import re
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "performance.md"
IMAGES = 16  # of a step: 8 of each person
AIMS = {"plain": 2.2, "plain, autocast": 1.6}  # times as fast
FOLDER = HOME / "results" / "reference" / "bench"


def number(value):
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def lines(head, rows):
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(map(number, r))} |" for r in rows)]


def interval(r):
    return f"{r['ratio']:.2f} ({r['low']:.2f} to {r['high']:.2f}, {r['pairs']} pairs)"


def void(reasons):
    return [f"Rates void: {reason}." for reason in reasons]


def peers(found):
    rows = []
    for name, rate in found["images_per_s"].items():
        ratio = found["times_as_fast"].get(name)
        spread = f"{rate['q25']:.4g} to {rate['q75']:.4g}"
        rows.append([name, rate["median"], spread, interval(ratio) if ratio else ""])
    said = f"{found['threads']} thread(s), blocks of {found['steps_a_block']} steps. {machine(found)}"
    return [*lines(["loop", "images/s", "quartiles", "ours is so many times as fast"], rows), "", said,
            *void(found["void"]), *roofline(found)]  # fmt: skip


def roofline(found):
    """How long a step of ours takes at least, beside how long it takes and how long the aims would let it take."""
    bound, rate = found.get("roofline"), found["images_per_s"]
    if not bound:
        return []
    step = {name: 1e3 * IMAGES / each["median"] for name, each in rate.items()}
    aims = [f"{n} times as fast as `{name}` would be {step[name] / n:.0f} ms" for name, n in AIMS.items()]
    return [
        "",
        f"Roofline, measured in the same process: a step of {IMAGES} images counts {bound['flops'] / 1e9:.2f} GFLOP in",
        f"{bound['precision']}, {bound['arithmetic_ms']:.0f} ms at the peak of a matrix product "
        f"({bound['peak_flops'] / 1e9:.0f} GFLOP/s), and {bound['bytes'] / 1e9:.2f} GB of operands,",
        f"{bound['bytes_ms']:.0f} ms if every one came from memory ({bound['copied_bytes_per_s'] / 1e9:.0f} GB/s). "
        f"Ours takes {step['ours']:.0f} ms; {', '.join(aims)}.",
    ]


def quality(found):
    arms = {name: errors for name, errors in found.items() if isinstance(errors, dict) and "rec_error" in errors}
    rows = [[name, errors["rec_error"], errors["swap_error"]] for name, errors in arms.items()]
    return lines(["loop", "reconstruction error", "swap error"], rows)


def sooner(found):
    rows = []
    for seed, each in found["seeds"].items():
        for name, ratio in found["times_as_fast"].items():
            said = "none"
            if each["enough"]:
                value, low, high = (ratio[key] * found["steps"] / each["enough"] for key in ("ratio", "low", "high"))
                said = f"{value:.2f} ({low:.2f} to {high:.2f})"
            rows.append([seed, name, found["steps"], each["enough"] or "more", f"{ratio['ratio']:.2f}", said])
    head = ["seed", "loop", "its steps", "steps of ours", "its time for a step / ours", "ours is so many times sooner"]
    return [*lines(head, rows), "", machine(found), *void(found["void"])]


def overhead(found):
    rows = []
    for name, row in [*found["cells"].items(), ("all", found["all"])]:
        shares = [row[f"{key}_of_training"] for key in ("score", "previews", "bookkeeping")]
        rows.append([name, row["trials"], row["train_s"], *(100 * s for s in shares),
                     row["start_s"]])  # fmt: skip
    head = ["cell", "trials", "training s", "scoring %", "previews %", "bookkeeping %", "start s, at most"]
    return [*lines(head, rows), "", f"Suite {found['suite']}, scale {found['scale']}, {found['jobs']} trials at once."]


def packing(found):
    rows = [[name, rate] for name, rate in found["images_per_s"].items()]
    said = f"{found['cores']} trials at once finish {interval(found['jobs_are_better'])} times as much."
    return [*lines(["packing", "images/s"], rows), "", said, *void(found["void"])]


def gpu(found):
    rows, said = [], []
    for size, one in found["sizes"].items():
        for name, row in one["arms"].items():
            kernel, loop = row.get("kernel_images_per_s") or {}, row.get("loop_images_per_s") or {}
            rows.append([size, one["batch"], name, kernel.get("median"), loop.get("median"), row.get("mfu"),
                         row.get("peak_memory_mb"), row.get("joules_per_image")])  # fmt: skip
        said += void(one["void"]) + one["notes"]
    head = ["px", "batch", "step", "kernels images/s", "loop images/s", "MFU", "memory MB", "J/image"]
    return [*lines(head, rows), "", f"{found['device']}. LPIPS trunk: {found['lpips_trunk']}.", *said]


TABLES = {
    "peers": (
        peers,
        "peers*.json",
        "python -m tests.peers.compare --blocks 24 --json results/reference/bench/peers.json",
    ),
    "quality": (
        quality,
        "quality.json",
        "python -m tests.peers.compare --quality 300 --json results/reference/bench/quality.json",
    ),
    "sooner": (
        sooner,
        "time-to.json",
        "python -m tests.peers.compare --time-to 400 --blocks 12 --json results/reference/bench/time-to.json",
    ),
    "overhead": (overhead, "overhead*.json", "harness bench --overhead DIR"),
    "packing": (packing, "packing*.json", "harness bench --packing"),
    "gpu": (gpu, "gpu-report*.json", "harness bench --gpu-report"),
}


def machine(found):
    known = found.get("environment") or {}
    commit = str((known.get("git") or {}).get("commit") or "")[:7]
    edited = " with edits" if (known.get("git") or {}).get("dirty") else ""
    return f"{known.get('cpu') or ''}{f', at commit {commit}{edited}' if commit else ''}"


def filled(page, folder):
    """The page with each block between `<!-- NAME -->` and `<!-- /NAME -->` written anew."""
    for name, (write, pattern, command) in TABLES.items():
        files = sorted(folder.glob(pattern))
        shown = [json.loads(file.read_text()) for file in (files if name == "peers" else files[-1:])]
        if name == "gpu":  # a trial of the command on a CPU is no figure of a GPU
            shown = [found for found in shown if found["measured_a_gpu"]]
        body = "\n\n".join("\n".join(write(found)) for found in shown)
        body = body or f"**Not measured yet.** `{command}` makes the figures."
        block, count = re.subn(
            f"<!-- {name} -->.*?<!-- /{name} -->",
            lambda _, name=name, body=body: f"<!-- {name} -->\n{body}\n<!-- /{name} -->",
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{PAGE}: expected one block <!-- {name} -->, found {count}")
        page = block
    return page


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    PAGE.write_text(filled(PAGE.read_text(), folder))
