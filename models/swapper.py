"""The two-decoder face swapper: one encoder, one decoder a person. `decode(encode(src).mu, "dst")` is the swap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

PEOPLE = ("src", "dst")


class Latent(NamedTuple):
    """A diagonal Gaussian over the latent: `mu` and `logvar`, each (B, C, h, w)."""

    mu: Tensor
    logvar: Tensor

    def sample(self) -> Tensor:
        """mu + sigma * noise, (B, C, h, w); the noise comes from torch's global generator."""
        return self.mu + torch.exp(0.5 * self.logvar) * torch.randn_like(self.mu)


class Swapper(nn.Module):
    """Encoder, Gaussian head and one decoder a person.

    `encoder` maps pictures (B, 3, S, S) in [0, 1] to features, `head` features to (mu, logvar), and `decoders[person]`
    a latent (B, *latent_shape) to pictures (B, 3, S, S) in [0, 1]. `sample` says whether training decodes a sample (a
    VAE) or the mean.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        decoders: dict[str, nn.Module],
        latent_shape: tuple[int, int, int],
        sample: bool = True,
    ):
        super().__init__()
        self.encoder, self.head = encoder, head
        self.decoders = nn.ModuleDict(decoders)
        self.latent_shape, self.sample = latent_shape, sample

    def encode(self, x: Tensor) -> Latent:
        """(B, 3, S, S) display values in [0, 1] -> Latent of (B, *latent_shape), in float32."""
        mu, logvar = self.head(self.encoder(x))
        return Latent(mu.float(), logvar.float())

    def decode(self, z: Tensor, person: str) -> Tensor:
        """Latent (B, *latent_shape) -> `person`'s picture (B, 3, S, S) in [0, 1], in float32."""
        return self.decoders[person](z).float()

    def swap(self, x: Tensor, target: str) -> Tensor:
        """Driver pictures (B, 3, S, S) -> the target person in the driver's pose, (B, 3, S, S)."""
        return self.decode(self.encode(x).mu, target)

    def clip_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by network, each clipped on its own: the encoder with its head, and each decoder."""
        groups = {"encoder": [*self.encoder.parameters(), *self.head.parameters()]}
        for person, decoder in self.decoders.items():
            groups[f"decoder_{person}"] = list(decoder.parameters())
        return groups

    def rate_groups(self) -> Iterator[tuple[str, list[nn.Parameter]]]:
        """Parameters by learning rate: ("vae", the mean and log-variance branches) and ("body", everything else)."""
        vae = set(self.head.parameters())
        yield "vae", list(self.head.parameters())
        yield "body", [p for p in self.parameters() if p not in vae]
