"""A trained face swapper for use in Python: display pictures in, display pictures out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from harness import registry
from harness.compute import choose_device
from harness.data.encoding import to_display, to_linear
from harness.errors import UsageError
from harness.ledger.find import find_trial
from harness.ledger.records import Record
from harness.options import build_model
from harness.spec import Spec
from harness.train.checkpoint import read_weights
from models.swapper import Swapper

BATCH = 64  # pictures that go through the network at once


class TrainedSwapper:
    """The network of one finished trial. Pictures are sRGB display values in [0, 1], float32, (B, 3, size, size).

    A single picture (3, size, size) is taken and given as one. `size`: pixels of the side; `people`: whose faces it can
    show; `latent_shape`: (C, h, w); `record`: everything the trial came to; `network`: the torch module.
    """

    def __init__(self, network: Swapper, spec: Spec, record: Record, device: torch.device) -> None:
        self.network, self.spec, self.record, self.device = network, spec, record, device
        self.size, self.people = spec.data.size, network.people
        self.latent_shape = tuple(network.latent_shape)

    def __repr__(self) -> str:
        cells = "x".join(map(str, self.latent_shape))
        return f"<TrainedSwapper {self.record.name}: {self.size} px, latent {cells}, {', '.join(self.people)}>"

    def encode(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, size, size) in [0, 1] -> what is decoded of them, (B, C, h, w), float32 of any size.

        ValueError: pictures of another shape or range.
        """
        return torch.cat([self.network.test_code(self.network.encode(part)) for part in self._parts(x)])

    def decode(self, z: Tensor, to: str) -> Tensor:
        """Latents (B, C, h, w) -> the person `to` ("src" or "dst"), (B, 3, size, size), sRGB in [0, 1].

        ValueError: latents of another shape, nobody of this name.
        """
        return self.decode_with_mask(z, to)[0]

    def decode_with_mask(self, z: Tensor, to: str) -> tuple[Tensor, Tensor | None]:
        """As `decode`, with the predicted face mask (B, 1, size, size) in [0, 1]; None where none was learned."""
        self._known(to)
        if tuple(z.shape[1:]) != self.latent_shape:
            raise ValueError(f"latents are (B, {', '.join(map(str, self.latent_shape))}), not {tuple(z.shape)}")
        pairs = [self.network.decode_with_mask(part, to) for part in z.to(self.device).split(BATCH)]
        pictures = torch.cat([self._shown(picture) for picture, _ in pairs])
        masks = [mask for _, mask in pairs if mask is not None]
        return pictures, torch.cat(masks) if masks else None

    def swap(self, x: Tensor, to: str) -> Tensor:
        """Pictures (B, 3, size, size) -> the person `to` with their pose and expression: same shape, sRGB in [0, 1].

        With `to` the person who is shown, this is the reconstruction. ValueError as `encode` and `decode`.
        """
        pictures, _ = self.swap_with_mask(x, to)
        return pictures[0] if x.dim() == 3 else pictures

    def swap_with_mask(self, x: Tensor, to: str) -> tuple[Tensor, Tensor | None]:
        """(B, 3, size, size) -> swaps (B, 3, size, size) and predicted masks (B, 1, size, size), or None."""
        return self.decode_with_mask(self.encode(x), to)

    def _known(self, person: str) -> None:
        if person not in self.people:
            raise ValueError(f"there is nobody called {person!r} in this model; it shows {', '.join(self.people)}")

    def _parts(self, x: Tensor) -> Iterable[Tensor]:
        x = x[None] if x.dim() == 3 else x
        if x.dim() != 4 or tuple(x.shape[1:]) != (3, self.size, self.size):
            raise ValueError(
                f"pictures are (B, 3, {self.size}, {self.size}), not {tuple(x.shape)}: resize or crop them"
            )
        if not x.is_floating_point() or not bool(torch.isfinite(x).all()) or x.min() < -1e-3 or x.max() > 1 + 1e-3:
            raise ValueError("pictures hold display values from 0 to 1 as floating-point numbers: divide bytes by 255")
        x = x.to(self.device, torch.float32).clamp(0, 1)
        seen = x if self.spec.data.encoding == "srgb" else to_linear(x)
        return seen.contiguous(memory_format=torch.channels_last).split(BATCH)

    def _shown(self, picture: Tensor) -> Tensor:
        picture = picture.clamp(0, 1)
        return picture if self.spec.data.encoding == "srgb" else to_display(picture)


def load_model(
    trial: str | Path, *, root: str | Path = "results", device: str = "auto", plugins: Iterable[str | Path] = ()
) -> TrainedSwapper:
    """The model of a finished trial: its name, the beginning of it, or its folder.

    `root`: where results lie; `device`: auto, cpu or cuda; `plugins`: files of one's own with the variant. UsageError:
    no such trial, one that is not done, or a variant that is not known; EnvironmentProblem: weights missing or damaged.
    """
    for file in plugins:
        registry.load_plugin(Path(file))
    record = find_trial(trial, Path(root))
    sha256 = record.cost.get("weights_sha256")
    if record.status != "done" or not sha256:
        reason = f": {record.reason}" if record.reason else ""
        raise UsageError(f"{record.name} has no trained model: it is {record.status}{reason}. Choose a finished trial")
    spec = _spec(record)
    place = torch.device(choose_device(device))
    network: Any = build_model(spec)
    state = read_weights(record.folder / "weights.safetensors", sha256)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"{record.name}: its weights are of another network ({first}). Use the version it was "
                         "trained with, or train it again") from None  # fmt: skip
    network.requires_grad_(False).eval().to(place, memory_format=torch.channels_last)
    return TrainedSwapper(network, spec, record, place)


def _spec(record: Record) -> Spec:
    try:
        return Spec.model_validate_json(json.dumps(record.spec), strict=True)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UsageError(
            f"{record.name} was made by another version, whose settings cannot be read here ({where}). Train it again"
        ) from None
