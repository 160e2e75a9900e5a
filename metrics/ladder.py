"""References with known answers, and the check that every metric answers them rightly on the data at hand.

A ladder is a family of cases from bad to good: the copy blended into the truth, the collapsed model into the oracle, a
blurred oracle made sharp, an injected grid made faint, wrong poses made right, a leak taken out of a latent. A metric
that is not monotone along its ladder, or misses the known values at its ends, is invalid on this data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, driver_of, target_of
from metrics.info import MetricInfo
from metrics.lattice import LEVELS, blur, inject_grid

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SIGMAS = (4.0, 2.0, 1.0, 0.5, 0.0)  # pixels
GRIDS = (0.03, 0.01, 0.003, 0.001, 0.0)  # rms, fraction of the range
LEAKS = (2.0, 1.0, 0.5, 0.25, 0.0)  # identity over pose, in standard deviations: eta^2 = s^2 / (1 + s^2)
SLACK = 0.02  # of the span: what a step may go the wrong way
END_SLACK = 0.1  # of the span: how far an end may be from its known value
OTHER_PEOPLE = ("crowd", "distractors")  # features that do not depend on the evaluation pictures


def copy_case(case: Case) -> Case:
    """The swapper that returns its input: perfect pose, no identity. Its reconstructions are exact."""
    return case.with_outputs({way: case.images[driver_of(way)] for way in DIRECTIONS}, case.images)


def oracle_case(case: Case) -> Case:
    """The exact swap. Raises ValueError when the case has no ground truth."""
    return case.with_outputs({way: case.truth(way) for way in DIRECTIONS}, case.images)


def mean_face_case(case: Case) -> Case:
    """The collapsed model: always the person's mean picture, whatever goes in."""
    mean = {person: case.images[person].mean(0, keepdim=True) for person in PEOPLE}

    def paint(person: str, count: int) -> Tensor:
        return mean[person].expand(count, -1, -1, -1)

    return case.with_outputs(
        {way: paint(target_of(way), len(case.images[driver_of(way)])) for way in DIRECTIONS},
        {person: paint(person, len(case.images[person])) for person in PEOPLE},
    )


def blend_case(case: Case, share: float) -> Case:
    """A swap that went `share` of the way from the driver (0) to the truth (1). Needs ground truth."""
    swap = {way: torch.lerp(case.images[driver_of(way)], case.truth(way), share) for way in DIRECTIONS}
    return case.with_outputs(swap, case.images)


def collapse_case(case: Case, share: float) -> Case:
    """From the mean face (0) to the oracle (1). Needs ground truth."""
    mean = mean_face_case(case)
    swap = {way: torch.lerp(mean.swap[way], case.truth(way), share) for way in DIRECTIONS}
    return case.with_outputs(swap, case.images)


def blurred_case(case: Case, sigma: float) -> Case:
    """The oracle and the exact reconstructions, blurred by a Gaussian of `sigma` pixels. Needs ground truth."""
    swap = {way: blur(case.truth(way), sigma) for way in DIRECTIONS}
    return case.with_outputs(swap, {person: blur(case.images[person], sigma) for person in PEOPLE})


def grid_case(case: Case, level: int, rms: float) -> Case:
    """The oracle with a grid of known level and rms (fraction of the range) on every picture. Needs ground truth."""
    swap = {way: inject_grid(case.truth(way), level, rms) for way in DIRECTIONS}
    return case.with_outputs(swap, {person: inject_grid(case.images[person], level, rms) for person in PEOPLE})


