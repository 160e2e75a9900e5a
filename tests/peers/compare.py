"""Our loop against the plain loop, interleaved in one process: images a second from end to end, and equal quality.

    python -m tests.peers.compare                        speed: blocks of 10 steps, three arms in turn
    python -m tests.peers.compare --quality 600          trains both for 600 steps and scores them on the held-out pairs
    python -m tests.peers.compare --time-to 600          in which time ours gets as good as the plain loop in 600 steps
    python -m tests.peers.compare --threads 2 --json out.json

The suite is `bottleneck` at quick scale, 3x3 cells: 64 px, 8 + 8 images a step. Speed and quality compare the
same mathematics, so ours trains by Adam there as the plain loop does; --time-to lets it train as the suite does. The
plain loader works in the process itself (--workers 0): a worker would go on decoding in the background while our arm
is timed.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch

from harness.bench.counts import count_step
from harness.bench.loop import LoopArm
from harness.bench.peak import copied_bytes, matmul_flops
from harness.bench.timing import Summary, Watch, interleaved, ratio_of
from harness.data.fingerprint import data_fingerprint
from harness.data.store import open_store
from harness.execute.memory import keep_freed_memory
from harness.ledger import environment
from harness.options import build_model
from harness.score.pictures import evaluation_images, outputs
from harness.suite import suite
from harness.trials.trial import matching, trials

from .plain_loop import PlainLoop, with_torchs_layers

ARMS = {"plain": False, "plain, autocast": True}
MARGIN = 0.10  # quality counts as equal when the errors lie within a tenth of each other


PARTS = (0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0)  # of the plain loop's steps, which ours is given


def suite_spec(seed=0, **changes):
    """The 3x3 cell of the bottleneck suite at quick scale; `changes` to sections by keyword."""
    spec = matching(trials(suite.load(suite.find("bottleneck")), "quick"), f"grid3-s{seed}")[0].spec
    return changed(spec, **changes)


def quick_spec(seed=0, **changes):
    """The same as the plain loop can train it: by Adam."""
    return changed(suite_spec(seed, **changes), optim={"algorithm": "adam"})


def changed(spec, **changes):
    values = spec.model_dump(mode="json")
    for section, change in changes.items():
        values[section] |= change
    return type(spec).model_validate(values)


def faces(spec, seed, root):
    """(store, folder of EXR files) of the built-in set, rendered when it is not there."""
    store = open_store(spec.data, seed, root)
    return store, root / "data" / f"faces-{data_fingerprint(spec.data, seed)[:12]}"


def plain(spec, folder, steps, autocast, device, workers=0, seed=0):
    torch.manual_seed(seed)
    use_lpips = spec.loss.get("lpips") is not None and spec.loss["lpips"].weight > 0
    return PlainLoop(
        with_torchs_layers(build_model(spec)), folder, spec, steps, seed, autocast, device, workers, use_lpips
    )


def speed(spec, root, blocks=24, steps=10, device="cpu", workers=0, of_ours=None):
    """Images a second of the three arms, and how many times as fast ours is, with a bootstrap interval.

    `of_ours`: what our arm trains instead of `spec`."""
    length = {"optim": {"steps": 10 * steps * (blocks + 4)}}
    spec, of_ours = changed(spec, **length), changed(of_ours or spec, **length)
    store, folder = faces(spec, 0, root)
    images = 2 * spec.optim.batch * steps
    peers = {name: plain(spec, folder, spec.optim.steps, cast, device, workers) for name, cast in ARMS.items()}
    with (
        tempfile.TemporaryDirectory() as temporary,
        LoopArm(of_ours, 0, store, torch.device(device), Path(temporary)) as ours,
    ):
        arms = {"ours": lambda: ours.advance(steps)}
        for name, peer in peers.items():
            arms[name] = lambda peer=peer: [peer.step() for _ in range(steps)]
        with Watch(torch.get_num_threads(), device == "cuda") as watch:
            times = interleaved(arms, blocks, warmup=2)
        bound = roofline(of_ours, ours.compute.precision, torch.device(device))
    ratios = {n: ratio_of(list(zip(times[n], times["ours"], strict=True))) for n in peers}
    return {
        "images_per_s": {n: Summary.of([images / s for s in t]).to_dict() for n, t in times.items()},
        "times_as_fast": {
            n: {"ratio": r.value, "low": r.low, "high": r.high, "pairs": r.pairs} for n, r in ratios.items()
        },
        "roofline": bound,
        "steps_a_block": steps,
        "threads": torch.get_num_threads(),
        "workers": workers,
        "void": watch.void(times),
    }


def roofline(spec, precision, device):
    """What a step of ours counts, and what this process can do at most, measured just now: the least time of a step."""
    counted = count_step(spec, precision)
    flops, copied = matmul_flops(precision, device), copied_bytes(device)
    return {
        "precision": precision,
        "flops": counted.flops,
        "bytes": counted.bytes,
        "peak_flops": flops,
        "copied_bytes_per_s": copied,
        "arithmetic_ms": 1e3 * counted.flops / flops,
        "bytes_ms": 1e3 * counted.bytes / copied,
    }


def quality(spec, root, steps, device="cpu", seed=0):
    """{arm: {"rec_error", "swap_error"}}: mean absolute errors on the held-out matched pairs after `steps` steps."""
    ours = errors(spec, trained(spec, root, steps, device, seed), root, seed, device)
    return {"ours": ours, **quality_of_peers(spec, root, steps, device, seed)}


def quality_of_peers(spec, root, steps, device, seed):
    spec, found = lasting(spec, steps), {}
    for name, cast in ARMS.items():
        peer = plain(spec, faces(spec, seed, root)[1], steps, cast, device, seed=seed)
        for _ in range(steps):
            peer.step()
        found[name] = errors(spec, peer.model.eval(), root, seed, device)
    return found


def time_to(spec, of_ours, root, steps, device="cpu", seed=0, parts=PARTS):
    """{"plain", "ours": {steps: errors}, "enough": steps}: after how many steps ours is as good as the plain arms are
    after `steps`, each a whole training with its schedule; None when no part of `parts` is enough."""
    peers = quality_of_peers(spec, root, steps, device, seed)
    limit = {measure: max(found[measure] for found in peers.values()) for measure in ("rec_error", "swap_error")}
    ours = {}
    for part in parts:
        count = round(part * steps)
        ours[count] = errors(of_ours, trained(of_ours, root, count, device, seed), root, seed, device)
        if all(ours[count][measure] <= limit[measure] for measure in limit):
            return {"plain": peers, "ours": ours, "enough": count}
    return {"plain": peers, "ours": ours, "enough": None}


def lasting(spec, steps):
    return changed(spec, optim={"steps": steps, "warmup": min(spec.optim.warmup, steps)})


def trained(spec, root, steps, device, seed):
    """Our model after a whole training of `steps` steps."""
    spec = lasting(spec, steps)
    with (
        tempfile.TemporaryDirectory() as temporary,
        LoopArm(spec, seed, faces(spec, seed, root)[0], torch.device(device), Path(temporary)) as ours,
    ):
        ours.advance(steps - 1)
    return ours.trained.model


def errors(spec, model, root, seed, device):
    seen = evaluation_images(faces(spec, seed, root)[0], spec, torch.device(device))
    with torch.no_grad():
        rec, swap = outputs(model, seen, spec.score.batch)
    truth = {"src->dst": seen["dst"], "dst->src": seen["src"]}
    return {"rec_error": mean(rec, seen), "swap_error": mean(swap, truth)}


def mean(pictures, wanted):
    return sum(float((x - wanted[k][:, :3]).abs().mean()) for k, x in pictures.items()) / len(pictures)


def equal(found, margin=MARGIN):
    """Whether ours and either plain arm differ by at most `margin` of the plain arm's error."""
    return all(abs(found["ours"][m] - value) <= margin * value for arm in ARMS for m, value in found[arm].items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--steps", type=int, default=10, help="steps a block")
    parser.add_argument("--workers", type=int, default=0, help="processes of the plain loader, a person")
    parser.add_argument("--quality", type=int, metavar="STEPS", help="train both and compare instead")
    parser.add_argument("--time-to", type=int, metavar="STEPS", help="in which time ours is as good, on three pairs")
    parser.add_argument("--size", type=int, help="pixels, instead of the quick scale's 64")
    parser.add_argument("--batch", type=int, help="images of each person, instead of 8")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as in a trial; the plain loop gains by it too, being in the same process
    other = {"data": {"size": args.size} if args.size else {}, "optim": {"batch": args.batch} if args.batch else {}}
    spec, of_ours = quick_spec(**other), suite_spec(**other)
    if args.quality:
        found = quality(spec, args.out, args.quality, args.device)
        print(f"{'arm':16} reconstruction error  swap error   (mean |difference| after {args.quality} steps)")
        for name, each in found.items():
            print(f"{name:16} {each['rec_error']:20.4f} {each['swap_error']:11.4f}")
        print("equal quality" if equal(found) else f"NOT equal: more than {MARGIN:.0%} apart")
    elif args.time_to:
        found = speed(spec, args.out, args.blocks, args.steps, args.device, args.workers, of_ours)
        print_speed(found, spec, args.threads)
        found["steps"] = args.time_to
        found["seeds"] = {
            seed: time_to(
                quick_spec(seed, **other), suite_spec(seed, **other), args.out, args.time_to, args.device, seed
            )
            for seed in range(3)
        }
        for seed, each in found["seeds"].items():
            reached = each["enough"] or "no part of them"
            print(f"seed {seed}: as good as the plain loop's {args.time_to} steps after {reached}")
            for name, ratio in found["times_as_fast"].items() if each["enough"] else ():
                sooner = [ratio[key] * args.time_to / each["enough"] for key in ("ratio", "low", "high")]
                print(f"  {name:16} {sooner[0]:6.2f}x sooner  {sooner[1]:.2f} to {sooner[2]:.2f}")
    else:
        found = speed(spec, args.out, args.blocks, args.steps, args.device, args.workers)
        print_speed(found, spec, args.threads)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"schema_version": 1, **found, "environment": environment.capture()}, indent=1))


def print_speed(found, spec, threads):
    print(f"{'arm':16} {'images/s':>9} {'quartiles':>16} {'ours is':>9}   95 % interval")
    for name, rate in found["images_per_s"].items():
        line = f"{name:16} {rate['median']:9.1f} {rate['q25']:8.1f}-{rate['q75']:.1f}"
        if name in found["times_as_fast"]:
            ratio = found["times_as_fast"][name]
            line += f" {ratio['ratio']:8.2f}x   {ratio['low']:.2f} to {ratio['high']:.2f} ({ratio['pairs']} pairs)"
        print(line)
    bound = found["roofline"]
    print(f"a step of ours: {bound['arithmetic_ms']:.1f} ms of {bound['precision']} arithmetic at the measured peak,")
    print(f"{bound['bytes_ms']:.1f} ms of reading and writing if every operand came from memory")
    print(f"{threads} thread(s), {spec.data.size} px, {spec.optim.batch} + {spec.optim.batch} images a step")
    for reason in found["void"]:
        print(f"rates VOID (ratios are paired and stand): {reason}")


if __name__ == "__main__":
    main()
