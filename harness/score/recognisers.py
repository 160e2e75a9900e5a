"""The recognisers of the built-in faces: ready to read with, trained, and checked on people they never saw."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import torch
from scipy.stats import t
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, mse_loss, normalize, smooth_l1_loss

from harness.data import faces
from harness.data.faces import IDENTITY, IDENTITY_INDEX, LANDMARKS, PAIRS, POSE
from harness.data.streams import generator
from harness.errors import EnvironmentProblem
from harness.score.recogniser_data import Pool, degrade, mirror, people_pool, render_pool, renderer_hash
from models import recognise
from models.recognise import Embedder, Regressor, WeightsError

Which = Literal["judge", "trainer", "regressor"]
HELD_OUT = "judge"  # the split of identities that no recogniser is trained on
AUC_FLOOR = 0.98  # of the interval's lower end, and of the AUC among all held-out people
AUC_WANTED = 0.99  # on pairs of the band that suites draw
R2_FLOORS = {"yaw": 0.95, "mouth_open": 0.95, "smile": 0.95, "blink": 0.85}
MARGIN_STEPS = 300
BAND_FIRST = 100_000  # pairs from here on are met in no suite and in no training
LANDMARK_CEILING = 0.06  # mean error in inter-ocular distances


@dataclass(frozen=True)
class Recipe:
    """How one recogniser is trained."""

    split: str
    people: int
    each: int  # pictures a person
    steps: int
    batch: int
    rate: float
    architecture: str = ""  # this and below: of an embedder
    scale: float = 0.0
    separate: float = 0.0  # weight of the angular margin's loss: tells siblings apart, but soon learns people by heart
    tell: float = 0.0  # weight of telling the identity's factors


RECIPES: dict[str, Recipe] = {
    "judge": Recipe("recogniser_b", 1200, 8, 900, 96, 2e-3, "residual", scale=24.0, separate=0.5, tell=10.0),
    "trainer": Recipe("recogniser_a", 3600, 3, 600, 96, 2e-3, "plain", scale=16.0, separate=0.2, tell=10.0),
    "regressor": Recipe("regressor", 4800, 3, 5000, 64, 3e-3),
}


@functools.cache
def _load(which: str, device: str) -> nn.Module:
    try:
        return recognise.load(which).to(device)
    except WeightsError as error:
        raise EnvironmentProblem(f"{error} (harness recognisers train --which {which})") from None


def regressor(device: torch.device | str = "cpu") -> Regressor:
    """Reader of pose and landmarks: images (M, 3, H, W) display sRGB in [0, 1] -> {"pose", "landmarks"}.

    pose (M, P) in the factors' units, its columns named by `.pose_names`; landmarks (M, L, 2) in fractions of the
    frame. Frozen, float32, one a process and device. Raises EnvironmentProblem.
    """
    return cast(Regressor, _load("regressor", str(device)))


def embedder(device: torch.device | str = "cpu", which: Literal["judge", "trainer"] = "judge") -> Embedder:
    """Reader of identity: images (M, 3, H, W) display sRGB in [0, 1] -> (M, E) unit vectors.

    "judge" only ever scores; "trainer" may stand in a training loss. Raises EnvironmentProblem.
    """
    return cast(Embedder, _load(which, str(device)))


def train(
    which: Which,
    out: Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    people: int | None = None,
    check_people: int = 64,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Render, train, write `<which>.safetensors` and `.json` into `out`, measure, and return the training record.

    steps, people: instead of the recipe's. progress(stage, done, of). The record's "loss" holds [step, mean loss].
    """
    recipe = RECIPES[which]
    began, steps, people = time.perf_counter(), steps or recipe.steps, people or recipe.people
    say = progress or (lambda stage, done, of: None)
    mixed = which == "regressor"
    pool = people_pool(
        recipe.split,
        people,
        recipe.each,
        seed,
        1,
        shared_poses=mixed,
        siblings=not mixed,
        progress=functools.partial(say, "render"),
    )
    torch.manual_seed(seed)
    model: Embedder | Regressor
    if mixed:
        model, objective = _new_regressor(), _read_loss
    else:
        model = Embedder(recipe.architecture)
        objective = ArcFace(people, model.options["dimensions"], recipe)
    losses = _fit(model, objective, pool, recipe, steps, seed, say)
    record = {
        "schema_version": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "steps": steps,
        "batch": recipe.batch,
        "people": people,
        "pictures": len(pool),
        "split": recipe.split,
        "held_out": HELD_OUT,
        "renderer": renderer_hash(),
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - began),
        "loss": losses,
    }
    recognise.save(model, which, out, record)
    say("check", 0, 1)
    # Measured on what a reader will get: the float16 file, loaded.
    record["validity"] = measure(which, recognise.load(which, out), check_people)
    return recognise.save(model, which, out, record)


