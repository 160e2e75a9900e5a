"""Adversarial objectives: a discriminator of identity on the latent, and one of pictures.

Network and swapper learn in the same step, each from the other's state before it. The network is a part of the loss:
the loop trains it by `own`, keeps it in checkpoints and clips its gradient apart.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, relu, softplus

from models.discriminator import gradient_penalty, latent_critic, patch_critic
from models.step import Count, Factor, Pace, Ramp, Start, Step, frozen, over_people
from models.swapper import PEOPLE, Swapper


class AdversarialIdentity(nn.Module):
    """Adversarial identity: a discriminator guesses whose latent it is, the encoder learns to make it undecided.

    `mode: alternating`: the encoder is trained towards the two-sided uniform target, the divergence of the answer from
    1/2 : 1/2 in nats (Tzeng et al. 2015); 0 when the discriminator is undecided. `reversal`: gradient reversal (Ganin
    et al. 2016), what the discriminator knows beyond chance in nats. `width`: its channels; `lr`: factor on the
    learning rate; `learn_every`: it learns at each k-th step; `start`, `ramp`, `every`: when the encoder hears of it
    (`models.step.Pace`). Logged: its `accuracy` on the batch.
    """

    def __init__(
        self,
        mode: Literal["alternating", "reversal"] = "alternating",
        width: Count = 64,
        lr: Factor = 1.0,
        learn_every: Count = 1,
        start: Start = 0.0,
        ramp: Ramp = 0.0,
        every: Count = 1,
    ):
        super().__init__()
        self.mode, self.width, self.lr = mode, width, lr
        self.learning, self.pace = Pace(every=learn_every), Pace(start, ramp, every)
        self.accuracy: Tensor | None = None

    def bind(self, model: Swapper, size: int) -> None:
        """Builds the discriminator for the model's latent."""
        self.critic = latent_critic(model.latent_shape, len(PEOPLE), self.width)

    def __call__(self, step: Step) -> Tensor:
        factor = self.pace.at(step)
        return (
            factor * over_people(step, lambda p: self.of(frozen(self.critic, step.z[p]), p)) if factor else step.zero()
        )

    def of(self, logits: Tensor, person: str) -> Tensor:
        """Logits (B, people) of latents of `person` -> what the encoder is to make small, a scalar."""
        if self.mode == "reversal":
            return math.log(len(PEOPLE)) - cross_entropy(logits, self._truth(logits, person))
        return -log_softmax(logits, dim=1).mean() - math.log(len(PEOPLE))

    def own(self, step: Step) -> Tensor | None:
        """Cross-entropy of the discriminator, in nats; log 2 is chance."""
        if not self.learning.at(step):
            return None
        logits = {p: self.critic(z.detach()) for p, z in step.z.items()}
        with torch.no_grad():
            right = [(v.argmax(1) == PEOPLE.index(p)).float().mean() for p, v in logits.items()]
            self.accuracy = torch.stack(right).mean()
        return over_people(step, lambda p: cross_entropy(logits[p], self._truth(logits[p], p)))

    def log(self) -> dict[str, Tensor]:
        """The discriminator's accuracy when it last learned."""
        return {} if self.accuracy is None else {"accuracy": self.accuracy}

    def _truth(self, logits: Tensor, person: str) -> Tensor:
        return torch.full((len(logits),), PEOPLE.index(person), device=logits.device)


class ImageDiscriminator(nn.Module):
    """Image discriminator: patches of a person's real pictures against patches of decoded ones (PatchGAN with R1).

    `of`: judge swaps, reconstructions, or both; `kind`: hinge or non-saturating; `conditional`: one score a person
    over shared layers, else one for all; `r1`: weight gamma of the penalty gamma/2 |d score / d real|^2, taken at each
    `r1_every`-th step with as many times its weight; `width`, `lr`: channels, and factor on the learning rate;
    `start`, `ramp`, `every`: as in `models.step.Pace`, for swapper and discriminator. Logged: mean scores `real` and
    `fake`.
    """

    def __init__(
        self,
        of: Literal["swap", "rec", "both"] = "swap",
        kind: Literal["hinge", "nonsaturating"] = "hinge",
        conditional: bool = True,
        r1: Factor = 1.0,
        r1_every: Count = 16,
        width: Count = 32,
        lr: Factor = 1.0,
        start: Start = 0.0,
        ramp: Ramp = 0.0,
        every: Count = 1,
    ):
        super().__init__()
        self.shown, self.kind, self.conditional, self.width, self.lr = of, kind, conditional, width, lr
        self.r1, self.penalised, self.pace = r1, Pace(every=r1_every), Pace(start, ramp, every)
        self.scores: dict[str, Tensor] = {}

    def bind(self, model: Swapper, size: int) -> None:
        """Builds the discriminator for pictures of `size` pixels."""
        self.critic = patch_critic(size, len(PEOPLE) if self.conditional else 1, self.width)

    def __call__(self, step: Step) -> Tensor:
        factor = self.pace.at(step)
        if not factor:
            return step.zero()
        with step.autocast():
            scores = {p: self._of(frozen(self.critic, self._fakes(step, p)), p) for p in step.rec}
        return factor * over_people(step, lambda p: self._wants_real(scores[p]))

    def own(self, step: Step) -> Tensor | None:
        """The discriminator's own loss, with R1 at the steps that are its turn."""
        if not self.pace.at(step):
            return None
        values, said = [], []
        for person in step.rec:
            with step.autocast():
                real = self._of(self.critic(step.target[person]), person)
                fake = self._of(self.critic(self._fakes(step, person).detach()), person)
            values.append(self._tells(real, fake))
            said.append(torch.stack([real.detach().mean(), fake.detach().mean()]))
        self.scores = dict(zip(("real", "fake"), torch.stack(said).mean(0), strict=True))
        penalty = 0.5 * self.r1 * self.penalised.at(step)
        if penalty:
            values = [v + penalty * self.penalty(step.target[p], p) for v, p in zip(values, step.rec, strict=True)]
        return torch.stack(values).mean()

    def penalty(self, real: Tensor, person: str) -> Tensor:
        """R1 of one person's pictures (B, 3, H, W), in float32; a scalar."""
        real = real.detach().requires_grad_()
        return gradient_penalty(self._of(self.critic(real), person), real)

    def log(self) -> dict[str, Tensor]:
        """Mean scores of real and decoded pictures when it last learned."""
        return self.scores

    def _fakes(self, step: Step, person: str) -> Tensor:
        swaps = [step.swap(driver, target) for driver, target in step.directions if target == person]
        return torch.cat({"swap": swaps, "rec": [step.rec[person]], "both": [*swaps, step.rec[person]]}[self.shown])

    def _of(self, scores: Tensor, person: str) -> Tensor:
        at = PEOPLE.index(person) if self.conditional else 0
        return scores[:, at : at + 1].float()

    def _tells(self, real: Tensor, fake: Tensor) -> Tensor:
        if self.kind == "hinge":
            return relu(1 - real).mean() + relu(1 + fake).mean()
        return softplus(-real).mean() + softplus(fake).mean()

    def _wants_real(self, fake: Tensor) -> Tensor:
        return -fake.mean() if self.kind == "hinge" else softplus(-fake).mean()


LOSSES: dict[str, type] = {"adversarial_identity": AdversarialIdentity, "image_discriminator": ImageDiscriminator}
