"""Features of the fixed evaluation pictures, computed once and kept on disk for every variant.

One file a data set and state of the metrics: a safetensors body after one line of JSON that describes how the tensors
hang together, under hashes. What does not verify is computed again: nothing here exists only once. Trials that need the
same at once wait for the one that computes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import save as save_bytes
from torch import Tensor

from harness.files import read_hashed_body, write_hashed_body
from harness.lock import guard_held, guarded

KEY = "features"
Waiting = Callable[[], None]


def save(path: Path, features: dict[str, Any]) -> None:
    """Write features atomically: nested dicts and tuples of tensors, arrays, numbers and texts.

    TypeError names what cannot be kept.
    """
    tensors: dict[str, Tensor] = {}
    tree = _flatten(features, tensors, KEY)
    write_hashed_body(path, {"tree": tree}, save_bytes(tensors))


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """The features kept at `path`, tensors on `device`; empty when there are none, or when they are damaged."""
    try:
        head, body = read_hashed_body(path)
        return _rebuilt(head["tree"], load_bytes(body), device)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        path.unlink(missing_ok=True)
        return {}


@contextlib.contextmanager
def shared(path: Path, known: dict[str, Any], device: torch.device, waiting: Waiting = lambda: None) -> Iterator[None]:
    """Within the block `known` holds the features kept at `path`; those that the block adds are kept afterwards.

    While there is no such file one process at a time is in the block; `waiting` is called each second that another is.
    """
    with contextlib.ExitStack() as turns:
        if not path.exists():
            turns.enter_context(turn(path, waiting))
            if path.exists():
                turns.close()
        known.update(load(path, device))
        before = set(known)
        yield
        new = {key: value for key, value in known.items() if key not in before}
        if new or not path.exists():
            save(path, load(path, device) | new)


@contextlib.contextmanager
def turn(path: Path, waiting: Waiting = lambda: None) -> Iterator[None]:
    """One process at a time makes what is kept at `path`; `waiting` is called each second that another one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with guarded(path.parent, _guard(path), waiting):
        yield


def in_the_making(path: Path) -> bool:
    """Whether another process makes what will be kept at `path`, now."""
    return not path.exists() and guard_held(path.parent, _guard(path))


def _guard(path: Path) -> str:
    return f".{path.name}.guard"


def _flatten(value: Any, tensors: dict[str, Tensor], name: str) -> list[Any]:
    """[kind, content] of a value; tensors and arrays go to `tensors` under the path that leads to them."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return ["tensor", name]
    if isinstance(value, np.ndarray):
        tensors[name] = torch.as_tensor(np.ascontiguousarray(value))
        return ["array", name]
    if isinstance(value, dict):
        return ["dict", [[key, _flatten(v, tensors, f"{name}/{i}")] for i, (key, v) in enumerate(value.items())]]
    if isinstance(value, tuple):
        return ["tuple", [_flatten(v, tensors, f"{name}/{i}") for i, v in enumerate(value)]]
    if value is None or isinstance(value, bool | int | float | str):
        return ["value", value]
    raise TypeError(f"{name} is a {type(value).__name__}: only tensors, arrays, numbers and texts can be kept")


def _rebuilt(node: list[Any], tensors: dict[str, Tensor], device: torch.device) -> Any:
    kind, content = node
    if kind == "tensor":
        return tensors[content].to(device)
    if kind == "array":
        return tensors[content].numpy()
    if kind == "dict":
        return {key: _rebuilt(child, tensors, device) for key, child in content}
    if kind == "tuple":
        return tuple(_rebuilt(child, tensors, device) for child in content)
    return content
