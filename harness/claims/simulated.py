"""Records drawn from a known truth, in the shape of the real ones: people differ much, paired differences little.

Everything that people bring, the level of a pair and its own course over the variants, is shared by the replicates of
that pair; only training noise is drawn anew for each trial. The spreads are those measured in identity transfer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.ledger.records import Record
from harness.ledger.table import Outcome, Table, Variant

LEVEL, EFFECT, SEED, IMAGE = 0.15, 0.06, 0.02, 0.06  # SD: level of a pair, its effect, training, one image
IMAGES = 8


def table(
    rng: np.random.Generator,
    means: Mapping[str, Sequence[float]],
    replicates: int,
    claims: Sequence[Mapping[str, Any]],
    effects: Mapping[str, Any] | None = None,
    cells: Sequence[int] = (9, 16, 25, 36, 49),
    people: int | None = None,
    looks: Sequence[int] = (),
) -> Table:
    """A ledger of `len(means[metric])` variants v0, v1 ...; each metric has its own expected value for each variant.

    Every pair shifts all variants alike (`LEVEL`), and stretches a course over the variants of its own (`EFFECT`).
    `effects[metric]` replaces that course's shape (default: a ramp of mean 0 and length 1 over the variants, so that
    the difference of its ends has the SD `EFFECT`), or is None for none. `people`: so many pairs take turns (default:
    each replicate has its own). `looks` makes the plan a sequential one.
    """
    count, pairs = len(next(iter(means.values()))), people or replicates
    ramp = np.linspace(-0.5, 0.5, count)
    scores: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for metric, expected in means.items():
        shape = (effects or {}).get(metric, ramp)
        levels, stretches = rng.normal(0, LEVEL, pairs), rng.normal(0, EFFECT, pairs)
        for k in range(replicates):
            course = stretches[k % pairs] * shape if shape is not None else np.zeros(count)
            centre = np.asarray(expected) + levels[k % pairs] + course + rng.normal(0, SEED, count)
            common = rng.normal(0, IMAGE, IMAGES)  # images are the same for all variants of a replicate
            for v in range(count):
                own = rng.normal(0, IMAGE / 3, IMAGES)
                scores.setdefault((v, k), {})[metric] = centre[v] + common + own
    variants = tuple(
        Variant(
            f"v{v}", {}, tuple(_trial(v, k, f"p{k % pairs:04d}", scores[v, k], cells[v]) for k in range(replicates))
        )
        for v in range(count)
    )
    plan = {"suite": "s", "claims": list(claims), **({"until": {"looks": list(looks)}} if looks else {})}
    return Table(Path("s"), plan, variants, 0)


def _trial(variant: int, replicate: int, pair: str, found: dict[str, np.ndarray], cells: int) -> Outcome:
    name, label = f"v{variant}-s{replicate}", f"v{variant}"
    record = Record(
        name=name, label=label, seed=replicate, status="done", cost={"latent": {"cells": cells}},
        scores={metric: {"mean": float(values.mean()), "n": IMAGES} for metric, values in found.items()},
    )  # fmt: skip
    return Outcome(name, label, {}, replicate, pair, "done", Path(), record, False, found)


def claim(*parts: Mapping[str, Any], id: str = "C1", **more: Any) -> dict[str, Any]:
    """A resolved claim."""
    return {"id": id, "says": "It is so.", "source": "supported", "only_if": [], "parts": list(parts), **more}
