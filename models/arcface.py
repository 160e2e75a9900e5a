"""ArcFace recognisers (Deng et al. 2019) from a file of the user's own: safetensors of an IResNet, or ONNX.

Both take display pictures of faces aligned to the ArcFace template, resized to 112 pixels, and give unit vectors. The
safetensors hold what insightface's `arcface_torch` saves: its keys, of 18 to 200 layers.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from models.pretrained import BadWeights, sha256

SIDE = 112  # pixels
WIDTHS = (64, 128, 256, 512)
NEEDED = "an ArcFace network as ONNX needs the packages onnx and onnxruntime: uv pip install 'faceswap-bench[onnx]'"


class Block(nn.Module):
    """Residual block of an IResNet: norm, convolution, norm, PReLU, strided convolution, norm."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.prelu = nn.PReLU(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        changes = stride != 1 or c_in != c_out
        skip = [nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)] if changes else []
        self.downsample = nn.Sequential(*skip)

    def forward(self, x: Tensor) -> Tensor:
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + self.downsample(x)


class IResNet(nn.Module):
    """(B, 3, 112, 112) in [-1, 1] -> (B, E). `blocks`: of each of the four stages, each halving the side."""

    def __init__(self, blocks: Iterable[int], features: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1, self.prelu = nn.BatchNorm2d(WIDTHS[0]), nn.PReLU(WIDTHS[0])
        before = WIDTHS[0]
        for number, (count, width) in enumerate(zip(blocks, WIDTHS, strict=True), start=1):
            layer = [Block(before if k == 0 else width, width, 2 if k == 0 else 1) for k in range(count)]
            self.add_module(f"layer{number}", nn.Sequential(*layer))
            before = width
        self.bn2 = nn.BatchNorm2d(before)
        self.fc = nn.Linear(before * (SIDE // 16) ** 2, features)
        self.features = nn.BatchNorm1d(features)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in range(1, len(WIDTHS) + 1):
            x = getattr(self, f"layer{number}")(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


@functools.cache
def shapes(blocks: tuple[int, ...], features: int = 512) -> dict[str, tuple[int, ...]]:
    """{key: shape} of a file."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in IResNet(blocks, features).state_dict().items()}


def blocks_of(keys: Iterable[str]) -> tuple[int, ...]:
    """How many blocks each stage has, by the keys of a file."""
    found = [[int(m[1]) for key in keys if (m := re.match(rf"layer{n}\.(\d+)\.", key))] for n in range(1, 5)]
    return tuple(max(numbers, default=-1) + 1 for numbers in found)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file of an IResNet. Raises BadWeights."""
    try:
        with safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise BadWeights(f"{path}: not a readable file of safetensors: {error}") from None
    blocks = blocks_of(state)
    if min(blocks) < 1 or "fc.weight" not in state:
        raise BadWeights(f"{path}: not an IResNet of arcface_torch: its keys begin {', '.join(sorted(state)[:3])}")
    expected = shapes(blocks, len(state["fc.weight"]))
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    if wrong := sorted((expected.keys() - counters) ^ (state.keys() - counters)):
        raise BadWeights(f"{path}: of another network: {wrong[0]} and {len(wrong) - 1} other keys do not fit")
    for key, value in state.items():
        if tuple(value.shape) != expected[key]:
            raise BadWeights(f"{path}: {key} has shape {tuple(value.shape)}, expected {expected[key]}")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadWeights(f"{path}: {key} holds numbers that are not finite")
    return state | {key: torch.zeros((), dtype=torch.long) for key in counters - state.keys()}


def _fitted(images: Tensor) -> Tensor:
    """Display pictures (B, 3, H, W) in [0, 1] at the network's size."""
    images = images.float()
    if images.shape[-2:] != (SIDE, SIDE):
        images = interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    return images.clamp(0, 1)


class ArcFace(nn.Module):
    """An IResNet on display pictures (B, 3, H, W) in [0, 1] -> (B, E) unit vectors. Frozen, always in eval.

    The whole frame is taken for the ArcFace square. Raises BadWeights.
    """

    template_crop = 1.0  # the crop factor of what it was trained on

    def __init__(self, path: Path) -> None:
        super().__init__()
        state = read(path)
        self.name, self.weights_sha256 = "arcface", sha256(path)
        with torch.device("meta"):
            self.net = IResNet(blocks_of(state), len(state["fc.weight"]))
        float32 = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
        self.net.load_state_dict(float32, assign=True)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval, whatever a parent asks for."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        found = [normalize(self.net(part * 2 - 1), dim=1) for part in _fitted(images).split(32)]
        return torch.cat(found) if found else images.new_zeros(0, len(self.net.features.weight))


class ArcFaceOnnx:
    """The same of an ONNX file: one input (B or 1, 3, 112, 112), one output (B or 1, E). On the CPU.

    Files that scale pixels themselves are given 0 to 255, others -1 to 1. Raises BadWeights.
    """

    template_crop = 1.0

    def __init__(self, path: Path) -> None:
        if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxruntime")):
            raise BadWeights(f"{path}: {NEEDED}")
        import onnxruntime

        self.name, self.weights_sha256 = "arcface-onnx", sha256(path)
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            (given,), (taken,) = self.session.get_inputs(), self.session.get_outputs()
            self.scales = _scales_itself(path)
        except Exception as error:  # onnxruntime raises kinds of its own
            first = str(error).strip().splitlines()[0][:200]
            raise BadWeights(f"{path}: not a usable ONNX file of a recogniser: {first}") from None
        if list(given.shape[1:]) != [3, SIDE, SIDE] or len(taken.shape) != 2:
            raise BadWeights(
                f"{path}: takes {given.shape} and gives {taken.shape}, expected [B, 3, 112, 112] and [B, E]"
            )
        self.input, self.single = given.name, given.shape[0] == 1

    def __call__(self, images: Tensor) -> Tensor:
        pixels = _fitted(images)
        array = (pixels * 255 if self.scales else pixels * 2 - 1).cpu().numpy()
        parts = np.split(array, len(array)) if self.single and len(array) else [array]
        found = [torch.from_numpy(self.session.run(None, {self.input: part})[0]) for part in parts]
        return normalize(torch.cat(found).float(), dim=1).to(images.device)


def _scales_itself(path: Path) -> bool:
    """Whether the first operations subtract and multiply: such networks take pixels from 0 to 255."""
    import onnx

    first = [node.op_type for node in onnx.load(str(path), load_external_data=False).graph.node[:8]]
    return "Sub" in first and "Mul" in first


def load(path: Path) -> Any:
    """The recogniser of a file, by its suffix."""
    return ArcFaceOnnx(path) if path.suffix == ".onnx" else ArcFace(path)
