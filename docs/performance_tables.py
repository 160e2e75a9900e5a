"""Fill the tables of docs/performance.md from the figures under results/reference/bench.

    python docs/performance_tables.py [FOLDER]

Files there: peers*.json (`python -m tests.peers.compare --json`, one for each machine), quality.json (with --quality),
time-to.json (with --time-to), leads.json (`python -m tests.peers.leads --json`), and overhead*.json, packing*.json,
gpu-report*.json as `harness bench` writes them; of several the last by name. A table without its file says which
command makes it.
"""

import json
import re
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
PAGE = HOME / "docs" / "performance.md"
IMAGES = 16  # of a step: 8 of each person
AIMS = {"plain": 2.2, "plain, autocast": 1.6}  # times as fast
SOONER = {"plain": 4.0, "plain, autocast": 3.0}  # times sooner as good
MINUTES, TRIALS, QUICK_STEPS = 7, 30, 400  # five grids on six pairs of people
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
    return [*lines(head, rows), "", *short(found), machine(found), *void(found["void"])]


def short(found):
    """How far ours is from as good where no part of the steps was enough."""
    said = []
    for seed, each in found["seeds"].items():
        if each["enough"] or not each.get("ours"):
            continue
        steps, errors = list(each["ours"].items())[-1]
        parts = []
        for key, name in (("rec_error", "reconstruction error"), ("swap_error", "swap error")):
            worst = max(plain[key] for plain in each["plain"].values())
            parts.append(f"{name} {errors[key]:.4f}, of the plain loops at most {worst:.4f}")
        said += [f"Seed {seed}, ours after {steps} steps: {'; '.join(parts)}.", ""]
    return said


def overhead(found):
    rows = []
    for name, row in [*found["cells"].items(), ("all", found["all"])]:
        shares = [row[f"{key}_of_training"] for key in ("score", "previews", "bookkeeping")]
        rows.append([name, row["trials"], row["train_s"], *(100 * s for s in shares),
                     row["start_s"]])  # fmt: skip
    head = ["cell", "trials", "training s", "scoring %", "previews %", "bookkeeping %", "start s, at most"]
    run, where = found["run"], f"Suite {found['suite']}, scale {found['scale']}, {found['jobs']} trials at once."
    whole = f"Together {run['trials']} trials in {run['wall_s'] / 60:.1f} min"
    said = [f"Medians over trials. {where} {machine(found)}",
            f"{whole}; scoring in sum {run['score_of_training']:.1%} of training."]  # fmt: skip
    return [*lines(head, rows), "", *said]


def leads(found):
    rows = [[name, f"{arm['ms']:.1f}", interval(arm["times_as_fast"])] for name, arm in found["arms"].items()]
    head = ["a step of 16 images", "ms", "times as fast as it is"]
    return [*lines(head, rows), "", machine(found), *void(found["void"])]


def layers(found):
    peak = found["peaks"][found["precision"]]
    rows = []
    for row in found["layers"]:
        rate = 1e3 * row["flops"] / row["ms"]
        makes = " x ".join(map(str, row["makes"]))
        rows.append([f"`{row['layer']}`", makes, f"{row['flops'] / 1e9:.3f}", f"{row['ms']:.2f}",
                     f"{rate / 1e9:.0f}", f"{rate / peak:.0%}"])  # fmt: skip
    flops, ms = (sum(row[key] for row in found["layers"]) for key in ("flops", "ms"))
    rows.append(["together", "", f"{flops / 1e9:.3f}", f"{ms:.2f}", f"{flops / ms / 1e6:.0f}",
                 f"{1e3 * flops / ms / peak:.0%}"])  # fmt: skip
    peaks = ", ".join(f"{value / 1e9:.0f} in {name}" for name, value in found["peaks"].items())
    said = f"Peak of a matrix product in the same process, GFLOP/s: {peaks}. {machine(found)}"
    return [*lines(["layer", "makes", "GFLOP", "ms", "GFLOP/s", "of the peak"], rows), "", said]


