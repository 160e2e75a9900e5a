"""Files of random weights with the names, keys and shapes of the real ones, made on the spot."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models import lpips, photographs, pretrained


def write(file: Path, name: Any, seed: int = 0) -> Path:
    """A file as the real one of that name. What the loaders do not use is one number seen as a whole tensor: small."""
    rng = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in (lpips.shapes(name) if name in lpips.TAPS else photographs.shapes(name)).items():
        if key.startswith(("classifier.", "logits.")):
            state[key] = torch.zeros(1).expand(shape)
        elif key.endswith("num_batches_tracked"):
            state[key] = torch.zeros((), dtype=torch.long)
        elif key.endswith("running_var"):
            state[key] = torch.rand(shape, generator=rng) + 0.5
        elif len(shape) > 1:
            state[key] = torch.randn(shape, generator=rng) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        else:  # biases, and the gains of batch normalisation
            state[key] = torch.full(shape, 1.0 if key.endswith("weight") else 0.1)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)
    return file


def publish(file: Path, name: str, patch: pytest.MonkeyPatch) -> None:
    """From now on the published hash of `name` is that of `file`."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    patch.setitem(pretrained.FILES, name, replace(pretrained.FILES[name], prefix=digest[:8]))


def install(home: Path, name: str, patch: pytest.MonkeyPatch, seed: int = 0) -> Path:
    """TORCH_HOME is `home`, and holds the file of `name`, rightly hashed."""
    patch.setenv("TORCH_HOME", str(home))
    file = write(pretrained.FILES[name].path, name, seed)
    if pretrained.FILES[name].prefix:
        publish(file, name, patch)
    return file
