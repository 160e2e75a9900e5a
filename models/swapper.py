"""The face swapper: one encoder, one decoder per person. `decode(encode(src).mu, "dst")` is the swap."""

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

    def fixed_sample(self) -> Tensor:
        """mu + sigma * noise, (B, C, h, w), the noise the same at every call: row i of any batch gets the same."""
        shape = self.mu.shape
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(shape, generator=generator, device="cpu").to(self.mu)
        return self.mu + torch.exp(0.5 * self.logvar) * noise


class PersonDecoder(nn.Module):
    """One person's whole decoder: latent (B, C, h, w) to picture (B, 3, S, S) in [0, 1], shared parts included.

    `parts` run one after the other; a fourth channel of the last one's output, the mask, is left out.
    """

    def __init__(self, parts: list[nn.Module], training: bool):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.training = training  # as the parts: restoring it restores them

    def forward(self, z: Tensor) -> Tensor:
        for part in self.parts:
            z = part(z)
        return z[:, :3].float()


class Swapper(nn.Module):
    """Encoder, Gaussian head and one decoder per person; parts of the decoders may be shared.

    `encoder` maps pictures (B, 3, S, S) in [0, 1] to features, `head` features to (mu, logvar). A latent (B,
    *latent_shape) becomes a person's picture by `trunk` (shared, optional), `decoders[person]`, then `tail`
    (shared, optional): (B, 3, S, S) in [0, 1], or (B, 4, S, S) with a predicted mask as the fourth channel. `sample`
    says whether training decodes a sample (a VAE) or the mean, `sample_when_decoding` the same of swaps and scores.
    `cellwise`: the decoders are convolutional from the latent on, so that a latent equal in every cell asks for a flat
    picture. ValueError when swaps shall be sampled without a VAE.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        decoders: dict[str, nn.Module],
        latent_shape: tuple[int, int, int],
        sample: bool = True,
        *,
        sample_when_decoding: bool = False,
        trunk: nn.Module | None = None,
        tail: nn.Module | None = None,
        cellwise: bool = True,
    ):
        super().__init__()
        if sample_when_decoding and not sample:
            raise ValueError("sample_when_decoding needs a VAE: a plain autoencoder has nothing to sample")
        self.encoder, self.head = encoder, head
        self.decoders = nn.ModuleDict(decoders)
        self.trunk, self.tail = trunk, tail
        self.latent_shape, self.sample = latent_shape, sample
        self.sample_when_decoding, self.cellwise = sample_when_decoding, cellwise

    @property
    def people(self) -> tuple[str, ...]:
        """The names of the people who can be decoded."""
        return tuple(self.decoders)

    @property
    def latent_cells(self) -> int:
        """Spatial cells of the latent, h * w."""
        return self.latent_shape[1] * self.latent_shape[2]

    def encode(self, x: Tensor) -> Latent:
        """(B, 3, S, S) display values in [0, 1] -> Latent of (B, *latent_shape), in float32."""
        mu, logvar = self.head(self.encoder(x))
        return Latent(mu.float(), logvar.float())

    def test_code(self, latent: Latent) -> Tensor:
        """What is decoded outside training, (B, *latent_shape): the mean or, if asked for, a sample by fixed noise."""
        return latent.fixed_sample() if self.sample_when_decoding else latent.mu

    def decode(self, z: Tensor, person: str) -> Tensor:
        """Latent (B, *latent_shape) -> `person`'s picture (B, 3, S, S) in [0, 1], in float32."""
        return self.decode_with_mask(z, person)[0]

    def decode_with_mask(self, z: Tensor, person: str) -> tuple[Tensor, Tensor | None]:
        """Latent -> `person`'s picture (B, 3, S, S) and predicted mask (B, 1, S, S), both in [0, 1] and float32.

        The mask is None where the decoders predict none.
        """
        for part in self._parts(person):
            z = part(z)
        return split_mask(z)

    def swap(self, x: Tensor, target: str) -> Tensor:
        """Driver pictures (B, 3, S, S) -> the target person in the driver's pose, (B, 3, S, S)."""
        return self.decode(self.test_code(self.encode(x)), target)

    def person_decoders(self) -> dict[str, PersonDecoder]:
        """Each person's whole decoder as one module over the swapper's own weights, for looking into its layers."""
        return {person: PersonDecoder(self._parts(person), self.training) for person in self.people}

    def _parts(self, person: str) -> list[nn.Module]:
        return [part for part in (self.trunk, self.decoders[person], self.tail) if part is not None]

    def clip_groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by network, each clipped on its own: the encoder with its head, each person's own decoder
        ("decoder_<person>"), and what decoders share ("decoder"). Groups without parameters are left out."""
        groups = {"encoder": [*self.encoder.parameters(), *self.head.parameters()]}
        for person, decoder in self.decoders.items():
            groups[f"decoder_{person}"] = list(decoder.parameters())
        groups["decoder"] = [p for part in (self.trunk, self.tail) if part is not None for p in part.parameters()]
        return {name: parameters for name, parameters in groups.items() if parameters}

    def rate_groups(self) -> Iterator[tuple[str, list[nn.Parameter]]]:
        """Parameters by learning rate: ("vae", the mean and log-variance branches) and ("body", everything else)."""
        vae = set(self.head.parameters())
        yield "vae", list(self.head.parameters())
        yield "body", [p for p in self.parameters() if p not in vae]


def split_mask(picture: Tensor) -> tuple[Tensor, Tensor | None]:
    """(B, 3 or 4, S, S) -> RGB (B, 3, S, S) and mask (B, 1, S, S) or None, in float32.

    In torch's default layout: with three channels channels_last only costs the losses time.
    """
    return picture[:, :3].float().contiguous(), picture[:, 3:].float() if picture.shape[1] > 3 else None
