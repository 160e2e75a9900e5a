"""Which number should lead a report? Candidates on references with known answers, as a Markdown table.

    uv run python -m tests.headline_candidates [--trained results/SUITE] [--cache results]

References are made from random pairs of people, aligned, 64 px; rows of `--trained` from the kept weights of a suite.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from harness.data.store import open_store
from harness.ledger.records import Ledger
from harness.options import build_model
from harness.score import case as evaluation
from harness.spec import Spec
from metrics import references
from metrics.case import DIRECTIONS, Case, driver_of, target_of
from metrics.identity import errors, swap_mask, transfer
from metrics.swap_score import expression_skill, pixel_skill

PEOPLE_PAIRS, PICTURES = 6, 32
FAILURES: dict[str, Callable[[Case], Case]] = {
    "exact swap": references.oracle_case,
    "copy": references.copy_case,
    "mean face": references.mean_face_case,
    "ghost, half and half": references.ghost_case,
    "exact, blurred by 2 px": lambda case: references.blurred_case(case, 2.0),
    "copy, blurred by 2 px": references.blurred_copy_case,
    "half the face": references.half_face_case,
    "frozen expression": references.frozen_expression_case,
    "another pose": references.other_pose_case,
}


def moved(case: Case, own: bool = False) -> tuple[float, float]:
    """(transfer, off-axis residual) in pixels, of the swaps or of the target's own reconstructions."""
    found = []
    for way in DIRECTIONS:
        mask = swap_mask(case.alpha[driver_of(way)], case.alpha[target_of(way)])
        shown = case.rec[target_of(way)] if own else case.swap[way]
        found.append(transfer(shown, case.images[driver_of(way)], case.truth(way), mask))
    return tuple(float(torch.cat(parts).mean()) for parts in zip(*found, strict=True))  # type: ignore[return-value]


def over_trivial(case: Case) -> float:
    found = errors(case)
    return float(1 - found.swap.mean() / min(found.copy.mean(), found.mean_face.mean()))


CANDIDATES: dict[str, Callable[[Case], float]] = {
    "transfer": lambda case: moved(case)[0],
    "transfer / own reconstruction's": lambda case: moved(case)[0] / moved(case, own=True)[0],
    "the same, less off-axis": lambda case: moved(case)[0] / moved(case, own=True)[0] - moved(case)[1],
    "1 - error / copy's": lambda case: float(1 - errors(case).swap.mean() / errors(case).copy.mean()),
    "1 - error / better of copy, mean face": over_trivial,
    "the same x expression skill": lambda case: over_trivial(case) * float(expression_skill(case).mean()),
    "**swap score**": lambda case: float(min(pixel_skill(case).mean(), expression_skill(case).mean())),
}


def cases(cache: Path) -> Iterator[Case]:
    """The evaluation pictures of random pairs."""
    for pair in range(PEOPLE_PAIRS):
        data = {"pair": pair, "variation": "aligned", "size": 64, "frames": 16, "eval_frames": PICTURES}
        spec = Spec.model_validate({"data": data, "model": {"variant": "grid"}, "loss": {"l1": 1.0}})
        yield evaluation.reference_case(spec, open_store(spec.data, 0, cache), torch.device("cpu"))


def trained(folder: Path, cache: Path) -> Iterator[tuple[str, Case]]:
    """(label, case) of every finished trial whose weights were kept."""
    from safetensors.torch import load_file

    for record in Ledger(folder).records():
        weights = record.folder / "weights.safetensors"
        if record.status == "done" and weights.is_file():
            spec = Spec.model_validate(record.spec)
            model = build_model(spec).eval()
            model.load_state_dict(load_file(weights))
            store = open_store(spec.data, record.seed, cache)
            yield record.label, evaluation.build_case(model, spec, store, torch.device("cpu"))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--trained", type=Path)
    parser.add_argument("--cache", type=Path, default=Path("results"))
    given = parser.parse_args()
    rows: dict[str, list[list[float]]] = {}
    for case in cases(given.cache):
        for name, make in FAILURES.items():
            rows.setdefault(name, []).append([read(make(case)) for read in CANDIDATES.values()])
        print(".", end="", file=sys.stderr, flush=True)
    for label, case in trained(given.trained, given.cache) if given.trained else ():
        own = case.with_outputs({way: case.rec[target_of(way)] for way in DIRECTIONS})
        for name, shown in ((f"{label}, swap", case), (f"{label}, own reconstruction", own)):
            rows.setdefault(name, []).append([read(shown) for read in CANDIDATES.values()])
    print(f"\n| | {' | '.join(CANDIDATES)} |\n|{' --- |' * (len(CANDIDATES) + 1)}")
    for name, values in rows.items():
        cells = [f"{v + 0.0:.2f}".replace("-0.00", "0.00") for v in np.mean(values, axis=0)]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
