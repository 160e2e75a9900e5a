"""Mixing regularisation of style-based decoders (Karras, Laine, Aila 2019, arXiv:1812.04948, section 3.1).

There a share of the pictures is made with two random latents, one styling the layers below a random crossover, the
other those above, so that the network cannot assume that the styles of neighbouring layers belong together. An
autoencoder has a target to meet, so here the two are samples of one picture's latent, and the target stays.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models.losses import FaceL1
from models.step import Factor, Step, over_people
from models.swapper import Swapper


class StyleMixing:
    """Face-weighted L1 of a picture styled by two samples of its latent, crossed over at a random layer.

    `probability`: of a step to be mixed (0.9 in the paper); the term is 0 in the others. The crossover is drawn anew at
    every step and is the same for the whole batch.
    """

    def __init__(self, probability: Factor = 0.9, background: Factor = 0.1):
        if probability > 1:
            raise ValueError(f"probability must be at most 1, not {probability:g}")
        self.probability = probability
        self.face = FaceL1(background)

    def bind(self, model: Swapper, size: int) -> None:
        """ValueError for a model whose decoders have no layers of styles, or that samples no latents."""
        if not hasattr(model, "mix"):
            raise ValueError("it mixes the styles of layers, which only the variant `style` has")
        if getattr(model, "layers", 0) < 2:
            raise ValueError("it needs two layers of styles or more to cross over")
        if not model.sample:
            raise ValueError("it mixes two samples of a latent, and this model has no VAE")

    def __call__(self, step: Step) -> Tensor:
        if float(torch.rand(())) >= self.probability:
            return step.zero()
        style: Any = step.model
        depth = int(torch.randint(1, style.layers, ()))
        return over_people(step, lambda p: self.of(step, p, depth))

    def of(self, step: Step, person: str, depth: int) -> Tensor:
        """The mixed picture of one person against the target, the coarsest `depth` layers by the latent in use."""
        mu, logvar = step.mu[person], step.logvar[person]
        other = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        style: Any = step.model
        with step.autocast():
            picture = style.mix(step.z[person], other, person, depth)
        return self.face.of(picture, step.target[person], step.alpha[person])


LOSSES = {"style_mixing": StyleMixing}
