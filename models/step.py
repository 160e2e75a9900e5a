"""What a loss term is (`Loss`) and what it reads (`Step`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

import torch
from annotated_types import Ge, Le, Lt
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from models.swapper import Latent, Swapper

Start = Annotated[float, Ge(0), Lt(1)]  # the ranges are checked where a suite is read
Ramp = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1)]
Factor = Annotated[float, Ge(0)]


@dataclass
class Step:
    """What one training step knows. Pictures are display values in [0, 1]; keys are the people ("src", "dst").

    inputs, target, rec: (B, 3, H, W) pictures encoded, asked for, and decoded by the person's own decoder; alpha: (B,
    1, H, W) matte of the target; mu, logvar, z: (B, C, h, w); number: index of this step of `total`; model: for terms
    that decode more; mask: (B, 1, H, W) predicted mattes, None or absent where the model has none; precision: "fp32"
    or "bf16", that of the passes through networks; encoding: of the pictures, "srgb" or "linear".
    """

    inputs: dict[str, Tensor]
    target: dict[str, Tensor]
    alpha: dict[str, Tensor]
    rec: dict[str, Tensor]
    mu: dict[str, Tensor]
    logvar: dict[str, Tensor]
    z: dict[str, Tensor]
    number: int
    total: int
    model: Swapper
    mask: dict[str, Tensor | None] = field(default_factory=dict)
    precision: str = "fp32"
    encoding: str = "srgb"
    _swaps: dict[tuple[str, str], Tensor] = field(default_factory=dict, repr=False)

    @property
    def directions(self) -> list[tuple[str, str]]:
        """(driver, target) of every swap: two for two people."""
        return list(permutations(self.rec, 2))

    def swap(self, driver: str, target: str) -> Tensor:
        """The latents of `driver` decoded by `target`'s decoder, (B, 3, H, W); decoded once a step for all terms."""
        if (driver, target) not in self._swaps:
            self._swaps[driver, target] = self.decode(self.z[driver], target)
        return self._swaps[driver, target]

    def swaps(self) -> Tensor:
        """All swaps in the order of `directions`, (2B, 3, H, W) for two people."""
        return torch.cat([self.swap(driver, target) for driver, target in self.directions])

    def decode(self, z: Tensor, person: str) -> Tensor:
        """One more pass through a decoder, (B, 3, H, W) in float32; batch norm's statistics stay as they are."""
        with still(self.model), self.autocast():
            return self.model.decode(z, person)

    def encode(self, x: Tensor) -> Latent:
        """One more pass through the encoder; batch norm's statistics stay as they are."""
        with still(self.model), self.autocast():
            return self.model.encode(x.contiguous(memory_format=torch.channels_last))

    def autocast(self) -> torch.autocast:
        """The context of a pass through a network at this step's precision."""
        device = next(iter(self.z.values())).device
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def display(self, x: Tensor) -> Tensor:
        """Pictures as recognisers want them, sRGB-encoded (IEC 61966-2-1): a change only where training is linear."""
        if self.encoding != "linear":
            return x
        knee = 0.0031308
        return torch.where(x <= knee, 12.92 * x, 1.055 * x.clamp_min(knee) ** (1 / 2.4) - 0.055)

    def zero(self) -> Tensor:
        """A scalar 0 on this step's device: the value of a term that does not act."""
        return next(iter(self.z.values())).new_zeros(())


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """Batch normalisation by its running statistics, without moving them.

    They are those of the reconstructions, by which a swap is normalised when it is scored. Normalised by themselves,
    swaps would be trained as nobody will see them.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


class Loss(Protocol):
    """A term of the objective: a class whose constructor's keywords are the options that a suite may set.

    Only the call is needed. Everything below it is optional, has the default written here, and is read through
    `trait`, so that a loss need not inherit from this class. A term with a network of its own is an `nn.Module`: its
    parameters join the optimiser, its gradients are clipped on their own, its weights go into the checkpoint.
    """

    reads: ClassVar[tuple[Path, ...]] = ()  # files that decide its values: their content is part of a trial's digest
    lr: float = 1.0  # factor on the learning rate of its own network

    def __call__(self, step: Step) -> Tensor:
        """The value, a scalar, of this step: for the swapper to minimise."""
        ...

    def bind(self, model: Swapper, size: int) -> None:
        """Called once, before the optimiser is made, with pictures of `size` px. ValueError: unfit for this model."""

    def own(self, step: Step) -> Tensor | None:
        """The objective of its own network, from detached inputs; None when it does not learn at this step."""
        return None

    def log(self) -> dict[str, Any]:
        """{name: number} to be told beside the value when a row of the history is written."""
        return {}

    @classmethod
    def resolve(cls, options: dict[str, Any]) -> dict[str, Any]:
        """The options with open choices settled on this machine; the result is part of a trial's digest."""
        return options

    @classmethod
    def preflight(cls, options: dict[str, Any]) -> None:
        """Asked before training. Raises models.pretrained.BadWeights, naming file and place, for what is missing."""

    @classmethod
    def unfit(cls, options: dict[str, Any], builtin_faces: bool) -> str | None:
        """Why these options do not fit these faces; None when they do."""
        return None


def trait(loss: Any, name: str) -> Any:
    """`name` of a loss (class or instance), or the default that `Loss` gives it."""
    if hasattr(loss, name):
        return getattr(loss, name)
    default = inspect.getattr_static(Loss, name)
    owner = loss if inspect.isclass(loss) else type(loss)
    return default.__get__(None if owner is loss else loss, owner) if hasattr(default, "__get__") else default


def over_people(step: Step, term: Callable[[str], Tensor]) -> Tensor:
    """The mean of `term(person)` over the people of a step."""
    people = list(step.rec)
    return torch.stack([term(person) for person in people]).mean()


def frozen(network: nn.Module, x: Tensor) -> Tensor:
    """The network's output; gradients flow to `x` and not to the network's weights."""
    return functional_call(network, {name: p.detach() for name, p in network.named_parameters()}, (x,))


@dataclass(frozen=True)
class Pace:
    """When a term acts, and how much: options that several terms share. ValueError for impossible ones.

    Nothing before the fraction `start` of the run; from there linear growth over the fraction `ramp` of the run. With
    `every: k` the term acts at each k-th step with k times its weight (lazy regularisation, Karras et al. 2020): its
    mean over the steps stays the same.
    """

    start: float = 0.0
    ramp: float = 0.0
    every: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.start < 1 and 0 <= self.ramp <= 1 and self.every >= 1):
            raise ValueError(f"start in [0, 1), ramp in [0, 1] and every of at least 1 are possible, not {self}")

    def at(self, step: Step) -> float:
        """The factor of the term at this step; 0 when it rests and need not be computed."""
        done = (step.number + 1) / step.total
        if done <= self.start or (step.number + 1) % self.every:
            return 0.0
        return self.every * (min(1.0, (done - self.start) / self.ramp) if self.ramp > 0 else 1.0)
