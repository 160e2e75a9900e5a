"""The resolved specification of one trial: everything that decides its numbers, except the seed.

Frozen pydantic models without free keys: a misspelt key is an error, and the canonical JSON of a spec can be hashed.
Where a trial runs (device, folders, worker counts) is no part of it. This module imports nothing else of the harness.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Frozen(BaseModel):
    """Frozen, no unknown keys, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class AugmentSpec(Frozen):
    """Three augmentation steps (affine, elastic, zoom), each drawn with `probability`, composed into one resampling."""

    probability: Fraction = Field(default=0.5, description="chance of each of the three steps, per image")
    rotate: float = Field(
        default=8.0, ge=0.0, le=180.0, description="largest rotation of the affine step, degrees either way"
    )
    shift: float = Field(
        default=0.03, ge=0.0, le=0.5, description="largest shift of the affine step, fraction of the image side"
    )
    flip: Fraction = Field(default=0.5, description="chance of a mirror image within the affine step")
    warp: tuple[NonNegative, NonNegative] = Field(
        default=(0.003, 0.012), description="range of the elastic step's displacement, fraction of the image side"
    )
    warp_sigma: Positive = Field(
        default=1.0, le=64.0, description="smoothing of the elastic noise, cells of its coarsest lattice"
    )
    warp_octaves: int = Field(default=5, ge=1, le=12, description="octaves of the elastic noise")
    warp_amplitude: NonNegative = Field(default=1.0, le=100.0, description="factor on the elastic displacement")
    zoom: tuple[Positive, Positive] = Field(
        default=(0.88, 1.0), description="range of the zoom step: the part of the side that is kept, 1 keeps all"
    )
    order: Literal["warp_zoom", "zoom_warp"] = Field(
        default="warp_zoom", description="elastic before zoom (crops the smeared borders away) or after it"
    )
    affine: bool = Field(default=True, description="switch of the affine step")
    elastic: bool = Field(default=True, description="switch of the elastic step")
    zoom_step: bool = Field(default=True, description="switch of the zoom step")

    @field_validator("warp", "zoom")
    @classmethod
    def _ascending(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError(f"the range must ascend, got [{value[0]:g}, {value[1]:g}]")
        return value

    @field_validator("warp")
    @classmethod
    def _warp_below_half(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[1] > 0.5:
            raise ValueError("a displacement above 0.5 of the image side leaves the image")
        return value

    @field_validator("zoom")
    @classmethod
    def _zoom_in(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] < 0.1 or value[1] > 1.0:
            raise ValueError("zoom keeps between 0.1 and 1 of the side")
        return value


class LooseSpec(Frozen):
    """How loosely the built-in faces are aligned, one quantity at a time; unset: as `variation` has it."""

    roll: float | None = Field(default=None, ge=0.0, le=15.0, description="degrees either way")
    pitch: float | None = Field(default=None, ge=0.0, le=20.0, description="degrees either way")
    shift: float | None = Field(default=None, ge=0.0, le=0.08, description="shift of the head, half frames either way")
    zoom: float | None = Field(default=None, ge=0.0, le=0.08, description="size of the head, share either way")
    light: Fraction | None = Field(default=None, description="share of the lamp's range about its middle")
    crop: float | None = Field(
        default=None, ge=0.85, le=1.2, description="side of the frame; 1: the whole head fills it, below: it is cut off"
    )


PAIR_NAMES = ("random", "near", "mid", "far")


class DataSpec(Frozen):
    """Where the faces come from and how they reach the model."""

    source: str = Field(
        default="builtin", min_length=1, max_length=4096, description="`builtin`, or a folder with src/ and dst/"
    )
    pair: str | int = Field(
        default="random",
        description="who is shown of the built-in people. random: two new people each replicate, the pair that its "
        "seed counts; a number: this pair of them; near, mid, far: people made by hand, for pictures",
    )
    distance: tuple[float, float] = Field(
        default=(1.2, 1.6),
        description="how far random people are apart, standard deviations of their factors; strangers: 1.4",
    )
    variation: Literal["aligned", "free"] = Field(
        default="aligned",
        description="how the built-in faces are taken. aligned: as a face set is extracted; free: roll, shift, zoom "
        "and light roam",
    )
    loose: LooseSpec = Field(default_factory=LooseSpec, description="single loosenesses, instead of `variation`'s")
    frames: int = Field(default=400, ge=2, le=100_000, description="training images of each built-in person")
    eval_frames: int = Field(default=64, ge=2, le=10_000, description="matched evaluation poses of the built-in set")
    size: int = Field(default=64, ge=8, le=2048, description="image side, pixels")
    render_supersample: int = Field(default=2, ge=1, le=8, description="samples along each pixel side of the renderer")
    encoding: Literal["srgb", "linear"] = Field(
        default="srgb", description="what the model sees: sRGB-encoded or linear light"
    )
    alpha: Literal["premultiplied", "straight"] = Field(
        default="premultiplied", description="alpha convention of the files read"
    )
    target: Literal["warped", "unwarped"] = Field(
        default="warped", description="what the model must rebuild from a warped input"
    )
    repeat: int = Field(
        default=4, ge=1, le=1000, description="times each image is seen in one epoch, newly augmented each time"
    )
    pairing: Literal["shuffled", "fixed"] = Field(
        default="shuffled",
        description="shuffled: any image of src meets any of dst; fixed: image i of src always meets image i of dst",
    )
    holdout: float = Field(default=0.1, ge=0.0, le=0.5, description="part of an own folder that is kept from training")
    minimum: int = Field(default=16, ge=1, le=100_000, description="readable images a person must have")
    augment: AugmentSpec = Field(default_factory=AugmentSpec, description="augmentation")

    @field_validator("pair", mode="before")
    @classmethod
    def _known_pair(cls, value: Any) -> Any:
        number = isinstance(value, int) and not isinstance(value, bool)
        if value not in PAIR_NAMES and not (number and 0 <= value < 2**31):
            raise ValueError(f"expected {', '.join(PAIR_NAMES)}, or the number of a pair from 0 on")
        return value

    @field_validator("distance")
    @classmethod
    def _people_are_found(cls, value: tuple[float, float]) -> tuple[float, float]:
        low, high = value
        if not (0.1 <= low <= 1.7 and high - low >= 0.0499):
            raise ValueError("expected [low, high], low between 0.1 and 1.7, high at least 0.05 above it")
        return value


class ModelSpec(BaseModel):
    """A registered variant and the options of its builder. `options` are checked against the builder's signature."""

    model_config = ConfigDict(frozen=True, extra="allow")

    variant: str = Field(min_length=1, max_length=100, description="name of a registered variant")

    @property
    def options(self) -> dict[str, Any]:
        """The variant's own options, by name."""
        return dict(self.model_extra or {})


class LossTerm(BaseModel):
    """One registered loss term: its weight, and the options of the class."""

    model_config = ConfigDict(frozen=True, extra="allow")

    weight: NonNegative = Field(default=1.0, description="factor of this term in the total loss")

    @property
    def options(self) -> dict[str, Any]:
        """The term's own options, by name."""
        return dict(self.model_extra or {})


class OptimSpec(Frozen):
    """Optimiser and length of training."""

    steps: int | None = Field(default=None, ge=1, le=10_000_000, description="optimiser steps; unset: from `epochs`")
    epochs: int = Field(default=150, ge=1, le=1_000_000, description="passes over the data, used when `steps` is unset")
    batch: int = Field(default=32, ge=1, le=4096, description="images of each person in a step")
    lr: float = Field(default=2e-4, gt=0.0, le=10.0, allow_inf_nan=False, description="learning rate of Adam")
    schedule: Literal["constant", "cosine"] = Field(default="constant", description="course of the learning rate")
    warmup: int = Field(default=0, ge=0, le=10_000_000, description="steps of linear warm-up")
    betas: tuple[float, float] = Field(default=(0.5, 0.999), description="moment decay of Adam")
    algorithm: Literal["adam", "muon"] = Field(
        default="adam", description="muon: weight matrices and convolutions by Muon, everything else by Adam"
    )
    muon_lr: float = Field(default=0.03, gt=0.0, le=10.0, allow_inf_nan=False, description="learning rate of Muon")
    muon_momentum: float = Field(default=0.9, ge=0.0, lt=1.0, description="momentum of Muon (Nesterov's)")
    vae_lr: NonNegative = Field(default=0.5, le=100.0, description="factor on the learning rate of the VAE branches")
    clip: NonNegative = Field(default=4.0, description="largest gradient norm; 0 clips nothing")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 where the hardware computes it faster"
    )

    @field_validator("betas")
    @classmethod
    def _betas_below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0.0 <= beta < 1.0 for beta in value):
            raise ValueError("each beta must be at least 0 and below 1")
        return value

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.steps is not None and self.warmup > self.steps:
            raise ValueError(f"warmup ({self.warmup}) is longer than the training (steps: {self.steps})")
        return self


class ScoreSpec(Frozen):
    """How the finished model is scored and shown."""

    batch: int = Field(default=64, ge=1, le=4096, description="images scored at a time")
    previews: int = Field(default=6, ge=0, le=1000, description="moments of training at which a preview strip is drawn")
    preview_faces: int = Field(default=4, ge=1, le=64, description="fixed faces in a preview strip")


class Spec(Frozen):
    """All that decides a trial's numbers, except its seed."""

    data: DataSpec = Field(default_factory=DataSpec, description="faces and augmentation")
    model: ModelSpec = Field(description="a variant and its options")
    loss: dict[str, LossTerm] = Field(min_length=1, description="loss terms: name: weight, or name: {weight, options}")
    optim: OptimSpec = Field(default_factory=OptimSpec, description="optimiser and length of training")
    score: ScoreSpec = Field(default_factory=ScoreSpec, description="scoring and previews")

    @field_validator("loss", mode="before")
    @classmethod
    def _weights_alone(cls, value: Any) -> Any:
        """`kl: 1e-3` means `kl: {weight: 1e-3}`."""
        if not isinstance(value, dict):
            return value
        return {
            name: {"weight": term} if isinstance(term, int | float) and not isinstance(term, bool) else term
            for name, term in value.items()
        }
