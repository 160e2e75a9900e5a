"""Two trials, two variants, or two result folders side by side: better, worse, same or undecided, metric by metric.

B is reported against A. Differences are paired by replicate, with 95 % intervals over pairs of people; a single
replicate has an interval over its images, and says so. Each line stands for itself (no correction over lines). `same`
means that the whole interval lies inside a margin: the spread between seeds of one pair of people where A or B was run
with two seeds of a pair, else a stated fraction of A's mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.claims import stats
from harness.claims.headlines import HEADLINES
from harness.claims.stats import Array, Estimate
from harness.errors import UsageError, did_you_mean
from harness.ledger.facts import Facts
from harness.ledger.packed import has_record
from harness.ledger.records import ledgers
from harness.ledger.table import Key, Replicates, Table, Variant, load
from metrics.costs import LOSS

FRACTION = 0.05
ALWAYS = ("swap_error", "rec_ssim", "train_images_per_s", "parameters")  # beside the headlines


@dataclass(frozen=True)
class Side:
    """One argument: what it is (trial, variant or suite), how it is called, and its variants by label."""

    kind: str
    name: str
    variants: Mapping[str, Variant]


@dataclass(frozen=True)
class Line:
    """One metric of one pair. ``difference`` is B - A with its 95 % interval; ``basis`` says what n counts."""

    variant: str
    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    n: int
    basis: str  # pair; seed where all have the same two people; image where there is one replicate
    margin: float
    margin_from: str
    verdict: str  # better | worse | higher | lower | same | undecided
    improvement: float  # share of images on which B is better, NaN where neither way is better


@dataclass(frozen=True)
class Comparison:
    """All lines, what was left out and why, the settings in which the two sides differ, and the metrics' facts."""

    a: Side
    b: Side
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    settings: tuple[tuple[str, Any, Any], ...]
    facts: Mapping[str, Facts]  # of every metric in `lines`


def side(text: str, root: Path) -> Side:
    """What an argument names: a result folder or suite, `FOLDER:LABEL`, or a trial (name, its beginning, or folder).

    UsageError when it names nothing.
    """
    if (folder := _folder(text, root)) is not None:
        return Side("suite", text, {variant.label: variant for variant in load(folder).variants})
    head, colon, name = text.rpartition(":")
    if colon and (folder := _folder(head, root)) is not None:
        table = load(folder)
        known = {variant.label: variant for variant in table.variants}
        if name not in known:
            raise UsageError(f"{head} has no variant {name!r}. {did_you_mean(name, known)}")
        return Side("variant", text, {name: known[name]})
    if colon:
        known_suites = [ledger.folder.name for ledger in ledgers(root)]
        raise UsageError(f"there are no results of {head!r} under {root}. {did_you_mean(head, known_suites)}")
    return _trial(text, root)


def _folder(text: str, root: Path) -> Path | None:
    places = [Path(text), *([root / text] if len(Path(text).parts) == 1 else [])]
    return next((place for place in places if (place / "plan.json").is_file()), None)


def _trial(text: str, root: Path) -> Side:
    path = Path(text)
    if has_record(path):
        tables = [load(path.resolve().parent.parent)]
        text = path.resolve().name
    else:
        tables = [load(ledger.folder) for ledger in ledgers(root)]
    every = [(v, t) for table in tables for v in table.variants for t in v.trials if t.record is not None]
    found = [(v, t) for v, t in every if t.name == text] or [(v, t) for v, t in every if t.name.startswith(text)]
    if len(found) > 1:
        some = ", ".join(t.name for _, t in found[:4])
        raise UsageError(f"{text!r} names {len(found)} trials ({some} ...). Expected more letters, or SUITE:LABEL")
    if not found:
        names = [table.folder.name for table in tables] + [t.name for _, t in every]
        what = f"{text!r} is no suite, variant or trial under {root}"
        raise UsageError(f"{what}. {did_you_mean(text, names)}. Forms: SUITE, DIR, SUITE:LABEL, TRIAL")
    variant, trial = found[0]
    return Side("trial", trial.name, {variant.label: replace(variant, trials=(trial,))})


