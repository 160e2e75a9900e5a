"""Recognisers of the built-in faces: two identity embedders, and a regressor of pose, expression and landmarks.

Each is a small convolutional network of 64 x 64 pictures, kept as `<name>.safetensors` with its training record
`<name>.json` beside it. `load` refuses weights that are not the ones the record describes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor, nn
from torch.nn.functional import grid_sample, interpolate, normalize

SIZE = 64  # pixels of a side that the networks see
# Inputs, outputs and stride of the plain embedder's convolutions: 64 pixels to 4.
PLAIN = ((3, 32, 2), (32, 48, 2), (48, 64, 1), (64, 96, 2), (96, 96, 1), (96, 160, 2), (160, 160, 1))
GLIMPSE = 20  # pixels of a side of what the regressor cuts out
WEIGHTS = Path(__file__).parent / "weights"


class WeightsError(RuntimeError):
    """A weights file or its training record is missing, damaged, or belongs to another network."""


class Residual(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation beside an identity (He et al. 2016); (B, C, H, W) kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(channels, channels), nn.ReLU(), _conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Embedder(nn.Module):
    """Display sRGB pictures (B, 3, H, W) in [0, 1] of any size -> (B, E) unit vectors: near for one identity.

    architecture: "residual" (ReLU, with shortcuts) or "plain" (3 x 3 convolutions in a row, SiLU: smooth, so that it
    can stand in a training loss).
    """

    bf16 = False  # for a training loss; scores are read in float32

    def __init__(self, architecture: str, dimensions: int = 64) -> None:
        super().__init__()
        if architecture not in ("residual", "plain"):
            raise ValueError(f"unknown architecture {architecture!r}; there are residual and plain")
        self.options: dict[str, Any] = {"architecture": architecture, "dimensions": dimensions}
        if architecture == "residual":
            layers: list[nn.Module] = [_conv(3, 24, 5, 2), nn.ReLU(), _conv(24, 48, 3, 2), nn.ReLU(), Residual(48)]
            layers += [_conv(48, 96, 3, 2), nn.ReLU(), Residual(96), _conv(96, 128, 3, 2), nn.ReLU(), Residual(128)]
            layers += [nn.Flatten(), nn.Linear(128 * (SIZE // 16) ** 2, dimensions)]
        else:
            layers = []
            for inputs, outputs, stride in PLAIN:
                layers += [_conv(inputs, outputs, 3, stride), nn.SiLU()]
            layers += [nn.Flatten(), nn.Dropout(0.4), nn.Linear(PLAIN[-1][1] * (SIZE // 16) ** 2, dimensions)]
        self.net = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        # Trained in bfloat16; read in float32 whatever surrounds it, unless `bf16` is set.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.training or self.bf16):
            vectors = self.net(prepare(images))
        return normalize(vectors.float(), dim=1)


class Regressor(nn.Module):
    """Display sRGB pictures (B, 3, H, W) in [0, 1] of any size -> {"pose": (B, P), "landmarks": (B, L, 2)}.

    pose: in the units of `pose_names` (degrees, ...); landmarks: fractions of the frame, x right, y down. It looks
    twice: rough landmarks are the centres of mass of heat maps (integral regression, Sun et al. 2018); upright
    glimpses of both eyes and of the mouth, cut out there at full resolution, then give the expression
    and correct the landmarks. While training, "rough" holds the first landmarks.
    """

    pose_mean: Tensor
    pose_deviation: Tensor
    bf16 = False  # for a training loss; scores are read in float32

    def __init__(
        self,
        pose_names: Sequence[str],
        landmark_names: Sequence[str],
        mean: Sequence[float],
        deviation: Sequence[float],
    ) -> None:
        super().__init__()
        self.pose_names, self.landmark_names = tuple(pose_names), tuple(landmark_names)
        self.options: dict[str, Any] = {
            "pose_names": list(pose_names),
            "landmark_names": list(landmark_names),
            "mean": list(mean),
            "deviation": list(deviation),
        }
        self.register_buffer("pose_mean", torch.tensor(list(mean)), persistent=False)
        self.register_buffer("pose_deviation", torch.tensor(list(deviation)), persistent=False)
        self.fine = nn.Sequential(_conv(3, 24, 5, 2), nn.ReLU(), _conv(24, 48, 3, 2), nn.ReLU(), Residual(48))
        self.middle = nn.Sequential(_conv(48, 80, 3, 2), nn.ReLU(), Residual(80))
        self.coarse = nn.Sequential(_conv(80, 112, 3, 2), nn.ReLU(), Residual(112))
        self.lower, self.lowest, self.lift = nn.Conv2d(80, 48, 1), nn.Conv2d(112, 48, 1), nn.Conv2d(48, 48, 1)
        self.maps = nn.Sequential(_conv(48, 48), nn.ReLU(), nn.Conv2d(48, len(landmark_names), 1))
        self.gather = nn.Sequential(nn.Linear(112 * (SIZE // 16) ** 2, 96), nn.BatchNorm1d(96), nn.ReLU())
        first = nn.Conv2d(9, 48, 3, padding=1, groups=3, bias=False)  # a third of the channels for each glimpse
        second = nn.Conv2d(48, 96, 3, 2, padding=1, groups=3, bias=False)
        self.glimpse = nn.Sequential(
            *(first, nn.BatchNorm2d(48), nn.ReLU(), second, nn.BatchNorm2d(96), nn.ReLU()),
            *(_conv(96, 96), nn.ReLU(), _conv(96, 96, 3, 2), nn.ReLU(), nn.Flatten()),
            *(nn.Linear(96 * (GLIMPSE // 4) ** 2, 96), nn.BatchNorm1d(96), nn.ReLU()),
        )
        points = 2 * len(landmark_names)
        self.read = nn.Sequential(nn.Linear(96 + 96 + points, 160), nn.ReLU())
        self.pose, self.correct = nn.Linear(160, len(pose_names)), nn.Linear(160, points)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = prepare(images)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.training or self.bf16):
            fine = self.fine(x)  # (B, 48, 16, 16)
            middle = self.middle(fine)  # (B, 80, 8, 8)
            coarse = self.coarse(middle)  # (B, 112, 4, 4)
            context = self.lower(middle) + interpolate(self.lowest(coarse), scale_factor=2.0)
            heat = self.maps(torch.relu(self.lift(fine) + interpolate(context, scale_factor=2.0)))
            rough = centre_of_mass(heat.float())
            near = self.glimpse(self._glimpses(x, rough.detach()))
            whole = self.gather(coarse.flatten(1))
        with torch.autocast(images.device.type, enabled=False):
            seen = self.read(torch.cat([whole.float(), near.float(), 8 * (rough.flatten(1) - 0.5)], 1))
            pose = self.pose(seen) * self.pose_deviation + self.pose_mean
            landmarks = rough + 0.05 * self.correct(seen).reshape(rough.shape)
        return {"pose": pose, "landmarks": landmarks} | ({"rough": rough} if self.training else {})

    def _glimpses(self, x: Tensor, landmarks: Tensor) -> Tensor:
        """(B, 3, S, S), (B, L, 2) -> (B, 9, G, G): left eye, right eye, mouth, turned so that the eyes are level."""
        at = dict(zip(self.landmark_names, landmarks.unbind(1), strict=True))
        along = normalize(at["eye_right"] - at["eye_left"], dim=1)
        turn = torch.stack([along, torch.stack([-along[:, 1], along[:, 0]], 1)], 2)  # (B, 2, 2): columns right, down
        axis = torch.linspace(-1, 1, GLIMPSE, device=x.device)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2)
        seen = []
        mouth = (at["mouth_left"] + at["mouth_right"]) / 2
        for centre, half, drop in ((at["eye_left"], 0.15, -0.03), (at["eye_right"], 0.15, -0.03), (mouth, 0.16, 0.0)):
            place = centre[:, None] + (grid * half + torch.tensor([0.0, drop], device=x.device)) @ turn.mT
            field = (place * 2 - 1).reshape(-1, GLIMPSE, GLIMPSE, 2)
            seen.append(grid_sample(x, field, padding_mode="border", align_corners=False))
        return torch.cat(seen, 1)


def prepare(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 1] -> (B, 3, 64, 64) in [-1, 1]; larger pictures are averaged down without aliasing."""
    if images.shape[-2:] != (SIZE, SIZE):
        images = interpolate(images.float(), (SIZE, SIZE), mode="bilinear", antialias=True)
    return images.float() * 2 - 1


