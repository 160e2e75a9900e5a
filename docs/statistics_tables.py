"""Fill the tables of docs/statistics.md from simulated records with a known truth.

    python docs/statistics_tables.py [RUNS]

The same numbers on every machine: the draws follow from fixed seeds. RUNS (1000) suites are simulated for each figure.
"""

import re
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from harness.claims.simulated import claim, table
from harness.claims.stats import estimate_of
from harness.claims.verdict import judge

PAGE = Path(__file__).resolve().parent / "statistics.md"
RUNS, PAIRS, LOOKS = 1000, (3, 4, 6, 10), (4, 6, 8, 10)
M, OTHER = "identity_transfer", "leak_gap"
VARIANTS = [f"v{i}" for i in range(5)]
AXIS = {"in": "cells", "over": VARIANTS}
FLAT = {M: [0.5] * 5, OTHER: [0.5] * 5}


def difference(a, than, by=0.0, metric=M):
    return {"relation": "difference", "metric": metric, "a": a, "than": than, "by": by, "sign": 1}


OTHERS = [
    claim({"relation": "level", "metric": M, "of": "v2", "value": 0.5, "sign": 1}, id="level"),
    claim(difference("v1", "v3"), id="difference"),
    claim(difference("v1", "v3", metric=OTHER), id="difference of the other metric"),
    claim({"relation": "equivalent", "metric": OTHER, "a": "v0", "to": "v4", "within": 1e-4}, id="equivalence"),
    claim({"relation": "monotone", "metric": OTHER, "direction": "falls", **AXIS}, id="trend"),
    claim(
        {"relation": "correlation", "metric": M, "with": OTHER, "is": "positive", "within": 0.0, **AXIS},
        id="correlation",
    ),
]
OPEN = [claim(difference("v0", "v4"), id="primary", primary=True), *OTHERS]
# The primary claim is true by far in a third metric, so the six others are tested at once.
SURE = [claim(difference("v0", "v4", metric="swap_score"), id="primary", primary=True), *OTHERS]
SUITES = {
    "seven claims, all at their margin": (OPEN, FLAT),
    "the primary claim true by far, six at their margin": (SURE, {**FLAT, "swap_score": [1.5, 0.5, 0.5, 0.5, 0.5]}),
}


def coverage(pairs, replicates, runs, by_pair=True):
    """Share of 95 % intervals of a paired difference that hold the truth, for a number of pairs that take turns."""
    rng, held = np.random.default_rng(1000 * pairs + replicates), 0
    for _ in range(runs):
        found = table(rng, {M: [0.5, 0.5]}, replicates, [], people=pairs)
        a, b = (variant.replicates(M).means for variant in found.variants)
        differences = {key: a[key] - b[key] for key in a}
        if not by_pair:  # as if each replicate had people of its own
            differences = {(seed, str(seed)): value for (seed, _), value in differences.items()}
        interval = estimate_of(differences).interval()
        held += interval.low <= 0 <= interval.high
    return held / runs


def false_suites(claims, means, pairs, runs, looks=()):
    """(share of suites with a false support, with a false refutation) among claims that stand at their margin."""
    rng, counts = np.random.default_rng(pairs + len(looks)), np.zeros(2)
    true = {"primary"} if "swap_score" in means else set()
    for _ in range(runs):
        found = judge(table(rng, means, pairs, claims, looks=looks))
        said = {verdict.verdict for verdict in found if verdict.id not in true}
        counts += ["supported" in said, "refuted" in said]
    return tuple(counts / runs)


def decided(effect, pairs, runs, looks=()):
    """(share of runs that support a difference of so many standard deviations of the pairs, mean pairs used)."""
    rng, count, used = np.random.default_rng(7), 0, []
    size = 0.06 * effect
    for _ in range(runs):
        [verdict] = judge(table(rng, {M: [0.5 + size, 0.5]}, pairs, [claim(difference("v0", "v1"))], looks=looks))
        count += verdict.verdict == "supported"
        used.append(verdict.look or pairs)
    return count / runs, float(np.mean(used))


def percent(share):
    return f"{100 * share:.1f} %"


def lines(head, rows):
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]


def coverages(runs, pool):
    own = [pool.submit(coverage, n, n, 8 * runs) for n in PAIRS]
    shared = [pool.submit(coverage, 3, n, 8 * runs) for n in PAIRS[2:]]
    naive = [pool.submit(coverage, 3, n, 8 * runs, by_pair=False) for n in PAIRS[2:]]
    named = [
        ("each replicate with people of its own", own),
        ("three pairs that take turns", shared),
        ("the same, if replicates were counted", naive),
    ]
    rows = [[name, *[""] * (4 - len(row)), *(percent(share.result()) for share in row)] for name, row in named]
    return lines(["95 % interval of a difference", *(f"{n} replicates" for n in PAIRS)], rows)


def false_verdicts(runs, pool):
    found = {name: [pool.submit(false_suites, *suite, n, runs) for n in PAIRS] for name, suite in SUITES.items()}
    for name, suite in SUITES.items():
        found[name].append(pool.submit(false_suites, *suite, LOOKS[-1], runs, LOOKS))
    rows = [[name, *(" / ".join(map(percent, rate.result())) for rate in row)] for name, row in found.items()]
    return lines(["suite", *(f"{n} pairs" for n in PAIRS), "looks at 4, 6, 8, 10"], rows)


def power(runs, pool):
    rows = []
    for effect in (1.0, 1.5, 2.0, 3.0):
        fixed = [pool.submit(decided, effect, n, runs) for n in PAIRS]
        share, pairs = pool.submit(decided, effect, LOOKS[-1], runs, LOOKS).result()
        rows.append(
            [f"{effect:g} SD", *(percent(one.result()[0]) for one in fixed), f"{percent(share)}, {pairs:.1f} pairs"]
        )
    return lines(["true effect", *(f"{n} pairs" for n in PAIRS), "looks at 4, 6, 8, 10"], rows)


TABLES = {"coverage": coverages, "power": power, "false verdicts": false_verdicts}


def filled(page, runs, pool):
    """The page with its tables made anew."""
    for name, make in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        made = start + "\n" + "\n".join(make(runs, pool)) + "\n\n" + end
        page = re.sub(re.escape(start) + ".*?" + re.escape(end), lambda _, made=made: made, page, flags=re.S)
        print(name, "done", flush=True)
    return page


if __name__ == "__main__":
    with ProcessPoolExecutor(3) as pool:
        PAGE.write_text(filled(PAGE.read_text(), int(sys.argv[1]) if len(sys.argv) > 1 else RUNS, pool))
