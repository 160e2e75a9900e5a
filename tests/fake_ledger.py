"""A small ledger with known truth, in the schema that a run writes: five grids, three replicates, plausible numbers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from harness.files import hash_of
from harness.ledger.records import Ledger, Record

GRIDS = (3, 4, 5, 6, 7)
PAIRS = ("far", "mid", "near")
TRANSFER = {3: 0.93, 4: 0.90, 5: 0.84, 6: 0.76, 7: 0.68}
IMAGES = 16
CLAIMS: tuple[dict[str, Any], ...] = (
    {"id": "C1", "says": "The smallest grid transfers more identity than the largest.", "source": "supported",
     "only_if": [], "parts": [{"relation": "difference", "metric": "identity_transfer", "sign": 1, "a": "grid3",
                               "than": "grid7", "by": 0.1}]},
    {"id": "C2", "says": "The largest grid has a transfer of at least 0.9.", "source": "open", "only_if": [],
     "parts": [{"relation": "level", "metric": "identity_transfer", "sign": 1, "of": "grid7", "value": 0.9}]},
    {"id": "C3", "says": "<script>alert(3)</script> makes [red] no =cmd() difference.", "source": "refuted",
     "only_if": [], "parts": [{"relation": "difference", "metric": "checkerboard_db_1", "sign": -1, "a": "grid3",
                               "than": "grid7", "by": 0.0}]},
)  # fmt: skip


def _rng(*names: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _face(tile: int, person: float, smile: float, yaw: float) -> Image.Image:
    """A drawn head; `person` 0 is src, 1 is dst, between them a blend."""
    mix = lambda a, b: tuple(round(x + (y - x) * person) for x, y in zip(a, b, strict=True))  # noqa: E731
    scale, image = 4, Image.new("RGB", (tile * 4, tile * 4), "black")
    draw, s = ImageDraw.Draw(image), tile * scale / 100
    box = lambda x, y, rx, ry: [(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s]  # noqa: E731
    draw.ellipse(box(50, 46, 37, 42), fill=mix((70, 42, 24), (214, 168, 70)))
    draw.ellipse(box(50 + yaw / 3, 54, 31 - 3 * person, 37), fill=mix((238, 190, 150), (150, 100, 72)))
    for side in (-1, 1):
        x = 50 + yaw + side * 13
        draw.ellipse(box(x, 48, 7.5, 6), fill="white")
        draw.ellipse(box(x + yaw / 5, 48, 3.6, 3.8), fill=mix((40, 90, 160), (50, 110, 60)))
        if person > 0.5:
            draw.ellipse(box(x, 48, 10, 9), outline=(30, 30, 34), width=round(2 * s))
    draw.arc(box(50 + yaw, 68 - 4 * smile, 12, 5 + 8 * smile), 10, 170, fill=(150, 40, 50), width=round(3 * s))
    return image.resize((tile, tile), Image.Resampling.LANCZOS)


def _row(path: Path, grid: int, index: int, tile: int) -> None:
    leak, rng = 1 - TRANSFER[grid], _rng("row", index)
    smile, yaw = rng.uniform(0, 1), rng.uniform(-9, 9)
    people = (0.0, 0.02, 1 - leak, leak, 0.98, 1.0)
    row = Image.new("RGB", (tile * 6, tile))
    for column, person in enumerate(people):
        row.paste(_face(tile, person, smile, yaw), (column * tile, 0))
    row.save(path)


def _sweep(path: Path, grid: int, tile: int, frames: int = 7) -> None:
    """Driver, swap and truth of a head that turns, a row each."""
    leak, picture = 1 - TRANSFER[grid], Image.new("RGB", (tile * frames, tile * 3))
    for frame in range(frames):
        for row, person in enumerate((0.0, 1 - leak, 1.0)):
            picture.paste(_face(tile, person, 0.5, 3.0 * (frame - frames // 2)), (frame * tile, row * tile))
    picture.save(path, format="WEBP", quality=90)


def _values(grid: int, seed: int, pair: str) -> dict[str, list[float]]:
    leak, offset = 1 - TRANSFER[grid], {"far": 0.02, "mid": 0.0, "near": -0.025}[pair]
    shared, own = _rng("images", seed), _rng("trial", grid, seed)
    base, jitter = shared.normal(0, 0.05, 2 * IMAGES), own.normal(0, 0.012)

    def around(mean: float, spread: float) -> list[float]:
        return [round(float(v), 6) for v in mean + spread * base / 0.05 + own.normal(0, spread / 3, 2 * IMAGES)]

    return {
        "identity_transfer": around(TRANSFER[grid] + offset + jitter, 0.05),
        "swap_score": around(0.45 - 1.2 * leak + offset + jitter, 0.08),
        "off_axis": around(0.22 - 0.1 * leak, 0.02),
        "leak_gap": around(leak * 1.02 - offset - jitter, 0.05),
        "swap_error": around(0.03 + 0.12 * leak, 0.006),
        "identity_variance_share": [round(0.04 + 0.5 * leak + jitter, 6)],
        "expression_error": around(0.21 - 0.35 * leak, 0.03),
        "landmark_error": around(0.05 - 0.06 * leak, 0.006),
        "rec_l1_face": around(0.032 - 0.03 * leak, 0.003),
        "rec_psnr": around(27.5 + 9 * leak, 0.9),
        "rec_ssim": around(0.88 + 0.1 * leak, 0.012),
        "checkerboard_db_1": [round(0.6 + own.normal(0, 0.2), 6)],
        "checkerboard_db_2": [round(0.4 + own.normal(0, 0.2), 6)],
        "checkerboard_db_3": [round(0.9 + own.normal(0, 0.2), 6)],
        "kl_nats": [round(60 + 9 * grid**2 + own.normal(0, 4), 4)],
    }


REFERENCES = {
    "oracle": dict(swap_score=1.0, identity_transfer=1.0, leak_gap=-0.31, expression_error=0.04, swap_error=0.0),
    "copy": dict(swap_score=-1.6, identity_transfer=0.0, leak_gap=1.0, expression_error=0.045, swap_error=0.149),
    "mean_face": dict(swap_score=0.0, identity_transfer=0.91, leak_gap=0.4, expression_error=0.52, swap_error=0.09),
}


def _history(grid: int, seed: int, steps: int) -> list[dict[str, Any]]:
    rng, rows = _rng("history", grid, seed), []
    for step in range(10, steps + 1, 10):
        fall = np.exp(-step / 180)
        swap = 0.03 + 0.12 * (1 - TRANSFER[grid]) + 0.12 * np.exp(-step / 250) if step % 100 == 0 else None
        total = 0.05 + 0.35 * fall + 0.004 * rng.normal()
        rows.append(
            {"step": step, "images": step * 32, "seconds": round(step * 0.06, 3), "lr": 2e-4, "grad_norm": 1.0,
             "loss": {"l1": round(total * 0.6, 6), "kl": round(total * 0.4, 6)}, "total": round(float(total), 6),
             "swap_error": None if swap is None else round(float(swap), 6), "rec_error": round(float(total) / 4, 6)}
        )  # fmt: skip
    return rows


def _spectrum(path: Path, seed: int) -> None:
    size = 96
    y, x = np.mgrid[:size, :size] - size / 2
    power = 200 / (1 + np.hypot(x, y) / 4) + _rng("spectrum", seed).normal(0, 6, (size, size))
    for cy in (0, size // 2, size - 1):
        for cx in (0, size // 2, size - 1):
            power[max(0, cy - 1) : cy + 2, max(0, cx - 1) : cx + 2] += 40
    Image.fromarray(np.clip(power, 0, 255).astype(np.uint8)).save(path)


def trial_name(label: str, seed: int) -> str:
    return f"{label}-s{seed}-{hashlib.sha256(f'{label}{seed}'.encode()).hexdigest()[:8]}"


def write_ledger(
    folder: Path,
    *,
    grids: tuple[int, ...] = GRIDS,
    replicates: int = 3,
    steps: int = 600,
    tile: int = 64,
    question: str = "How does identity transfer change with the number of spatial cells in the latent?",
    suite: str = "bottleneck",
    labels: dict[int, str] | None = None,
    statuses: dict[tuple[int, int], str] | None = None,
    missing: frozenset[tuple[int, int]] = frozenset(),
    truth: bool = True,
    claims: tuple[dict[str, Any], ...] = (),
    people: tuple[str, ...] = PAIRS,
) -> Path:
    """Write plan.json, ledger.jsonl and the trial folders under `folder`; returns it.

    `statuses` gives single (grid, replicate) trials another status than done, `missing` leaves their record out.
    `people` names the pairs otherwise; their numbers stay.
    """
    labels, statuses, trials, ledger = labels or {}, statuses or {}, [], Ledger(folder)
    for grid in grids:
        for seed in range(replicates):
            label, pair = labels.get(grid, f"grid{grid}"), people[seed % 3]
            name = trial_name(f"grid{grid}", seed)
            digest = hashlib.sha256(name.encode()).hexdigest()
            common = {"name": name, "label": label, "cell": {"model.grid": grid}, "seed": seed, "pair": pair}
            trials.append({**common, "digest": digest, "score_digest": digest[::-1]})
            if (grid, seed) in missing:
                continue
            record = _record(grid, seed, steps, statuses.get((grid, seed), "done"), truth)
            record |= {**trials[-1], "suite": suite, "scale": "quick"}
            trial_folder = ledger.trial_folder(name)
            (trial_folder / "pictures").mkdir(parents=True, exist_ok=True)
            if record["status"] == "done":
                values = _values(grid, seed, PAIRS[seed % 3])
                if not truth:
                    values = {k: v for k, v in values.items() if k.startswith("rec_") or k == "kl_nats"}
                    record["invalid"] = {"identity_transfer": "needs ground truth"}
                record["scores"] = {k: {"mean": float(np.mean(v)), "n": len(v)} for k, v in values.items()}
                ledger.write_values(name, values)
                for face in range(4):
                    _row(trial_folder / "pictures" / f"fixed-{face}.png", grid, face, tile)
                _row(trial_folder / "pictures" / "median.png", grid, 10 + seed, tile)
                _row(trial_folder / "pictures" / "worst.png", grid, 20 + seed, tile)
                _spectrum(trial_folder / "pictures" / "spectrum.png", grid)
                if truth:
                    _sweep(trial_folder / "pictures" / "sweep.webp", grid, tile)
            rows = _history(grid, seed, steps if record["status"] == "done" else steps // 2)
            (trial_folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            content = Record(**record).to_dict()
            (trial_folder / "record.json").write_text(json.dumps({**content, "sha256": hash_of(content)}))
    plan = {
        "suite": suite, "question": question, "scale": "quick",
        "scale_reason": "no GPU found", "baseline": labels.get(grids[0], f"grid{grids[0]}"),
        "command": f"harness run {suite} --scale quick", "suite_file": f"suites/{suite}.yaml", "axes": ["model.grid"],
        "metrics": ["identity_transfer", "leak_gap", "expression_error", "rec_l1_face"], "trials": trials,
        "claims": list(claims),
    }  # fmt: skip
    ledger.write_plan(plan)
    ledger.rebuild()
    return folder


def _record(grid: int, seed: int, steps: int, status: str, truth: bool) -> dict[str, Any]:
    rng, done = _rng("cost", grid, seed), status == "done"
    rate = float(420 - 30 * grid + rng.normal(0, 4))
    spread = {"median": rate, "q25": rate * 0.98, "q75": rate * 1.02, "n": 20}
    return {
        "status": status,
        "reason": "" if done else f"loss term l1 became NaN at step {steps // 2}",
        "log_tail": "" if done else "step 290 total 0.071\nstep 300 total nan\n",
        "spec": {
            "data": {"source": "builtin", "pair": PAIRS[seed % 3], "size": 64, "frames": 400},
            "model": {"variant": "grid_family", "grid": grid, "upsample": "resize"},
            "loss": {"l1": 1.0, "kl": 0.2}, "optim": {"steps": steps, "batch": 32, "lr": 2e-4},
            "score": {"previews": 6},
        },
        "data": {"fingerprint": f"data{seed}", "source": "builtin" if truth else "faces/mine", "synthetic": truth,
                 "truth": truth, "frames": 400, "quarantined": []},
        "scores": {}, "references": REFERENCES if done and truth else {}, "invalid": {},
        "cost": {
            "parameters": 2_431_504, "flops": 180_000_000 + grid**2 * 900_000,
            "latent": {"shape": [128, grid, grid], "values": 128 * grid**2,
                       "cells": grid**2, "compression": 96 / grid**2},
            "train_images_per_s": {**spread, "void": None},
            "swap_images_per_s": {k: v * 4 if k != "n" else v for k, v in spread.items()},
            "peak_memory_mb": 610.0 + grid,
            "wall_s": {"train": 38.0 + grid, "score": 6.0, "total": 48.0 + grid,
                       "previews": 0.7, "checkpoints": 0.15, "reports": 0.02},
            "steps": steps if done else steps // 2, "batch": 32, "threads": 1,
        },
        "environment": {"python": "3.13.1", "libraries": {"torch": "2.11.0"}, "cpu": "a CPU with 2 cores",
                        "git": {"commit": "0123abc", "dirty": False}},
        "attempts": 1, "resumed_from": None, "started": "2025-01-01T00:00:00Z", "finished": "2025-01-01T00:01:00Z",
    }  # fmt: skip