def _new_regressor() -> Regressor:
    poses = faces.sample_poses(20000, torch.Generator().manual_seed(0))
    mean, deviation = (figures.tolist() for figures in (poses.mean(0), poses.std(0)))
    return Regressor([factor.name for factor in POSE], LANDMARKS, mean, deviation)


class ArcFace(nn.Module):
    """Additive angular margin loss (Deng et al. 2019, eq. 3): logits scale * cos(theta + margin) for the true class.

    Beside it the vectors tell the identity's factors, by a linear map that is thrown away: with few pictures of each
    this is learnt sooner than the margin, and holds for people never seen.
    """

    def __init__(self, classes: int, dimensions: int, recipe: Recipe, margin: float = 0.3) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(classes, dimensions))
        self.factors = nn.Linear(dimensions, len(IDENTITY))
        self.recipe, self.margin = recipe, margin

    def forward(self, model: nn.Module, pool: Pool, rows: Tensor, rng: torch.Generator, step: int) -> Tensor:
        """Loss of a batch; the margin grows over the first steps, for training hardly begins with the whole."""
        labels = pool.people[rows]
        vectors = model(degrade(pool.pictures(rows), rng))
        cosine = linear(vectors, normalize(self.centres)).clamp(-1 + 1e-6, 1 - 1e-6)
        margin = self.margin * min(1.0, step / MARGIN_STEPS)
        own = torch.cos(torch.acos(cosine.gather(1, labels[:, None])) + margin)
        read = self.factors(vectors * vectors.shape[1] ** 0.5)
        told = mse_loss(read, (pool.identities[rows] - 0.5) * 3)
        apart = cross_entropy(self.recipe.scale * cosine.scatter(1, labels[:, None], own), labels)
        return self.recipe.separate * apart + self.recipe.tell * told


def _read_loss(model: nn.Module, pool: Pool, rows: Tensor, rng: torch.Generator, step: int) -> Tensor:
    """Smooth L1 of the standardised pose and of the landmarks in tenths of a frame; persons 2k, 2k+1 get mixed."""
    images, points, poses = pool.pictures(rows), pool.landmarks[rows], pool.poses[rows]
    each = int((pool.people == 0).sum())
    twin = rows + torch.where(pool.people[rows] % 2 == 0, each, -each)  # the other person in the same pose
    share = torch.rand(len(rows), generator=rng) * 0.5 * (torch.rand(len(rows), generator=rng) < 0.25)
    images = torch.lerp(images, pool.pictures(twin), share[:, None, None, None])
    points = torch.lerp(points, pool.landmarks[twin], share[:, None, None])
    if torch.rand((), generator=rng) < 0.5:
        images, poses, points = mirror(images, poses, points)
    found = model(degrade(images, rng))
    deviation = cast(Regressor, model).pose_deviation
    pose = smooth_l1_loss(found["pose"] / deviation, poses / deviation, beta=0.5)
    places = sum(smooth_l1_loss(found[key] * 10, points * 10, beta=0.05) for key in ("rough", "landmarks"))
    return pose + places


def _fit(
    model: nn.Module,
    objective: Any,
    pool: Pool,
    recipe: Recipe,
    steps: int,
    seed: int,
    say: Callable[[str, int, int], None],
) -> list[list[float]]:
    model.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights = [*model.parameters(), *(objective.parameters() if isinstance(objective, nn.Module) else ())]
    optimiser = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps + 1, pct_start=0.1)
    losses: list[list[float]] = []
    block, every = 0.0, max(1, steps // 20)
    for step in range(steps):
        rng = generator(seed, "data/recognise", step)
        rows = torch.randint(len(pool), (recipe.batch,), generator=rng)
        loss = objective(model, pool, rows, rng, step)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 5.0)
        optimiser.step()
        schedule.step()
        block += loss.item() / every
        if (step + 1) % every == 0:
            losses.append([step + 1, round(block, 4)])
            block = 0.0
            say("train", step + 1, steps)
    return losses


