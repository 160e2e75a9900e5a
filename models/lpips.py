"""LPIPS (Zhang et al. 2018, eq. 1), from the files of torchvision's trunks and of the lpips package's linear layers.

Written anew for training: frozen to the last layer, always in eval, the target's branch without a graph, bfloat16 where
asked, and a gradient that is finite where all features are zero. Neither torchvision nor the package is imported: that
takes seconds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor, nn

from models import pretrained
from models.pretrained import BadWeights

Net = Literal["vgg", "alex", "squeeze"]
# Of each trunk: the layers of `features` after which it is tapped, channels there, the classifier's shapes (unused, yet
# they must be in the file), and the smallest picture side that its poolings leave anything of.
TAPS = {"vgg": (3, 8, 15, 22, 29), "alex": (1, 4, 7, 9, 11), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
CHANNELS = {
    "vgg": (64, 128, 256, 512, 512),
    "alex": (64, 192, 384, 256, 256),
    "squeeze": (64, 128, 256, 384, 384, 512, 512),
}
CLASSIFIERS: dict[str, dict[int, tuple[int, ...]]] = {
    "vgg": {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)},
    "alex": {1: (4096, 9216), 4: (4096, 4096), 6: (1000, 4096)},
    "squeeze": {1: (1000, 512, 1, 1)},
}
SMALLEST = {"vgg": 16, "alex": 32, "squeeze": 32}
LINEAR_SHA256 = {  # of lpips 0.1.4, weights/v0.1: another file would be another distance
    "vgg": "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    "alex": "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    "squeeze": "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
}
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of the package, for pictures in [-1, 1]
EPS = 1e-10  # under the root: the package adds it outside, where the root's slope at zero is infinite


class Fire(nn.Module):
    """SqueezeNet's module: 1 x 1 squeeze, then 1 x 1 and 3 x 3 side by side; (B, C, H, W) -> (B, 2 * expand, H, W)."""

    def __init__(self, channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


def trunk(net: Net) -> nn.Sequential:
    """`features` of torchvision's network up to the last tap, with its keys, freshly initialised."""
    layers: list[nn.Module] = []
    match net:
        case "vgg":
            channels = 3
            for count, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
                layers += [nn.MaxPool2d(2)] if layers else []
                for _ in range(count):
                    layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                    channels = width
        case "alex":
            layers += [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
            layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
            for before, after in ((192, 384), (384, 256), (256, 256)):
                layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
        case "squeeze":
            layers += [nn.Conv2d(3, 64, 3, stride=2), nn.ReLU()]
            for channels, squeeze, expand, pool in (
                (64, 16, 64, True),
                (128, 16, 64, False),
                (128, 32, 128, True),
                (256, 32, 128, False),
                (256, 48, 192, True),
                (384, 48, 192, False),
                (384, 64, 256, False),
                (512, 64, 256, False),
            ):
                layers += [nn.MaxPool2d(3, 2, ceil_mode=True)] if pool else []
                layers.append(Fire(channels, squeeze, expand))
    return nn.Sequential(*layers)


def shapes(net: Net) -> dict[str, tuple[int, ...]]:
    """{key: shape} of torchvision's whole file."""
    with torch.device("meta"):
        found = {f"features.{key}": tuple(value.shape) for key, value in trunk(net).state_dict().items()}
    for layer, shape in CLASSIFIERS[net].items():
        found |= {f"classifier.{layer}.weight": shape, f"classifier.{layer}.bias": shape[:1]}
    return found


def linear_file(net: Net) -> Path:
    """The lpips package's file of linear layers. BadWeights when the package is not installed."""
    package = importlib.util.find_spec("lpips")
    if package is None or package.origin is None:
        raise BadWeights("the package lpips is not installed: its linear layers are needed. Install lpips 0.1.4")
    return Path(package.origin).parent / "weights" / "v0.1" / f"{net}.pth"


def _read_trunk(net: Net) -> nn.Sequential:
    state = pretrained.read(pretrained.FILES[net].path, shapes(net))
    with torch.device("meta"):
        features = trunk(net)
    start = "features."
    own = {key.removeprefix(start): value.clone() for key, value in state.items() if key.startswith(start)}
    features.load_state_dict(own, assign=True)
    return features


def _read_linear(net: Net) -> list[Tensor]:
    file = linear_file(net)
    if not file.is_file() or pretrained.sha256(file) != LINEAR_SHA256[net]:
        raise BadWeights(f"{file}: not the linear layers of lpips 0.1.4. Install that package again")
    keys = {f"lin{k}.model.1.weight": (1, channels, 1, 1) for k, channels in enumerate(CHANNELS[net])}
    read = pretrained.read(file, keys)
    return [read[key].flatten().float() for key in keys]


class LPIPS(nn.Module):
    """Perceptual distance of pictures, (B, 3, H, W) twice, display values in [0, 1] -> (B,).

    The pictures are brought to [-1, 1] inside. The second one is the target: no gradient flows to it. bf16: the trunk
    runs in bfloat16, features are compared in float32. random: the trunk is drawn and the linear layers are equal,
    for rehearsals: no file is read, and the distance means nothing. Raises MissingWeights, BadWeights; ValueError for
    pictures that are too small.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Net = "vgg", bf16: bool = False, random: bool = False) -> None:
        super().__init__()
        self.net, self.bf16, self.name = net, bf16, f"lpips-{net}"
        self.weights_sha256 = "" if random else pretrained.verify(net)
        self.features = trunk(net) if random else _read_trunk(net)
        equal = [torch.full((channels,), 1 / channels) for channels in CHANNELS[net]]
        for k, weights in enumerate(equal if random else _read_linear(net)):
            self.register_buffer(f"linear{k}", weights)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval, whatever a parent asks for."""
        return super().train(False)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        if min(x.shape[-2:]) < SMALLEST[self.net]:
            raise ValueError(f"LPIPS of {self.net} needs pictures of {SMALLEST[self.net]} pixels, not {tuple(x.shape)}")
        with torch.no_grad():
            wanted = self._taps(target.detach())
        total = x.new_zeros(len(x), dtype=torch.float32)
        for k, (mine, other) in enumerate(zip(self._taps(x), wanted, strict=True)):
            weights = self.get_buffer(f"linear{k}")[:, None, None]
            # (B, C, h, w): squared difference of unit vectors, weighted over channels, averaged over places.
            total = total + ((mine - other).square() * weights).sum(dim=1).mean(dim=(1, 2))
        return total

    def _taps(self, x: Tensor) -> Sequence[Tensor]:
        x = ((2 * x.float() - 1) - self.shift) / self.scale
        x = x.contiguous(memory_format=torch.channels_last)
        found = []
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            for k, layer in enumerate(self.features):
                x = layer(x)
                if k in TAPS[self.net]:
                    found.append(x)
        with torch.autocast(x.device.type, enabled=False):
            return [unit(features.float()) for features in found]


def unit(features: Tensor) -> Tensor:
    """Features (B, C, h, w) at unit length over C; zero features stay zero, with a finite gradient."""
    return features * (features.square().sum(dim=1, keepdim=True) + EPS).rsqrt()