def aims(found):
    """What was aimed at on two cores, beside what is reached and what it is made of: of the last file of each kind."""
    near, to, spent, lead = (found[name] for name in ("peers", "sooner", "overhead", "layers"))
    run, rows = spent["run"], []
    layers_ms = sum(row["ms"] for row in lead["layers"])
    minutes = {key: run[f"{key}_s"] / 60 / spent["jobs"] for key in ("train", "score")}
    least = run["trials"] * QUICK_STEPS * layers_ms / 60e3 / spent["jobs"]
    made = (
        f"training {minutes['train']:.1f} min of every core, scoring {minutes['score']:.1f}; "
        f"the layers of a 3x3 step alone take {least:.1f}"
    )
    aim = f"{MINUTES} min" if run["trials"] == TRIALS else ""
    rows.append(
        [f"{run['trials']} trials, the rendering of their faces apart", aim, f"{run['wall_s'] / 60:.1f} min", made]
    )
    for name, aim in AIMS.items():
        allowed = 1e3 * IMAGES / near["images_per_s"][name]["median"] / aim
        made = f"{allowed:.0f} ms for a step would do; its layers alone take {layers_ms:.0f}"
        rows.append([f"a step against `{name}`, the same mathematics", f"{aim} times as fast",
                     interval(near["times_as_fast"][name]), made])  # fmt: skip
    for name, aim in SOONER.items():
        ratio = to["times_as_fast"][name]
        times = [ratio["ratio"] * to["steps"] / each["enough"] for each in to["seeds"].values() if each["enough"]]
        reached = f"{min(times):.2f} to {max(times):.2f}" if times else "never"
        steps = ", ".join(str(each["enough"] or "more") for each in to["seeds"].values())
        rows.append([f"as good as `{name}` after {to['steps']} steps", f"{aim:.0f} times sooner",
                     f"{reached}, {len(times)} of {len(to['seeds'])} pairs", f"steps needed: {steps}"])  # fmt: skip
    rows.append(["start to first step, at most", "1.5 s", f"{spent['all']['start_s']:.1f} s", ""])
    rows.append(["scoring, ladders of the metrics included", "6 % of training", f"{run['score_of_training']:.1%}",
                 f"median trial: {spent['all']['score_of_training']:.1%}"])  # fmt: skip
    return [*lines(["on two cores", "aim", "reached", "what it is made of"], rows), "", machine(near)]


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
    "leads": (leads, "leads.json", "python -m tests.peers.leads --json results/reference/bench/leads.json"),
    "layers": (layers, "leads.json", "python -m tests.peers.leads --json results/reference/bench/leads.json"),
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
    last = {}
    for name, (write, pattern, command) in TABLES.items():
        files = sorted(folder.glob(pattern))
        shown = [json.loads(file.read_text()) for file in (files if name == "peers" else files[-1:])]
        if name == "gpu":  # a trial of the command on a CPU is no figure of a GPU
            shown = [found for found in shown if found["measured_a_gpu"]]
        last |= {name: shown[-1]} if shown else {}
        body = "\n\n".join("\n".join(write(found)) for found in shown)
        page = block(page, name, body or f"**Not measured yet.** `{command}` makes the figures.")
    whole = last.keys() >= {"peers", "sooner", "overhead", "layers"}
    return block(page, "aims", "\n".join(aims(last)) if whole else "**Not measured yet.** The commands stand below.")


def block(page, name, body):
    """The page with one block of this name written anew."""
    marked = f"<!-- {name} -->\n{body}\n<!-- /{name} -->"
    page, count = re.subn(f"<!-- {name} -->.*?<!-- /{name} -->", lambda _: marked, page, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{PAGE}: expected one block <!-- {name} -->, found {count}")
    return page


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    PAGE.write_text(filled(PAGE.read_text(), folder))