def compare(a: Side, b: Side, metrics: Sequence[str] = (), fraction: float = FRACTION) -> Comparison:
    """B against A. ``metrics`` chooses (default: the headlines and costs); ``fraction`` is the margin of `same` where
    the spread between seeds is unknown. UsageError when there is nothing to compare.
    """
    if "suite" in (a.kind, b.kind) and a.kind != b.kind:
        raise UsageError(f"a {a.kind} and a {b.kind} cannot be compared. Name a variant on both sides: SUITE:LABEL")
    if a.kind == "suite":
        pairs = [(name, a.variants[name], b.variants[name]) for name in a.variants if name in b.variants]
        if not pairs:
            labels = f"{', '.join(list(a.variants)[:5])} and {', '.join(list(b.variants)[:5])}"
            raise UsageError(f"{a.name} and {b.name} share no label ({labels}). Name variants: SUITE:LABEL")
    else:
        (one, left), (other, right) = next(iter(a.variants.items())), next(iter(b.variants.items()))
        pairs = [(one if one == other else f"{other} against {one}", left, right)]
    table = Table(Path(), {}, tuple(v for _, *both in pairs for v in both), 0)
    known = table.metrics()
    for name in metrics:
        if name not in known and not name.startswith(LOSS):
            raise UsageError(f"--metric: neither side has {name!r}. {did_you_mean(name, known)}")
    chosen = list(metrics) or [name for name in dict.fromkeys((*HEADLINES, *ALWAYS)) if name in known]
    lines, notes = [], _notes(a, b)
    for name, left, right in pairs:
        keys = [key for key in left.done if key in right.done]
        if not keys:
            problem = f"{name}: no replicate is done on both sides (A: {_keys(left)}; B: {_keys(right)})"
            if len(pairs) == 1:
                raise UsageError(f"{problem}. Compare trials of the same seed and identity pair")
            notes.append(problem)
            continue
        apart = [k for k in keys if _fingerprint(left, k) != _fingerprint(right, k)]
        if apart:
            notes.append(f"{name}: {len(apart)} of {len(keys)} replicates saw other data: their images are not paired")
        facts = [table.facts(metric) for metric in chosen]
        lines += [line for one in facts if (line := _line(name, one, left, right, keys, apart, fraction))]
    if not lines:
        raise UsageError(f"{a.name} and {b.name} have no number in common. {'; '.join(notes) or 'Choose --metric'}")
    if any(line.basis == "image" for line in lines):
        notes.append("one replicate: its intervals run over images and speak of these two trainings only")
    settings = _settings(pairs[0][1], pairs[0][2]) if len(pairs) == 1 else ()
    facts_of = {line.metric: table.facts(line.metric) for line in lines}
    return Comparison(a, b, tuple(lines), tuple(notes), settings, facts_of)


def _notes(a: Side, b: Side) -> list[str]:
    notes = []
    for here, there in ((a, b), (b, a)):
        alone = [name for name in here.variants if name not in there.variants]
        if here.kind == "suite" and alone:
            notes.append(f"only in {here.name}: {', '.join(alone)}")
        lost = [t.name for v in here.variants.values() for t in v.trials if not t.done]
        if lost:
            notes.append(f"not done in {here.name}: {', '.join(lost[:3])}{' ...' if len(lost) > 3 else ''}")
    return notes


def _keys(variant: Variant) -> str:
    return ", ".join(f"seed {seed} {pair}".strip() for seed, pair in variant.done) or "none done"


def _fingerprint(variant: Variant, key: Key) -> Any:
    return variant.done[key].part("data").get("fingerprint")


def _line(
    name: str, facts: Facts, left: Variant, right: Variant, keys: Sequence[Key], apart: Sequence[Key], fraction: float
) -> Line | None:
    metric, sign = facts.name, facts.sign
    ours, theirs = left.replicates(metric), right.replicates(metric)
    shared = [key for key in keys if key in ours.means and key in theirs.means]
    if not shared:
        return None
    images = [theirs.images[k] - ours.images[k] for k in shared if k not in apart and _alike(ours, theirs, k)]
    found = _estimate({key: theirs.means[key] - ours.means[key] for key in shared}, images)
    a = float(np.mean([ours.means[key] for key in shared]))
    margin, margin_from = _margin(ours, theirs, fraction, a)
    interval = found.interval()
    rng = stats.generator("compare", name, metric)
    better = stats.probability_of_improvement([sign * d for d in images], rng).mean if sign else math.nan
    return Line(
        variant=name,
        metric=metric,
        a=a,
        b=float(np.mean([theirs.means[key] for key in shared])),
        difference=found.mean,
        low=interval.low,
        high=interval.high,
        n=found.n,
        basis=found.over,
        margin=margin,
        margin_from=margin_from,
        verdict=_verdict(interval.low, interval.high, margin, sign),
        improvement=better,
    )


def _alike(a: Replicates, b: Replicates, key: Key) -> bool:
    return a.images[key].size > 0 and a.images[key].shape == b.images[key].shape


def _estimate(differences: Mapping[Key, float], images: Sequence[Array]) -> Estimate:
    """Over pairs of people; over the images of a single replicate, where there are enough of them."""
    if len(differences) == 1 and images and np.isfinite(images[0]).sum() >= 8:
        return stats.estimate(images[0], "image")
    return stats.estimate_of(differences)


def _margin(a: Replicates, b: Replicates, fraction: float, mean: float) -> tuple[float, str]:
    spreads = [spread for spread in map(stats.seed_spread, (a.means, b.means)) if math.isfinite(spread)]
    return (spreads[0], "spread between seeds") if spreads else (fraction * abs(mean), f"{100 * fraction:g} % of A")


def _verdict(low: float, high: float, margin: float, sign: int) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "undecided"
    if -margin <= low and high <= margin:
        return "same"
    if low <= 0 <= high:
        return "undecided"
    up = low > 0
    return ("higher" if up else "lower") if sign == 0 else ("better" if up == (sign > 0) else "worse")


def _settings(left: Variant, right: Variant) -> tuple[tuple[str, Any, Any], ...]:
    """Leaves of the two specifications that differ: (key, A's, B's)."""
    one, other = (_leaves(next(iter(v.done.values())).part("spec")) for v in (left, right))
    keys = sorted({*one, *other})
    return tuple((key, one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key))


def _leaves(spec: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in spec.items():
        inner = isinstance(value, Mapping) and value
        found |= _leaves(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": json.dumps(value)}
    return found
