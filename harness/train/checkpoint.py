"""Atomic, hashed, resumable checkpoints: safetensors beside a JSON file that carries the tensors' SHA-256.

The JSON file is written last, so that it is the moment of commitment: killed anywhere, a folder holds the old
checkpoint, the new one, or both. The two newest are kept; a damaged one is named, set aside, and the one before it
used. safetensors alone would not do: it accepts nearly every flipped bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor

from harness.errors import EnvironmentProblem
from harness.files import hash_of, write_atomic

KEEP = 2


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, the JSON-able `meta` (with its `step`), and the damaged files that were passed over."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    damaged: tuple[str, ...] = ()


def save(folder: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Commit `tensors` and `meta` (needs "step"); drop all but the newest two, and what kills and damage left."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"step-{meta['step']:09d}"
    data = save_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    write_atomic(folder / f"{stem}.safetensors", data)
    body = {"meta": meta, "tensors_sha256": hashlib.sha256(data).hexdigest()}
    body["sha256"] = hash_of(body)
    write_atomic(folder / f"{stem}.json", json.dumps(body).encode())
    kept = {path.stem for path in sorted(folder.glob("step-*.json"))[-KEEP:]}
    for file in [*folder.glob("step-*"), *folder.glob(".step-*.tmp")]:
        if file.name not in {f"{stem}{suffix}" for stem in kept for suffix in (".json", ".safetensors")}:
            file.unlink(missing_ok=True)


def load(folder: Path, compute: Mapping[str, Any] | None = None) -> Checkpoint | None:
    """The newest checkpoint whose hashes hold, or None.

    Damaged ones, and those of another `compute` than the one given, are listed in `damaged` and renamed, so that they
    do not count among the two that `save` keeps.
    """
    damaged: list[str] = []
    for path in sorted(folder.glob("step-*.json"), reverse=True):
        try:
            body = json.loads(path.read_bytes())
            said = body.pop("sha256")
            data = path.with_suffix(".safetensors").read_bytes()
            if said != hash_of(body) or body["tensors_sha256"] != hashlib.sha256(data).hexdigest():
                raise ValueError("SHA-256 does not match")
            if compute is not None and body["meta"].get("compute") != compute:
                raise ValueError("it was computed by another device, precision or number of threads")
            return Checkpoint(load_bytes(data), body["meta"], tuple(damaged))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
            damaged.append(f"{path.name}: {error}")
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".damaged"))
    return Checkpoint({}, {}, tuple(damaged)) if damaged else None


def write_weights(path: Path, state: dict[str, Tensor]) -> str:
    """Final weights as safetensors, atomically; returns their SHA-256."""
    data = save_bytes({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest()


def read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    """Weights whose hash holds. Raises EnvironmentProblem naming the file when they are damaged or missing."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(
            f"{path}: cannot be read: {error.strerror}. To train it anew, run again with --retry-failed"
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise EnvironmentProblem(
            f"{path}: damaged (SHA-256 differs from the record's). To train it anew, run again with --retry-failed"
        )
    return load_bytes(data)