@torch.no_grad()
def measure(which: Which, model: nn.Module, people: int = 64, each: int = 8, seed: int = 1) -> dict[str, Any]:
    """Validity figures on `people` held-out identities, clean and degraded; see `failures` for what is required."""
    pool = people_pool(HELD_OUT, people, each, seed)
    clean = pool.pictures()
    kinds = {"clean": clean, "degraded": degrade(clean, generator(seed, "eval/recognise"))}
    figures: dict[str, Any] = {"people": people, "pictures": len(pool)}
    for kind, images in kinds.items():
        if which == "regressor":
            figures[kind] = _readings(cast(Regressor, model), images, pool)
        else:
            figures[kind] = {"auc": round(auc(model(images), pool.people), 5)}
    if which != "regressor":
        figures["pairs"] = {name: round(_pair_auc(model, name, each, seed), 5) for name in PAIRS}
        figures["band"] = _band(model, max(2, people // 2), each, seed)
    return figures


def _band(model: nn.Module, pairs: int, each: int, seed: int) -> dict[str, Any]:
    """Mean AUC within `pairs` pairs at the distance suites draw, and its 95 % interval (Student's t over pairs)."""
    whom = torch.cat([torch.stack(faces.random_pair(BAND_FIRST + k)) for k in range(pairs)])
    rng = generator(seed, "eval/recognise", 2)
    poses = faces.sample_poses(2 * pairs * each, rng, "interior", faces.ALIGNED).reshape(2 * pairs, each, -1)
    pool = render_pool(whom, poses)
    kinds = {"clean": pool.pictures(), "degraded": degrade(pool.pictures(), rng)}
    figures: dict[str, Any] = {"distance": list(faces.DISTANCE), "pairs": pairs}
    for kind, images in kinds.items():
        vectors = torch.cat([model(part) for part in images.split(64)]).split(2 * each)
        found = torch.tensor([auc(part, pool.people[: 2 * each]) for part in vectors], dtype=torch.float64)
        reach = float(t.ppf(0.975, pairs - 1) * found.std() / pairs**0.5)
        mean = float(found.mean())
        figures[kind] = {"auc": round(mean, 5), "low": round(mean - reach, 5), "high": round(min(1, mean + reach), 5)}
    return figures


def _readings(model: Regressor, images: Tensor, pool: Pool) -> dict[str, Any]:
    found = [model(part) for part in images.split(64)]
    pose, points = (torch.cat([f[key] for f in found]) for key in ("pose", "landmarks"))
    bare = pool.identities[:, IDENTITY_INDEX["glasses"]] < 0.4
    figures: dict[str, Any] = {}
    for column, name in enumerate(model.pose_names):
        error = pose[:, column] - pool.poses[:, column]
        variance = pool.poses[:, column].var(correction=0)
        figures[name] = {
            "r2": round(float(1 - error.square().mean() / variance), 4),
            "r2_no_glasses": round(float(1 - error[bare].square().mean() / variance), 4),
            "mae": round(float(error.abs().mean()), 4),
        }
    eyes = pool.landmarks[:, LANDMARKS.index("eye_left")] - pool.landmarks[:, LANDMARKS.index("eye_right")]
    away = (points - pool.landmarks).norm(dim=2).mean(1) / eyes.norm(dim=1)
    figures["landmarks"] = {"mean": round(float(away.mean()), 4), "median": round(float(away.median()), 4)}
    return figures


def auc(vectors: Tensor, people: Tensor) -> float:
    """Probability that two pictures of one person are nearer than two of different ones; (N, E), (N,)."""
    first, second = torch.triu_indices(len(vectors), len(vectors), 1)
    cosine = (vectors[first] * vectors[second]).sum(1).double()
    same = people[first] == people[second]
    rank = torch.empty_like(cosine)
    rank[cosine.argsort()] = torch.arange(1, len(cosine) + 1, dtype=torch.float64)
    own, others = int(same.sum()), int((~same).sum())
    return float((rank[same].sum() - own * (own + 1) / 2) / (own * others))


def _pair_auc(model: nn.Module, name: str, each: int, seed: int) -> float:
    """The AUC between the two people of an evaluation pair, who are never trained on."""
    poses = faces.sample_poses(2 * 2 * each, generator(seed, "eval/recognise", 1), "interior").reshape(2, 2 * each, -1)
    pool = render_pool(torch.stack(faces.pair(name)), poses)
    return auc(model(pool.pictures()), pool.people)


def _unsure(kind: str, validity: dict[str, Any]) -> list[str]:
    """What an embedder lacks on clean or degraded pictures: among all held-out people, and within pairs of the band."""
    value, band = validity[kind]["auc"], validity["band"][kind]
    lacking = [f"AUC {value:.4f} on {kind} pictures, {AUC_FLOOR} required"] if value < AUC_FLOOR else []
    if band["auc"] < AUC_WANTED or band["low"] < AUC_FLOOR:
        shown = f"{band['auc']:.4f} [{band['low']:.4f}, {band['high']:.4f}]"
        lacking.append(
            f"AUC {shown} within pairs on {kind} pictures, {AUC_WANTED} and an interval above {AUC_FLOOR} required"
        )
    return lacking


def failures(which: Which, validity: dict[str, Any]) -> list[str]:
    """What a recogniser's validity figures lack, in words; an empty list when it may be used."""
    if which != "regressor":
        return [f"{which}: {why}" for kind in ("clean", "degraded") for why in _unsure(kind, validity)]
    clean = validity["clean"]
    lacking = [
        f"regressor: R^2 {clean[name]['r2']:.3f} of {name}, {floor} required"
        for name, floor in R2_FLOORS.items()
        if clean[name]["r2"] < floor
    ]
    error = clean["landmarks"]["mean"]
    if error > LANDMARK_CEILING:
        lacking.append(f"regressor: landmarks {error:.3f} eye distances off, {LANDMARK_CEILING} allowed")
    return lacking