def centre_of_mass(heat: Tensor) -> Tensor:
    """(B, L, H, W) logits -> (B, L, 2) places in fractions of the frame, a little beyond its edges at most."""
    height, width = heat.shape[-2:]
    share = heat.flatten(2).softmax(-1).reshape(heat.shape)
    # A map ends at the centre of its outer cells, and a softmax never gets there: stretch by a quarter.
    x = torch.linspace(-0.125, 1.125, width, device=heat.device)
    y = torch.linspace(-0.125, 1.125, height, device=heat.device)
    return torch.stack([(share.sum(2) * x).sum(-1), (share.sum(3) * y).sum(-1)], -1)


KINDS: dict[str, type[Embedder] | type[Regressor]] = {"embedder": Embedder, "regressor": Regressor}


def save(model: Embedder | Regressor, name: str, folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write `<name>.safetensors` (convolutions and matrices in float16) and its record; returns the full record."""
    tensors = {
        key: (value.half() if value.ndim > 1 else value).contiguous().cpu() for key, value in model.state_dict().items()
    }
    data = write_tensors(tensors)
    kind = next(kind for kind, cls in KINDS.items() if type(model) is cls)
    full = {"name": name, "kind": kind, "options": model.options, "sha256": hashlib.sha256(data).hexdigest()} | record
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(data)
    (folder / f"{name}.json").write_text(json.dumps(full, indent=1) + "\n")
    return full


def read_record(name: str, folder: Path = WEIGHTS) -> dict[str, Any]:
    """The training record of the recogniser `name`. Raises WeightsError when it is missing or unreadable."""
    path = folder / f"{name}.json"
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        raise WeightsError(f"the recogniser {name!r} has no training record {path}; train it again") from None
    except ValueError as error:
        raise WeightsError(f"the training record {path} is damaged ({error}); restore it or train again") from None
    lacking = {"kind", "options", "sha256"} - set(record) if isinstance(record, dict) else {"everything"}
    if lacking:
        raise WeightsError(f"the training record {path} lacks {', '.join(sorted(lacking))}; restore it or train again")
    return record


def load(name: str, folder: Path = WEIGHTS) -> Embedder | Regressor:
    """The recogniser `name`, float32, in eval mode and frozen (gradients flow to its input only).

    Raises WeightsError when a file is missing, when the weights are not those the record was written for (SHA-256), or
    when they do not fit the network key by key.
    """
    record = read_record(name, folder)
    path = folder / f"{name}.safetensors"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise WeightsError(f"the recogniser {name!r} has no weights {path}; train it again") from None
    found = hashlib.sha256(data).hexdigest()
    if found != record["sha256"]:
        raise WeightsError(
            f"{path} is damaged or not the file its record describes: SHA-256 {found[:12]}..., expected "
            f"{record['sha256'][:12]}...; restore both files or train again"
        )
    if record["kind"] not in KINDS:
        raise WeightsError(f"{path.with_suffix('.json')}: unknown kind {record['kind']!r}")
    model = KINDS[record["kind"]](**record["options"])
    try:
        model.load_state_dict({key: value.float() for key, value in read_tensors(data).items()}, strict=True)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the {record['kind']}: {error}") from None
    return model.eval().requires_grad_(False)
