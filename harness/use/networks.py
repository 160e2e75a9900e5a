"""The parts of a trained swapper as plain networks of display pictures, and their graphs for other programs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.data.encoding import Encoding, to_display, to_linear
from harness.errors import UsageError
from harness.use.model import TrainedSwapper

MOST = 4096  # pictures in a batch


class Encoder(nn.Module):
    """sRGB pictures (B, 3, S, S) in [0, 1] -> latents (B, C, h, w): the mean, as swaps decode it."""

    def __init__(self, network: nn.Module, encoding: Encoding) -> None:
        super().__init__()
        self.network, self.encoding = network, encoding
        self.eval()

    def forward(self, picture: Tensor) -> Tensor:
        picture = picture.clamp(0, 1)
        seen = picture if self.encoding == "srgb" else to_linear(picture)
        return self.network.encode(seen).mu  # type: ignore[operator]


class Decoder(nn.Module):
    """Latents (B, C, h, w) -> a person's sRGB pictures in [0, 1], (B, 3, S, S), or (B, 4, S, S) with a learned mask."""

    def __init__(self, network: nn.Module, encoding: Encoding, person: str) -> None:
        super().__init__()
        self.network, self.encoding, self.person = network, encoding, person
        self.eval()

    def forward(self, latent: Tensor) -> Tensor:
        picture, mask = self.network.decode_with_mask(latent, self.person)  # type: ignore[operator]
        picture = picture.clamp(0, 1)
        picture = picture if self.encoding == "srgb" else to_display(picture)
        return picture if mask is None else torch.cat([picture, mask], dim=1)


def parts(model: TrainedSwapper) -> dict[str, tuple[nn.Module, Tensor]]:
    """{"encoder", "decoder_src", "decoder_dst": (network on the CPU, an example of its input)}.

    UsageError for a model that samples when it decodes: its noise is torch's own.
    """
    if model.network.sample_when_decoding:
        raise UsageError(f"{model.record.name} samples when it decodes (sample_when_decoding), and cannot be exported")
    network, encoding = model.network.cpu(), model.spec.data.encoding
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, model.size, model.size, generator=generator)
    latents = torch.randn(2, *model.latent_shape, generator=generator)
    found: dict[str, tuple[nn.Module, Tensor]] = {"encoder": (Encoder(network, encoding), pictures)}
    for person in model.people:
        found[f"decoder_{person}"] = (Decoder(network, encoding, person), latents)
    return found


def batches() -> tuple[dict[int, torch.export.Dim], ...]:
    """The first dimension of a part's input may be any."""
    return ({0: torch.export.Dim("batch", min=1, max=MOST)},)


def described(model: TrainedSwapper) -> dict[str, object]:
    """What a user of the exported parts must know, as JSON."""
    shape = list(model.latent_shape)
    channels = 3 if model.swap_with_mask(torch.zeros(1, 3, model.size, model.size), model.people[0])[1] is None else 4
    return {
        "trial": model.record.name,
        "digest": model.record.digest,
        "input": {"picture": ["batch", 3, model.size, model.size], "range": "sRGB display values from 0 to 1, RGB"},
        "latent": {"latent": ["batch", *shape], "range": "any"},
        "output": {
            "picture": ["batch", channels, model.size, model.size],
            "range": "as the input; channel 4 is the mask",
        },
        "swap": "decoder_dst(encoder(picture of src)) shows dst with the pose and expression of src",
        "note": "What it makes is synthetic: mark it as such. Swapping a real person's face needs their consent.",
    }
