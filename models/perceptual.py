"""Perceptual objectives: LPIPS, and a term that takes the multi-scale gradient where LPIPS's weights are not at hand.

A loss that needs files says so before anything is trained (`preflight`), and settles open choices before they could
enter a digest (`resolve`): what is recorded is what was done.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from models import pretrained
from models.losses import Gradient
from models.lpips import LPIPS
from models.step import Step, over_people


def compiler_at_hand() -> bool:
    """Whether `torch.compile` can make code for a GPU: it needs Triton and a C compiler."""
    compiler = shutil.which(os.environ.get("CC") or "cc") or shutil.which("gcc") or shutil.which("clang")
    return compiler is not None and importlib.util.find_spec("triton") is not None


class LpipsLoss:
    """LPIPS of reconstruction to target, mean over pictures; needs the weights of the trunk `net`: `harness weights`.

    The trunk is frozen. On CUDA it runs in bfloat16, and compiled as one graph where a compiler is at hand; elsewhere
    in float32 and eagerly. `random`: the trunk is drawn, not read, as in a rehearsal: as much arithmetic, no meaning.
    """

    def __init__(self, net: Literal["vgg", "alex", "squeeze"] = "vgg", random: bool = False):
        self.distance = LPIPS(net, random=random)

    @classmethod
    def preflight(cls, options: dict[str, Any]) -> None:
        """MissingWeights or BadWeights when the term could not be built."""
        if not options.get("random"):
            pretrained.verify(options["net"])

    def __call__(self, step: Step) -> Tensor:
        return over_people(step, lambda p: self.of(step.rec[p], step.target[p]))

    def of(self, rec: Tensor, target: Tensor) -> Tensor:
        """Two pictures (B, 3, H, W) in [0, 1] -> scalar."""
        if self.distance.shift.device != rec.device:
            self.distance.to(rec.device)
            self.distance.bf16 = rec.device.type == "cuda"
            if rec.device.type == "cuda" and compiler_at_hand():
                self.distance.compile(fullgraph=True, dynamic=False)
        return self.distance(rec, target).mean()


class Perceptual:
    """LPIPS or the multi-scale gradient difference; `kind: auto` takes LPIPS when the weights of `net` are present.

    `levels` are those of the gradient. `auto` is settled before the trial gets its digest, so a record never holds it.
    """

    def __init__(
        self,
        kind: Literal["auto", "lpips", "gradient"] = "auto",
        net: Literal["vgg", "alex", "squeeze"] = "vgg",
        levels: int = 3,
    ):
        chosen = self.resolve({"kind": kind, "net": net})["kind"]
        self.term: Callable[[Step], Tensor] = LpipsLoss(net) if chosen == "lpips" else Gradient(levels)

    @classmethod
    def resolve(cls, options: dict[str, Any]) -> dict[str, Any]:
        """The options with `auto` replaced by what it means on this machine now."""
        if options["kind"] != "auto":
            return dict(options)
        return {**options, "kind": "lpips" if pretrained.present(options["net"]) else "gradient"}

    @classmethod
    def preflight(cls, options: dict[str, Any]) -> None:
        """MissingWeights or BadWeights when the term could not be built."""
        if cls.resolve(options)["kind"] == "lpips":
            LpipsLoss.preflight(options)

    def __call__(self, step: Step) -> Tensor:
        return self.term(step)


LOSSES: dict[str, type] = {"lpips": LpipsLoss, "perceptual": Perceptual}
