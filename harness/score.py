"""Scoring: a trained model on the fixed evaluation pairs, every registered metric, per-image values kept.

The copy, the oracle and the mean face are scored beside it on the same pictures: a number means something only between
them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from harness import recognisers, registry, weights
from harness.atomic import write_atomic
from harness.data.encoding import to_display, to_linear
from harness.data.faces import LANDMARKS, POSE, identity_split, render, sample_identities, sample_poses
from harness.data.store import FaceStore
from harness.preview import evaluation_images, outputs, save_png, strip
from harness.spec import Spec
from harness.train import build_model
from metrics import ladder
from metrics.case import Case
from metrics.checkerboard import spectrum_picture
from metrics.ladder import copy_case, mean_face_case, oracle_case
from models.swapper import PEOPLE, Swapper

REFERENCES = {"oracle": oracle_case, "copy": copy_case, "mean_face": mean_face_case}
FIXED_FACES = 4
LADDER_PAIRS = 32  # of the evaluation set: bounds what the check of the metrics themselves costs


@dataclass
class Scores:
    """`scores`: {metric: {mean, n}}; `values`: {metric: per-image list}; `references`: {name: {metric: mean}};
    `invalid`: {metric: why it is no number here}."""

    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    values: dict[str, list[float | None]] = field(default_factory=dict)
    references: dict[str, dict[str, float | None]] = field(default_factory=dict)
    invalid: dict[str, str] = field(default_factory=dict)


def score(
    model: Swapper,
    spec: Spec,
    store: FaceStore,
    device: torch.device,
    folder: Path,
    cache: Path,
    names: list[str] | None = None,
    version: str = "",
) -> Scores:
    """Run the evaluators `names` (default: all) on the model and write its pictures to `folder`/pictures.

    Reference rows depend on data and metrics only and are kept under `cache`, shared by all variants; `version` (the
    score digest) tells one state of the metrics from another.
    """
    model.eval()
    case = build_case(model, spec, store, device)
    done = Scores()
    evaluators = {name: e.object for name, e in registry.entries("metric").items() if names is None or name in names}
    for name, values in run(evaluators, case, done.invalid).items():
        finite = values[np.isfinite(values)]
        done.values[name] = [_number(v) for v in values]
        done.scores[name] = {"mean": _number(finite.mean()) if len(finite) else None, "n": len(finite)}
    key = hashlib.sha256(f"{store.fingerprint}/{version}/{sorted(evaluators)}/{spec.data.size}".encode()).hexdigest()
    done.references = _references(case, evaluators, cache / f"{key[:24]}.json")
    for name, reason in failing(case, evaluators, cache / f"{key[:24]}-ladder.json").items():
        done.invalid.setdefault(name, reason)
    _pictures(case, done, folder / "pictures")
    return done


def reference_case(spec: Spec, store: FaceStore, device: torch.device) -> Case:
    """The evaluation set without a model: its outputs are copies of the inputs, in sRGB display encoding."""
    seen = evaluation_images(store, spec, device)
    images = {p: _display(x[:, :3], spec.data.encoding) for p, x in seen.items()}
    factors = tuple(factor.name for factor in POSE)
    truth = store.truth and store.eval_pose is not None
    size = spec.data.size
    return Case(
        images=images,
        alpha={p: x[:, 3:] for p, x in seen.items()},
        swap={"src->dst": images["src"], "dst->src": images["dst"]},
        rec=images,
        matched=store.truth,
        landmarks={p: torch.as_tensor(x) for p, x in store.eval_landmarks.items()} if store.eval_landmarks else None,
        landmark_names=LANDMARKS if store.eval_landmarks else (),
        pose=torch.as_tensor(store.eval_pose) if truth else None,
        pose_names=factors if truth else (),
        identity={p: torch.as_tensor(x) for p, x in store.identity.items()} if store.identity else None,
        regressor=recognisers.regressor(device) if store.synthetic else weights.face_finder(device),
        embedder=recognisers.embedder(device, "judge") if store.synthetic else weights.face_embedder(device),
        perceptual=weights.perceptual(device),
        distractors=distractors(size).to(device) if store.synthetic else None,
        crowd=(lambda: crowd(size)) if store.synthetic else None,
        render=_renderer(store, size, device) if truth else None,
    )


def _renderer(store: FaceStore, size: int, device: torch.device) -> Callable[[str, Tensor], Tensor]:
    """(person, pose (B, P)) -> his true pictures (B, 3, size, size) in sRGB."""
    people = {p: torch.as_tensor(x) for p, x in (store.identity or {}).items()}

    def pictures(person: str, pose: Tensor) -> Tensor:
        shown = render(people[person].expand(len(pose), -1), pose, size, regions=False)
        return to_display(shown.rgba[:, :3], "srgb").to(device)

    return pictures


def build_case(model: Swapper, spec: Spec, store: FaceStore, device: torch.device) -> Case:
    """Everything the metrics may ask for, in sRGB display encoding whatever the model was trained on."""
    encoding = spec.data.encoding

    def display(x: Tensor) -> Tensor:
        return _display(x, encoding)

    def native(x: Tensor) -> Tensor:
        return x if encoding == "srgb" else to_display(to_linear(x, "srgb"), encoding)

    seen = evaluation_images(store, spec, device)
    with torch.no_grad():
        rec, swap = outputs(model, seen, spec.score.batch)
        latents = {p: model.encode(seen[p][:, :3]) for p in PEOPLE}
    return replace(
        reference_case(spec, store, device),
        swap={d: display(x) for d, x in swap.items()},
        rec={p: display(x) for p, x in rec.items()},
        mu={p: latent.mu for p, latent in latents.items()},
        logvar={p: latent.logvar for p, latent in latents.items()} if model.sample else None,
        decode=lambda z, person: display(model.decode(z, person)),
        encode=lambda x: model.encode(native(x)).mu,
        modules=dict(model.decoders.items()),
    )


def _display(x: Tensor, encoding: Literal["srgb", "linear"]) -> Tensor:
    return x if encoding == "srgb" else to_display(to_linear(x.clamp(0, 1), encoding), "srgb")


@functools.cache
def distractors(size: int, count: int = 64) -> Tensor:
    """A picture each of `count` people of the judging split, (count, 3, size, size) in sRGB: a crowd for retrieval."""
    rng = identity_split("judge")
    shown = render(sample_identities(count, rng), sample_poses(count, rng, "interior"), size, regions=False)
    return to_display(shown.rgba[:, :3], "srgb")


@functools.cache
def crowd(size: int, count: int = 200) -> tuple[Tensor, Tensor]:
    """`count` people of the judging split, one frontal pose: sRGB (count, 3, size, size), factors (count, I)."""
    people = sample_identities(count, identity_split("judge"))
    # The pose of rest, or as near to it as a factor's range allows; zoom and light keep their middle.
    rest = torch.tensor([0.0 if f.low < 0 < f.high else (f.low + f.high) / 2 for f in POSE])
    shown = render(people, rest.expand(count, -1), size, supersample=1, regions=False)
    return to_display(shown.rgba[:, :3], "srgb").clone(), people


def failing(case: Case, evaluators: dict[str, Any], path: Path | None = None) -> dict[str, str]:
    """{metric: why its ladder fails on these pictures}; kept in `path`. Empty without ground truth, no ladder then."""
    if not case.matched:
        return {}
    if path is not None and path.exists():
        try:
            return json.loads(path.read_text())
        except ValueError:
            path.unlink()
    with torch.no_grad():
        rows = ladder.check(case, evaluators, LADDER_PAIRS)
    found = {row.metric: f"fails its ladder here: {row.reason}" for row in rows if row.valid is False}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(found).encode())
    return found


@torch.no_grad()
def run(evaluators: dict[str, Any], case: Case, invalid: dict[str, str]) -> dict[str, np.ndarray]:
    """Every metric of `evaluators` on a case: {name: 1-D array}. What cannot be computed here is said in `invalid`."""
    found: dict[str, np.ndarray] = {}
    for evaluator in evaluators.values():
        missing = evaluator.missing(case)
        if missing:
            invalid.update({info.name: f"needs {', '.join(missing)}" for info in evaluator.infos})
            continue
        for name, values in evaluator.run(case):
            found[name] = np.asarray(values, dtype=np.float64)
            if not np.isfinite(found[name]).any():
                invalid[name] = case.notes.get(name, "undefined on these pictures")
    invalid.update(case.invalid)
    return found


def cost(model: Swapper, spec: Spec, device: torch.device, precision: str) -> dict[str, Any]:
    """Parameters, FLOPs of one swap (encode and decode, batch 1), the latent's size, swap throughput with spread."""
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
        "swap_images_per_s": swap_speed(model, spec.data.size, device, precision),
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


def _references(case: Case, evaluators: dict[str, Any], path: Path) -> dict[str, dict[str, float | None]]:
    if path.exists():
        try:
            return json.loads(path.read_text())
        except ValueError:
            path.unlink()
    if not case.matched:
        return {}
    out = {}
    for name, make in REFERENCES.items():
        values = run(evaluators, make(case), {})
        out[name] = {k: _number(np.nanmean(v)) if np.isfinite(v).any() else None for k, v in values.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(out).encode())
    return out


def _pictures(case: Case, done: Scores, folder: Path) -> None:
    """The same fixed faces for every variant, the median and worst swap of this one, and the spectrum of its error."""
    n = min(len(case.images[p]) for p in PEOPLE)
    chosen = {f"fixed-{k}": round(k * (n - 1) / FIXED_FACES) for k in range(FIXED_FACES)}
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


def _number(value: Any) -> float | None:
    """A JSON number of 6 significant digits; None for what is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
