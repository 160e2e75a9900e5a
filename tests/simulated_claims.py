"""Records drawn from a known truth, in the shape of the real ones: pairs differ much, paired differences little."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.claims.verdict import judge
from harness.ledger.records import Record
from harness.ledger.table import Outcome, Table, Variant

LEVEL, EFFECT, SEEDS, IMAGE = 0.15, 0.06, 0.02, 0.06  # standard deviations: pair, effect over pairs, training, image
IMAGES = 8
PAIRS = ("far", "mid", "near")


def table(
    rng: np.random.Generator,
    means: Mapping[str, Sequence[float]],
    replicates: int,
    claims: Sequence[Mapping[str, Any]],
    effects: Mapping[str, Any] | None = None,
    cells: Sequence[int] = (9, 16, 25, 36, 49),
) -> Table:
    """A ledger of `len(means[metric])` variants v0, v1 ...; each metric has its own expected value for each variant.

    Every replicate shifts all variants alike (`LEVEL`), and stretches a course over the variants of its own (`EFFECT`).
    `effects[metric]` replaces that course's shape (default: a ramp of mean 0 over the variants), or is None for none.
    """
    count = len(next(iter(means.values())))
    ramp = np.linspace(-0.5, 0.5, count)
    scores: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for metric, expected in means.items():
        shape = (effects or {}).get(metric, ramp)
        for k in range(replicates):
            course = rng.normal(0, EFFECT) * shape if shape is not None else np.zeros(count)
            centre = np.asarray(expected) + rng.normal(0, LEVEL) + course + rng.normal(0, SEEDS, count)
            common = rng.normal(0, IMAGE, IMAGES)  # images are the same for all variants of a replicate
            for v in range(count):
                own = rng.normal(0, IMAGE / 3, IMAGES)
                scores.setdefault((v, k), {})[metric] = centre[v] + common + own
    variants = []
    for v in range(count):
        trials = []
        for k in range(replicates):
            found = scores[v, k]
            record = Record(
                name=f"v{v}-s{k}", label=f"v{v}", seed=k, status="done", cost={"latent": {"cells": cells[v]}},
                scores={name: {"mean": float(values.mean()), "n": IMAGES} for name, values in found.items()},
            )  # fmt: skip
            trials.append(Outcome(f"v{v}-s{k}", f"v{v}", {}, k, PAIRS[k % 3], "done", Path(), record, False, found))
        variants.append(Variant(f"v{v}", {}, tuple(trials)))
    return Table(Path("s"), {"suite": "s", "claims": list(claims)}, tuple(variants), 0)


def claim(*parts: Mapping[str, Any], id: str = "C1", **more: Any) -> dict[str, Any]:
    """A resolved claim."""
    return {"id": id, "says": "It is so.", "source": "supported", "only_if": [], "parts": list(parts), **more}


def verdicts(
    runs: int, seed: int, means: Mapping[str, Sequence[float]], n: int, *claims: Any, **more: Any
) -> list[str]:
    """The first claim's verdict in each of `runs` simulations."""
    rng = np.random.default_rng(seed)
    return [judge(table(rng, means, n, claims, **more))[0].verdict for _ in range(runs)]
