"""Objectives that look at the swap itself: whom it shows, in what pose, and whether the way back leads home.

The readers are frozen: gradients flow through them to the picture, and none to their weights. No ground truth is used:
each term compares the swap with the driver's or the target's own pictures.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models import pretrained, recognise
from models.losses import FaceL1
from models.photographs import FaceNet
from models.step import Count, Factor, Pace, Ramp, Start, Step

RECOGNISERS = ("trainer", "facenet")


class IdentityEmbedding:
    """Identity embedding ("ArcFace ID loss"): 1 - cos(embed(swap), embed(target person)), both directions, in [0, 2].

    `recogniser: trainer` reads built-in faces only; `facenet` is for photographs and takes CASIA's weights, because
    VGGFace2's score (both must be present). The recogniser that scores built-in faces is refused: a loss must not be
    its own judge. `toward: mean` compares with the person's mean direction over the batch, `image` with the i-th
    picture of the target. `start`, `ramp`, `every`: `models.step.Pace`.
    """

    reads: ClassVar = (recognise.WEIGHTS / "trainer.json",)

    def __init__(
        self,
        recogniser: Literal["trainer", "facenet"] = "trainer",
        toward: Literal["mean", "image"] = "mean",
        start: Start = 0.0,
        ramp: Ramp = 0.0,
        every: Count = 1,
    ):
        if recogniser not in RECOGNISERS:
            raise ValueError(
                f"the recogniser {recogniser!r} cannot train: 'judge' only scores, and a swap trained on it would be "
                f"judged by its own teacher. Expected one of: {', '.join(RECOGNISERS)}"
            )
        self.toward, self.pace = toward, Pace(start, ramp, every)
        self.embed: nn.Module = FaceNet("casia") if recogniser == "facenet" else recognise.load("trainer")
        self.embed.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @classmethod
    def preflight(cls, options: dict[str, Any]) -> None:
        """MissingWeights or BadWeights when the term could not be built, or would train on the one that scores."""
        if options["recogniser"] == "facenet":
            for name in ("casia", "vggface2"):
                pretrained.verify(name)

    @classmethod
    def unfit(cls, options: dict[str, Any], builtin_faces: bool) -> str | None:
        """Why the term cannot read these faces, or None."""
        if builtin_faces == (options["recogniser"] == "trainer"):
            return None
        if builtin_faces:
            return "the recogniser facenet reads photographs only; for the built-in faces: recogniser: trainer"
        return "the recogniser trainer reads the built-in faces only; for photographs: recogniser: facenet"

    def __call__(self, step: Step) -> Tensor:
        factor = self.pace.at(step)
        if not factor:
            return step.zero()
        with torch.no_grad():
            real = _read(self.embed, step, torch.cat(list(step.target.values()))).chunk(len(step.target))
        people = dict(zip(step.target, real, strict=True))
        swapped = _read(self.embed, step, step.swaps()).chunk(len(step.directions))
        values = [self.of(x, people[target]) for x, (_, target) in zip(swapped, step.directions, strict=True)]
        return factor * torch.stack(values).mean()

    def of(self, swap: Tensor, real: Tensor) -> Tensor:
        """Unit vectors (B, E) of swaps and of the target person's pictures -> scalar in [0, 2]."""
        if self.toward == "mean":
            real = normalize(real.mean(0, keepdim=True), dim=1)
        return (1 - (swap * real).sum(1)).mean()


class Landmark:
    """Landmark loss: squared distance of the landmarks of swap and driver, in squared inter-ocular distances.

    Read by the built-in regressor, which is differentiable and reads built-in faces only. `of`: compare the swap with
    its driver, the reconstruction with its target, or both (their mean); `pose`: weight of the same for the
    regressor's pose and expression, each in its standard deviations. `start`, `ramp`, `every`: `models.step.Pace`.
    """

    reads: ClassVar = (recognise.WEIGHTS / "regressor.json",)

    def __init__(
        self,
        of: Literal["swap", "rec", "both"] = "swap",
        pose: Factor = 0.0,
        start: Start = 0.0,
        ramp: Ramp = 0.0,
        every: Count = 1,
    ):
        self.shown, self.pose, self.pace = of, pose, Pace(start, ramp, every)
        reader = recognise.load("regressor")
        assert isinstance(reader, recognise.Regressor)
        self.read = reader.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        names = reader.landmark_names
        self.eyes = [names.index("eye_left"), names.index("eye_right")]

    @classmethod
    def unfit(cls, options: dict[str, Any], builtin_faces: bool) -> str | None:
        """Why the term cannot read these faces, or None."""
        return None if builtin_faces else "its regressor reads the built-in faces only; leave the term out"

    def __call__(self, step: Step) -> Tensor:
        factor = self.pace.at(step)
        if not factor:
            return step.zero()
        asked, shown = [], []
        if self.shown != "rec":
            asked += [step.inputs[driver] for driver, _ in step.directions]
            shown.append(step.swaps())
        if self.shown != "swap":
            asked += list(step.target.values())
            shown += list(step.rec.values())
        with torch.no_grad():
            truth = _read(self.read, step, torch.cat(asked))
        return factor * self.of(_read(self.read, step, torch.cat(shown)), truth)

    def of(self, found: dict[str, Tensor], truth: dict[str, Tensor]) -> Tensor:
        """Two readings {"landmarks": (B, L, 2), "pose": (B, P)} -> scalar."""
        points = truth["landmarks"]
        eyes = (points[:, self.eyes[0]] - points[:, self.eyes[1]]).norm(dim=1).mean().clamp_min(0.05)
        value = ((found["landmarks"] - points) / eyes).square().sum(2).mean()
        if self.pose:
            difference = (found["pose"] - truth["pose"]) / self.read.pose_deviation
            value = value + self.pose * difference.square().mean()
        return value


class Cycle:
    """Cycle: the swap, encoded again and decoded by its driver's own decoder, against the driver (face-weighted L1).

    `background`: as of the face-weighted L1. `detach`: the swap is taken as it is, and only the way back learns.
    `start`, `ramp`, `every`: `models.step.Pace`.
    """

    def __init__(
        self,
        background: Factor = 0.1,
        detach: bool = False,
        start: Start = 0.0,
        ramp: Ramp = 0.0,
        every: Count = 1,
    ):
        self.compare, self.detach, self.pace = FaceL1(background), detach, Pace(start, ramp, every)

    def __call__(self, step: Step) -> Tensor:
        factor = self.pace.at(step)
        if not factor:
            return step.zero()
        swaps = step.swaps().detach() if self.detach else step.swaps()
        back = dict(zip(step.directions, step.encode(swaps).mu.chunk(len(step.directions)), strict=True))
        values = [
            self.compare.of(step.decode(code, driver), step.target[driver], step.alpha[driver])
            for (driver, _), code in back.items()
        ]
        return factor * torch.stack(values).mean()


def _read(reader: nn.Module, step: Step, pictures: Tensor) -> Any:
    """What a frozen reader says of pictures (B, 3, H, W), read where the step is and at its precision."""
    if next(reader.parameters()).device != pictures.device:
        reader.to(pictures.device)
    reader.bf16 = step.precision == "bf16"  # type: ignore[assignment]
    with step.autocast():
        return reader(step.display(pictures).contiguous(memory_format=torch.channels_last))


LOSSES: dict[str, type] = {"identity_embedding": IdentityEmbedding, "landmark": Landmark, "cycle": Cycle}
