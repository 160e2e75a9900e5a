"""The validity strip: what a reader must know before trusting a number."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.ledger.number_format import number
from harness.ledger.table import Table
from harness.report.numbers import Numbers
from harness.terminal import count


@dataclass(frozen=True)
class Check:
    """One item of the validity strip. ``state``: good | note | bad, shown by a sign and a word, not by colour alone."""

    name: str
    value: str
    state: str
    detail: str = ""


def validity(numbers: Numbers) -> list[Check]:
    """What a reader must know before trusting a number."""
    table = numbers.table
    statuses = Counter(trial.status for trial in table.trials)
    planned, done = len(table.trials), statuses["done"]
    checks = [Check("Trials done", f"{done} of {planned}", "good" if done == planned else "bad")]
    if table.plan.get("rehearsal"):
        checks.insert(
            0, Check("A rehearsal", "a few steps", "bad", "no number and no picture here answers the question")
        )
    if any(_stands_in(trial.part("spec").get("loss") or {}) for trial in table.done):
        checks.append(Check("Perceptual loss", "multi-scale gradient", "bad", "not LPIPS, whose weights were absent"))
    checks.append(_replicates(table))
    lost = [f"{n} {status}" for status, n in sorted(statuses.items()) if status != "done"]
    bad = any(status not in ("done", "missing") for status in statuses)
    checks.append(Check("Failed or missing", ", ".join(lost) or "none", "bad" if bad else "note" if lost else "good"))
    checks.append(_steps(table))
    checks.append(_data(table))
    sizes = [float(t.part("cost").get("parameters") or 0) for t in table.done]
    if sizes and min(sizes) > 0:
        ratio = max(sizes) / min(sizes)
        text = "equal" if ratio < 1.001 else f"largest {ratio:.2f} × smallest"
        checks.append(Check("Parameters", text, "good" if ratio < 1.05 else "note"))
    checks.append(_invalid(table))
    void = [t.part("cost").get("train_images_per_s", {}).get("void") for t in table.done]
    why = "; ".join(sorted({str(v) for v in void if v}))
    hit = sum(bool(v) for v in void)
    checks.append(Check("Void throughput", f"{hit} of {done}" if hit else "none", "note" if hit else "good", why))
    checks.append(_spread(numbers))
    if any(not t.part("data").get("truth", True) for t in table.done):
        checks.append(
            Check("Ground truth", "none", "note", "own photographs: measures against truth are not available")
        )
    dropped = max((len(t.part("data").get("quarantined") or []) for t in table.done), default=0)
    if dropped:
        checks.append(Check("Quarantined images", str(dropped), "note", "unreadable files, left out of training"))
    stale = sum(trial.outdated for trial in table.done)
    if stale:
        checks.append(Check("Outdated scores", f"{stale} of {done}", "bad", "scored by older metrics than planned"))
    if table.damaged:
        reasons = "; ".join(why for _, why in table.damaged)
        checks.append(Check("Damaged files", str(len(table.damaged)), "bad", reasons))
    if table.unplanned:
        text = "of older code, data or options; not counted here"
        checks.append(Check("Other records in the folder", str(table.unplanned), "note", text))
    return checks


def _stands_in(loss: Mapping[str, Any]) -> bool:
    """Whether the term `perceptual` was weighed and took the gradient in place of LPIPS."""
    term = loss.get("perceptual") or {}
    return bool(term.get("weight")) and term.get("kind") == "gradient"


def _replicates(table: Table) -> Check:
    """How many replicates each variant has, and what they differ in."""
    counts = sorted({len(variant.done) for variant in table.variants}) or [0]
    pairs = sorted({trial.pair for trial in table.done if trial.pair})
    text = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    detail = f"pairs {', '.join(pairs)}, each with a seed of its own" if len(pairs) > 1 else "seeds only, one pair"
    state = "good" if counts[0] > 1 else "note"
    return Check("Replicates of a variant", text, state, detail if counts[0] > 1 else "no interval from one alone")


def _invalid(table: Table) -> Check:
    """Metrics that are no numbers here, gathered by their reason; all of them are listed under the details."""
    grouped: dict[str, list[str]] = {}
    for name, why in sorted(table.undefined.items()):
        grouped.setdefault(why if table.truth else _short(why), []).append(table.facts(name).title)
    if not grouped:
        return Check("Invalid metrics", "none", "good")
    parts = [
        f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}: {why}"
        for why, names in sorted(grouped.items(), key=lambda item: -len(item[1]))
    ]
    return Check("Invalid metrics", str(sum(map(len, grouped.values()))), "note", "; ".join(parts))


def _short(why: str) -> str:
    """A reason without the part that is the same for all photographs."""
    truth = any(word in why for word in ("truth", "renderer", "built-in faces"))
    return "an exact truth is needed" if truth else why.partition(". ")[0]


def _varied(table: Table, section: str) -> tuple[str, ...]:
    """The axes of the suite that lie in a section of the settings: what differs there differs on purpose."""
    return tuple(axis for axis in table.plan.get("axes") or () if axis.startswith(f"{section}."))


def _steps(table: Table) -> Check:
    known = sorted({steps for t in table.done if (steps := t.part("cost").get("steps")) is not None})
    if not known:
        return Check("Training steps", "unknown", "note")
    if len(known) == 1:
        return Check("Training steps", f"equal ({number(float(known[0]), 0)})", "good")
    text = f"{known[0]}–{known[-1]} steps"
    if _varied(table, "optim"):
        return Check("Training steps", text, "good", "varied by the suite")
    return Check("Training steps", text, "bad", "trials are not equally trained")


def _data(table: Table) -> Check:
    """Whether the variants of a replicate saw the same pictures, but for what the suite itself varies."""
    varied = _varied(table, "data")
    by_key: dict[object, set[str]] = {}
    for trial in table.done:
        own = tuple(str(trial.settings.get(axis)) for axis in varied)
        by_key.setdefault((trial.key, own), set()).add(str(trial.part("data").get("fingerprint")))
    mixed = {key for key, prints in by_key.items() if len(prints) > 1}
    if mixed:
        detail = "within a replicate the variants saw different data"
        return Check("Data", f"differ in {count(len(mixed), 'replicate')}", "bad", detail)
    if varied:
        return Check("Data", "varied by the suite", "good", f"{', '.join(varied)}; all else is equal in each replicate")
    return Check("Data", "equal in each replicate" if by_key else "unknown", "good" if by_key else "note")


def _spread(numbers: Numbers) -> Check:
    """How far the baseline's replicates (each a pair and a seed) lie apart on the answer's metric."""
    base, metric = numbers.table.baseline, numbers.primary
    values = list(numbers.replicates(base, metric).values()) if base and metric else []
    if metric is None or len(values) < 2:
        return Check("Spread between pairs", "unknown", "note", "needs two replicates of the baseline")
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    detail = f"standard deviation of {numbers.table.facts(metric).words} over the baseline's {len(values)} replicates"
    return Check("Spread between pairs", f"± {numbers.table.facts(metric).write(spread)}", "good", detail)
