"""Scoring: a trained model on the fixed evaluation pairs, every registered metric, per-image values kept.

The copy, the oracle and the mean face are scored beside it on the same pictures: a number means something only between
them.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness import registry
from harness.data.store import FaceStore
from harness.files import kept_json, write_hashed_json
from harness.options import build_model
from harness.score import features, weights
from harness.score.case import build_case
from harness.score.pictures import save_png, strip
from harness.score.sweep import save_webp, sweep
from harness.spec import Spec
from metrics import ladder
from metrics.case import Case, mean_of
from metrics.checkerboard import spectrum_picture
from metrics.factors import crowd_of
from metrics.recognition import strangers
from metrics.references import copy_case, mean_face_case, oracle_case
from models.swapper import PEOPLE, Swapper

Report = Callable[..., None]
REFERENCES = {"oracle": oracle_case, "copy": copy_case, "mean_face": mean_face_case}
FIXED_FACES = 4
LADDER_PAIRS = 32  # of the evaluation set: bounds what the check of the metrics themselves costs


@dataclass
class Scores:
    """`scores`: {metric: {mean, n}}; `values`: {metric: per-image list}; `references`: {name: {metric: mean}};
    `invalid`: {metric: why it is undefined here}; `facts`: {metric: its title, direction, unit ...}."""

    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    references: dict[str, dict[str, float | None]] = field(default_factory=dict)
    invalid: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)


def score(
    model: Swapper,
    spec: Spec,
    store: FaceStore,
    device: torch.device,
    folder: Path,
    cache: Path,
    names: list[str] | None = None,
    version: str = "",
    report: Report = lambda **_: None,
) -> Scores:
    """Run the evaluators `names` (default: all) on the model and write its pictures to `folder`/pictures.

    Reference rows, the ladders and the features of the fixed pictures depend on data and metrics only: one trial
    computes them, all trials of the same pictures find them under `cache`. `version` (the score digest) tells one state
    of the metrics from another. `report` receives `part`, what is being scored, whenever that changes.
    """
    model.eval()
    done = Scores()
    evaluators = {name: e.object for name, e in registry.entries("metric").items() if names is None or name in names}
    pictures = f"{store.fingerprint}/{spec.data.size}/{spec.data.encoding}"
    key = hashlib.sha256(f"{pictures}/{version}/{sorted(evaluators)}".encode()).hexdigest()
    # Other people than the trial's: the same for every pair, so that each new pair finds them painted and embedded.
    people = f"{spec.data.size}/{store.loose}/{store.synthetic}/{version}/{sorted(evaluators)}"
    others = cache / f"{hashlib.sha256(people.encode()).hexdigest()[:24]}-others.features"
    features_file, ladder_file = cache / f"{key[:24]}.features", cache / f"{key[:24]}-ladder.json"
    waiting = partial(report, part="waiting for another trial of these pictures")
    known: dict[str, Any] = {}
    case = build_case(model, spec, store, device, known)
    with features.shared(others, known, device, waiting):
        _meet_others(case, evaluators)
    if features.in_the_making(features_file):  # the other trial's turn comes later: halve the work
        failing(case, evaluators, ladder_file, report)
    with features.shared(features_file, known, device, waiting):
        for name, values in run(evaluators, case, done.invalid, report).items():
            done.values[name] = [_number(v) for v in values]
            done.scores[name] = {"mean": _number(mean_of(values)), "n": int(np.isfinite(values).sum())}
        done.references = _references(case, evaluators, cache / f"{key[:24]}.json", report)
        _pictures(case, done, folder / "pictures")
    known_facts = {info.name: info.facts() for evaluator in evaluators.values() for info in evaluator.infos}
    done.facts = {name: known_facts[name] for name in [*done.scores, *done.invalid] if name in known_facts}
    for name, reason in failing(case, evaluators, ladder_file, report).items():
        done.invalid.setdefault(name, reason)
    return done


def _meet_others(case: Case, evaluators: dict[str, Any]) -> None:
    """The people beside the trial's pair, as far as these evaluators want them."""
    if "factors" in evaluators and case.crowd is not None:
        crowd_of(case)
    if evaluators.keys() & {"recognition", "mosaic"}:
        strangers(case)


def _lacking(missing: tuple[str, ...]) -> str:
    """Why an evaluator cannot run. Only photographs can be without a recogniser: a file unlocks it."""
    if missing == ("embedder",):
        return f"no recogniser of photographs is here. {weights.face_advice()}"
    return f"needs {', '.join(missing)}"


def failing(
    case: Case, evaluators: dict[str, Any], path: Path | None = None, report: Report = lambda **_: None
) -> dict[str, str]:
    """{metric: why its ladder fails on these pictures}; kept in `path`. Empty without ground truth, no ladder then."""
    if not case.matched:
        return {}

    @torch.no_grad()
    def judged() -> dict[str, str]:
        rows = ladder.check(case, evaluators, LADDER_PAIRS, lambda part: report(part=part))
        return {row.metric: f"fails its ladder here: {row.reason}" for row in rows if row.valid is False}

    return judged() if path is None else _once(path, judged, report)


