"""What a metric is given (Case) and how it is called (Evaluator); what it promises: `metrics.info`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from metrics.info import MetricInfo

PEOPLE = ("src", "dst")
DIRECTIONS = ("src->dst", "dst->src")  # driver -> target; two-direction values come in this order
LOST = 0.1  # share of undefined values from which on their mean is undefined
NEEDS = frozenset({"truth", "latent", "model", "regressor", "embedder", "renderer", "regions"})

T = TypeVar("T")


def driver_of(direction: str) -> str:
    """The person who is encoded: "src" for "src->dst"."""
    return direction.split("->")[0]


def target_of(direction: str) -> str:
    """The person whose decoder answers: "dst" for "src->dst"."""
    return direction.split("->")[1]


@dataclass(frozen=True)
class Evaluator:
    """One metric group. `run(case)` yields (name, 1-D float array); every name has a MetricInfo in `infos`.

    Per-image values have M or 2M entries (both directions, src->dst first); values that exist only for the whole set
    have one. NaN means "undefined here", and `case.notes[name]` then says why. `needs` names what the case must hold.
    """

    run: Callable[[Case], Iterable[tuple[str, np.ndarray]]]
    infos: tuple[MetricInfo, ...]
    needs: frozenset[str] = frozenset()

    def missing(self, case: Case) -> tuple[str, ...]:
        """The needs that this case does not meet, sorted; empty when the evaluator can run."""
        return tuple(sorted(need for need in self.needs if not case.has(need)))


@dataclass
class Case:
    """The outputs of one model (or reference) on the fixed evaluation images, and the means to ask for more.

    Images are display-encoded composites on black, float32 in [0, 1], (M, 3, H, W); alphas are (M, 1, H, W).
    `matched` says that images["src"][i] and images["dst"][i] share pose, expression and light, so that
    images[target] is the exact truth of swap["driver->target"].
    """

    images: Mapping[str, Tensor]
    alpha: Mapping[str, Tensor]
    swap: Mapping[str, Tensor]  # "src->dst", "dst->src"
    rec: Mapping[str, Tensor]  # own decoder on own image
    matched: bool = False
    mu: Mapping[str, Tensor] | None = None  # (M, C, h, w)
    logvar: Mapping[str, Tensor] | None = None
    landmarks: Mapping[str, Tensor] | None = None  # (M, L, 2) image fractions, x right, y down
    landmark_names: tuple[str, ...] = ()
    pose: Tensor | None = None  # (M, P) true factors of the matched poses
    pose_names: tuple[str, ...] = ()
    identity: Mapping[str, Tensor] | None = None
    decode: Callable[[Tensor, str], Tensor] | None = None  # (latent, person) -> display images
    encode: Callable[[Tensor], Tensor] | None = None  # display images -> mu
    regressor: Any = None  # callable(images) -> {"pose": (M, K), "landmarks": (M, L, 2)}, with .pose_names
    embedder: Callable[[Tensor], Tensor] | None = None  # images -> (M, E) unit vectors
    perceptual: Any = None  # callable(x, y: (B, 3, H, W)) -> (B,) LPIPS, with .name
    # () -> (N, 3, H, W) other people, one image each, for retrieval
    distractors: Callable[[], Tensor] | None = None
    # () -> (N, 3, H, W) pictures of N people in one pose, and their true identity factors (N, K)
    crowd: Callable[[], tuple[Tensor, Tensor]] | None = None
    # (person, pose (B, P)) -> the true display pictures (B, 3, H, W) of that person in any pose
    render: Callable[[str, Tensor], Tensor] | None = None
    # person -> {region: (M, H, W)}: which share of a pixel shows glasses, hair ..., in that person's true pictures
    regions: Callable[[str], Mapping[str, Tensor]] | None = None
    modules: Mapping[str, torch.nn.Module] | None = None  # decoders by person, for weight attribution
    # Style-based decoders only: (z, person) -> w (M, W); (w, person) -> display images; (z_coarse, z_fine, person,
    # depth) -> display images whose first `depth` of `style_layers` layers are styled by z_coarse.
    mapped: Callable[[Tensor, str], Tensor] | None = None
    decode_mapped: Callable[[Tensor, str], Tensor] | None = None
    mix: Callable[[Tensor, Tensor, str, int], Tensor] | None = None
    style_layers: int = 0
    # Features of the fixed images only (nested dicts and tuples of tensors, arrays and numbers, so that they can be
    # kept); hand the same dict to every case over the same images to share them.
    fixed: dict[str, Any] = field(default_factory=dict, repr=False)
    notes: dict[str, str] = field(default_factory=dict, init=False, repr=False)  # metric: why NaN or doubtful
    invalid: dict[str, str] = field(default_factory=dict, init=False, repr=False)  # metric: why never to be trusted
    memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        # Metrics are computed in float32 whatever the model ran in; tensors that are so already are not copied.
        for name in ("images", "alpha", "swap", "rec"):
            setattr(self, name, {key: value.float() for key, value in getattr(self, name).items()})
        shape = self.images["src"].shape
        for what, group, keys in (
            ("images", self.images, PEOPLE),
            ("rec", self.rec, PEOPLE),
            ("swap", self.swap, DIRECTIONS),
        ):
            for key in keys:
                if group[key].dim() != 4 or group[key].shape[1:] != shape[1:]:
                    raise ValueError(f"case.{what}[{key!r}] has shape {tuple(group[key].shape)}, expected (M, 3, H, W)")
        if self.matched and self.images["src"].shape != self.images["dst"].shape:
            raise ValueError("case.matched needs equally many src and dst images")

    @property
    def count(self) -> int:
        """M, the number of src images (and of dst images when matched)."""
        return len(self.images["src"])

    def has(self, need: str) -> bool:
        """Whether the case meets one of NEEDS."""
        if need not in NEEDS:
            raise ValueError(f"unknown need {need!r}; known: {', '.join(sorted(NEEDS))}")
        held = {
            "truth": self.matched,
            "latent": self.mu is not None,
            "model": self.decode is not None and self.encode is not None,
            "regressor": self.regressor is not None,
            "embedder": self.embedder is not None,
            "renderer": self.render is not None,
            "regions": self.matched and self.regions is not None,
        }
        return bool(held[need])

    def truth(self, direction: str) -> Tensor:
        """(M, 3, H, W) exact swap of `direction`. Raises ValueError when the case has no ground truth."""
        if not self.matched:
            raise ValueError("needs ground truth: src and dst images of this case do not share poses")
        return self.images[target_of(direction)]

    def both(self, per_direction: Callable[[str], Any]) -> np.ndarray:
        """Concatenate per-image values of src->dst and dst->src into one float64 array."""
        return np.concatenate([as_values(per_direction(direction)) for direction in DIRECTIONS])

    def remember(self, key: str, make: Callable[[], T], fixed: bool = False) -> T:
        """Compute once: for this case, or (`fixed`) for every case over the same images and recognisers."""
        store = self.fixed if fixed else self.memo
        if key not in store:
            store[key] = make()
        return store[key]

    def read(self, key: str, pictures: Mapping[str, Tensor], reader: Callable[[Tensor], T]) -> dict[str, T]:
        """What `reader` says of each of this case's groups of pictures; the people's own are read once for all cases.

        References show the people's own pictures again and again: what is the same tensor is read once.
        """
        real = self.remember(key, lambda: {p: reader(self.images[p]) for p in PEOPLE}, fixed=True)
        # With the pictures themselves: while they are held, nothing else can have their id.
        known: dict[int, tuple[Tensor, T]] = self.remember(f"{key} by id", dict)
        known |= {id(self.images[p]): (self.images[p], real[p]) for p in PEOPLE}
        for shown in pictures.values():
            if id(shown) not in known:
                known[id(shown)] = shown, reader(shown)
        return {name: known[id(shown)][1] for name, shown in pictures.items()}

    def note(self, name: str, reason: str) -> None:
        """Say why the values of metric `name` are NaN or doubtful here."""
        self.notes[name] = reason

    def note_lost(self, name: str, values: np.ndarray, reason: str) -> None:
        """Say why some of the values of metric `name` are NaN, if any is."""
        if lost := int(np.isnan(values).sum()):
            self.note(name, f"{lost} of {len(values)} values undefined: {reason}")

    def with_outputs(self, swap: Mapping[str, Tensor], rec: Mapping[str, Tensor] | None = None) -> Case:
        """The same evaluation set with other outputs and no model behind them."""
        return replace(
            self,
            swap=dict(swap),
            rec=dict(rec if rec is not None else self.rec),
            mu=None,
            logvar=None,
            decode=None,
            encode=None,
            modules=None,
            mapped=None,
            decode_mapped=None,
            mix=None,
        )


def mean_of(values: np.ndarray) -> float:
    """Mean of the values that are defined; NaN when more than a tenth is not.

    What is undefined is rarely undefined by chance (the worst pictures are), so nothing is averaged over what is left.
    """
    undefined = np.isnan(values)
    return float(values[~undefined].mean()) if len(values) and undefined.mean() <= LOST else float("nan")


def as_values(values: Any) -> np.ndarray:
    """Any 1-D (or scalar) tensor, array or number as a float64 array."""
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.float64).numpy()
    return np.atleast_1d(np.asarray(values, dtype=np.float64))