def wrong_pose_case(case: Case, share: float) -> Case:
    """The oracle, but with the given share of pictures showing another pose of the set. Needs ground truth."""
    order = torch.arange(case.count)
    wrong = round(share * case.count)
    order[:wrong] = (order[:wrong] + case.count // 2) % case.count
    swap = {way: case.truth(way)[order] for way in DIRECTIONS}
    return case.with_outputs(swap, {person: case.images[person][order] for person in PEOPLE})


def latent_case(case: Case, strength: float, seed: int = 0) -> Case:
    """Latents (M, 16, 3, 3) of a known leak: a pose part common to both persons, +-strength times the identity's."""
    generator = torch.Generator().manual_seed(seed)
    pose = torch.randn(case.count, 16, 3, 3, generator=generator)
    identity = torch.randn(16, 3, 3, generator=generator)
    identity = identity * (identity.numel() ** 0.5 / identity.norm())
    made = replace(oracle_case(case), mu={"src": pose + strength * identity, "dst": pose - strength * identity})
    made.logvar = {person: torch.zeros_like(pose) for person in PEOPLE}
    return made


def _soft_blend(case: Case, share: float) -> Case:
    made = blend_case(case, share)
    return case.with_outputs(made.swap, {person: blur(case.images[person], 1.0) for person in PEOPLE})


def _blurring_copier(case: Case, sigma: float) -> Case:
    return replace(copy_case(case), encode=lambda images: images, decode=lambda z, person: blur(z, sigma))


def _factor_leak(case: Case, strength: float) -> Case:
    """An encoder whose latents (N, 64) are unit noise plus a random mix of the crowd's standardised factors."""
    made = oracle_case(case)
    if case.crowd is None:
        return made
    factors = case.remember("crowd", case.crowd, fixed=True)[1].float().cpu()
    factors = (factors - factors.mean(0)) / factors.std(0).clamp_min(1e-6)
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(factors.shape[1], 64, generator=generator)
    noise = torch.randn(len(factors), 64, generator=generator)
    return replace(made, encode=lambda images: strength * factors @ mix + noise, decode=lambda z, person: z)


def _linear_decoder(case: Case, scale: float) -> Case:
    made = replace(oracle_case(case), mu=dict(case.images), encode=lambda images: images)
    made.decode = lambda z, person: 0.5 + scale * z
    return made


# From bad to good: the label and strength of each rung, and the case that it makes.
LADDERS: dict[str, tuple[str, tuple[float, ...], Callable[[Case, float], Case]]] = {
    "blend": ("share of the truth", SHARES, blend_case),
    "blend_soft": ("share of the truth, blurred reconstruction", SHARES, _soft_blend),
    "collapse": ("share of the truth over the mean face", SHARES, collapse_case),
    "blur": ("blur in px", SIGMAS, blurred_case),
    "rec_blur": ("blur in px", SIGMAS, blurred_case),
    "pose": ("share of wrong poses", SHARES[::-1], wrong_pose_case),
    "latent": ("identity over pose in the latent", LEAKS, latent_case),
    "factors": ("identity factors over noise in the latent", (30.0, 3.0, 0.3, 0.1, 0.0), _factor_leak),
    "path": ("scale of a linear decoder", (2.0, 1.0, 0.5, 0.25, 0.0), _linear_decoder),
    "cycle": ("blur in px of a copier", SIGMAS, _blurring_copier),
    **{
        f"grid_{level}": (
            f"rms of a level-{level} grid",
            GRIDS,
            partial(lambda case, rms, level: grid_case(case, level, rms), level=level),
        )
        for level in range(1, LEVELS + 1)
    },
}


@dataclass(frozen=True)
class LadderRow:
    """One metric on its ladder. `valid` None: not judged here, `reason` says why."""

    metric: str
    ladder: str
    rungs: tuple[float, ...]
    values: tuple[float, ...]  # bad end first
    expected: tuple[float | None, float | None]
    monotone: bool | None
    valid: bool | None
    reason: str

    @property
    def ends(self) -> tuple[float, float]:
        """Values at the bad and at the good end; NaN when the ladder was not run."""
        return (self.values[0], self.values[-1]) if self.values else (float("nan"), float("nan"))


def judge(info: MetricInfo, rungs: tuple[float, ...], values: tuple[float, ...]) -> LadderRow:
    """The verdict on the values (bad end first) of one metric along its ladder."""
    found = np.array(values)
    if info.direction == "none":  # better is then nearer to the ideal
        score = -np.abs(found - (info.ideal if info.ideal is not None else found[-1]))
    else:
        score = found if info.direction == "higher" else -found
    span = score[-1] - score[0]
    reasons = []
    if np.isnan(found).any():
        monotone = False
        reasons.append("undefined on " + ", ".join(f"{r:g}" for r, v in zip(rungs, values, strict=True) if np.isnan(v)))
    else:
        monotone = bool(span > 0 and (np.diff(score) >= -SLACK * span).all())
        if span <= 0:
            reasons.append(f"the good end ({values[-1]:.3g}) is no better than the bad one ({values[0]:.3g})")
        elif not monotone:
            reasons.append("not monotone: " + ", ".join(f"{v:.3g}" for v in values))
        reach = END_SLACK * abs(found[-1] - found[0])
        for end, value, known in zip(("bad", "good"), (found[0], found[-1]), info.ends, strict=True):
            if known is not None and abs(value - known) > reach:
                reasons.append(f"the {end} end is {value:.3g}, known to be {known:g}")
    return LadderRow(info.name, info.ladder, rungs, values, info.ends, monotone, not reasons, "; ".join(reasons))


def check(
    case: Case,
    evaluators: Mapping[str, Evaluator] | Iterable[Evaluator],
    limit: int = 32,
    report: Callable[[str], None] = lambda _: None,
) -> list[LadderRow]:
    """Run every metric on its ladder, made from the first `limit` pairs of the case; one row a metric, in order.

    `evaluators`: an EVALUATORS mapping (or any evaluators). The case must have ground truth (ValueError otherwise); its
    regressor and embedder are used, its outputs are not. `limit` bounds the cost; `report` hears which rung is next.
    """
    if not case.matched:
        raise ValueError("needs ground truth: the ladder is made of exact swaps")
    small = _first(case, limit)
    group = list(evaluators.values()) if isinstance(evaluators, Mapping) else list(evaluators)
    wanted = {info.ladder for evaluator in group for info in evaluator.infos if info.ladder}
    values: dict[str, list[float]] = {}
    invalid: dict[str, str] = {}
    absent: dict[str, str] = {}
    # Ladders under two names that are made alike (blur, rec_blur) are climbed once.
    alike: dict[tuple[object, ...], set[str]] = {}
    for ladder in LADDERS:
        if ladder in wanted:
            alike.setdefault(LADDERS[ladder][1:], set()).add(ladder)
    for (rungs, make), names in zip([LADDERS[min(names)][1:] for names in alike.values()], alike.values(), strict=True):
        for rung in rungs:
            made = make(small, rung)
            for evaluator in group:
                judged = {info.name for info in evaluator.infos if info.ladder in names}
                if not judged:
                    continue
                if evaluator.missing(made):
                    absent.update(dict.fromkeys(judged, f"needs {', '.join(evaluator.missing(made))}"))
                    continue
                report(f"ladder {min(names)} at {rung:g}")
                for name, found in evaluator.run(made):
                    if name in judged:
                        values.setdefault(name, []).append(_mean(found))
            invalid.update(made.invalid)
            absent.update({n: why for n, why in made.notes.items() if n in values and np.isnan(values[n]).all()})
    return [_row(info, values, invalid, absent) for evaluator in group for info in evaluator.infos]


def _row(
    info: MetricInfo, values: Mapping[str, list[float]], invalid: Mapping[str, str], absent: Mapping[str, str]
) -> LadderRow:
    if not info.ladder:
        return LadderRow(info.name, "", (), (), info.ends, None, None, "has no ladder: a floor, a footnote or a rate")
    if info.ladder not in LADDERS:
        raise ValueError(f"metric {info.name!r} names ladder {info.ladder!r}; there are: {', '.join(LADDERS)}")
    rungs = LADDERS[info.ladder][1]
    if info.name in absent:
        return LadderRow(info.name, info.ladder, (), (), info.ends, None, None, absent[info.name])
    row = judge(info, rungs, tuple(values[info.name]))
    return replace(row, valid=False, reason=invalid[info.name]) if info.name in invalid else row


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def _first(case: Case, limit: int) -> Case:
    def cut(group: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
        return None if group is None else {key: value[:limit] for key, value in group.items()}

    return replace(
        case,
        images=cut(case.images) or {},
        alpha=cut(case.alpha) or {},
        swap=cut(case.swap) or {},
        rec=cut(case.rec) or {},
        landmarks=cut(case.landmarks),
        pose=None if case.pose is None else case.pose[:limit],
        mu=None,
        logvar=None,
        fixed=case.fixed if limit >= case.count else {k: v for k, v in case.fixed.items() if k in OTHER_PEOPLE},
    )