def _once(path: Path, make: Callable[[], dict[str, Any]], report: Report) -> dict[str, Any]:
    """What is kept in `path`, else made and kept: by one process, for which the others wait."""
    if (kept := kept_json(path)) is not None:
        return kept
    with features.turn(path, partial(report, part="waiting for another trial of these pictures")):
        if (kept := kept_json(path)) is not None:
            return kept
        made = make()
        write_hashed_json(path, made)
        return made


@torch.no_grad()
def run(
    evaluators: dict[str, Any], case: Case, invalid: dict[str, str], report: Report = lambda **_: None, of: str = ""
) -> dict[str, np.ndarray]:
    """Every metric of `evaluators` on a case: {name: 1-D array}. What cannot be computed here is said in `invalid`."""
    found: dict[str, np.ndarray] = {}
    for group, evaluator in evaluators.items():
        report(part=f"{group}{of}")
        missing = evaluator.missing(case)
        if missing:
            invalid.update({info.name: _lacking(missing) for info in evaluator.infos})
            continue
        for name, values in evaluator.run(case):
            found[name] = np.asarray(values, dtype=np.float64)
            if not np.isfinite(mean_of(found[name])):
                invalid[name] = case.notes.get(name) or _undefined(found[name])
    invalid.update(case.invalid)
    return found


def _undefined(values: np.ndarray) -> str:
    return f"undefined on {np.isnan(values).sum()} of {len(values)} pictures"


def cost(model: Swapper, spec: Spec, device: torch.device, precision: str, timed: bool = True) -> dict[str, Any]:
    """Parameters, FLOPs of one swap (encode and decode, batch 1), the latent's size, swap throughput with spread.

    timed: measure the throughput, which is a spread of nothing otherwise.
    """
    with torch.device("meta"):
        shadow = build_model(spec)
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            shadow.eval().swap(torch.empty(1, 3, spec.data.size, spec.data.size), "dst")
    shape = tuple(model.latent_shape)
    values, cells = int(np.prod(shape)), shape[1] * shape[2]
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "flops": counter.get_total_flops(),
        "latent": {
            "shape": list(shape),
            "values": values,
            "cells": cells,
            "compression": 3 * spec.data.size**2 / values,
        },
        "swap_images_per_s": swap_speed(model, spec.data.size, device, precision) if timed else spread([]),
    }


@torch.no_grad()
def swap_speed(model: nn.Module, size: int, device: torch.device, precision: str, batch: int = 32) -> dict[str, Any]:
    """Swaps a second at batch 32 on resident pictures: median and quartiles over 9 blocks, after two for warming up."""
    x = torch.rand(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    rates = []
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
        for _ in range(11):
            began = time.perf_counter()
            model.swap(x, "dst")  # type: ignore[operator]
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            rates.append(batch / (time.perf_counter() - began))
    return spread(rates[2:])


def spread(rates: list[float]) -> dict[str, Any]:
    """Median, quartiles and n of a list of speeds; all None when it is empty."""
    if not rates:
        return {"median": None, "q25": None, "q75": None, "n": 0}
    low, middle, high = statistics.quantiles(rates, n=4, method="inclusive") if len(rates) > 1 else rates * 3
    return {"median": middle, "q25": low, "q75": high, "n": len(rates)}


def _references(
    case: Case, evaluators: dict[str, Any], path: Path, report: Report
) -> dict[str, dict[str, float | None]]:
    if not case.matched:
        return {}

    def means(name: str) -> dict[str, float | None]:
        values = run(evaluators, REFERENCES[name](case), {}, report, f" of the {name}")
        return {k: _number(mean_of(v)) for k, v in values.items()}

    return _once(path, lambda: {name: means(name) for name in REFERENCES}, report)


def _pictures(case: Case, done: Scores, folder: Path) -> None:
    """The same faces for every variant, this one's median and worst swap, its error's spectrum, a turning head."""
    n = min(len(case.images[p]) for p in PEOPLE)
    places = dict.fromkeys(round(k * (n - 1) / FIXED_FACES) for k in range(FIXED_FACES))  # of few, each once
    chosen = {f"fixed-{k}": place for k, place in enumerate(places)}
    if done.values.get("swap_error"):
        errors = np.array(done.values["swap_error"], dtype=float).reshape(2, -1).mean(axis=0)
        order = np.argsort(errors)
        chosen |= {"median": int(order[len(order) // 2]), "worst": int(order[-1])}
    rows = strip(dict(case.images), dict(case.rec), dict(case.swap), list(chosen.values()))
    for name, row in zip(chosen, rows, strict=True):
        save_png(folder / f"{name}.png", row)
    truth = torch.cat([case.truth(d) for d in case.swap]) if case.matched else None
    spectrum = torch.as_tensor(spectrum_picture(torch.cat(list(case.swap.values())), truth))
    save_png(folder / "spectrum.png", spectrum.permute(2, 0, 1) / 255)
    turning = sweep(case)
    if turning is not None:
        save_webp(folder / "sweep.webp", turning)


def _number(value: Any) -> float | None:
    """A JSON number of 6 significant digits; None for what is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
