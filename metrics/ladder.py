"""Whether every metric answers references with known answers rightly on the data at hand.

A ladder is a family of cases from bad to good: the copy blended into the truth, the collapsed model into the oracle, a
blurred oracle made sharp, an injected checkerboard made faint, wrong poses made right, a leak taken out of a latent. A
metric that is not monotone along its ladder, or misses the known values at its ends, is invalid on this data. So is one
that is fooled by a control: a single reference (`metrics.references.CONTROLS`) on which its value is known to lie in a
range, or to be undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from torch import Tensor

from metrics.case import Case, Evaluator, mean_of
from metrics.info import MetricInfo
from metrics.lattice import LEVELS
from metrics.references import (
    CONTROLS,
    RENDERED,
    blend_case,
    blurred_case,
    blurring_copier,
    checkerboard_case,
    collapse_case,
    factor_leak,
    latent_case,
    linear_decoder,
    soft_blend_case,
    wrong_pose_case,
)

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SIGMAS = (4.0, 2.0, 1.0, 0.5, 0.0)  # pixels
STRENGTHS = (0.03, 0.01, 0.003, 0.001, 0.0)  # rms, fraction of the range
LEAKS = (2.0, 1.0, 0.5, 0.25, 0.0)  # identity over pose, in standard deviations: eta^2 = s^2 / (1 + s^2)
SLACK = 0.02  # of the span: what a step may go the wrong way
END_SLACK = 0.1  # of the span: how far an end may be from its known value
OTHER_PEOPLE = frozenset({"crowd", "distractors"})  # features that do not depend on the evaluation pictures
ANY_COUNT = OTHER_PEOPLE | {"regions"}  # features of all pictures that hold for the first ones too


Key = tuple[str, float]  # of a reference: (name of a control, 0), or (label of a ladder, rung)


@dataclass(frozen=True)
class Ladder:
    """A family of references from bad to good. `same`: the rungs that are a control, made and read only once."""

    label: str
    rungs: tuple[float, ...]
    make: Callable[[Case, float], Case]  # of a rung
    same: Mapping[float, str] = field(default_factory=dict)

    def key(self, rung: float) -> Key:
        """What the reference of a rung is called."""
        return (self.same[rung], 0.0) if rung in self.same else (self.label, rung)


def _checkerboard(level: int, case: Case, rms: float) -> Case:
    return checkerboard_case(case, level, rms)


EXACT = {0.0: "oracle"}
LADDERS: dict[str, Ladder] = {
    "blend": Ladder("share of the truth", SHARES, blend_case, {0.0: "copy", 0.5: "ghost", 1.0: "oracle"}),
    "blend_soft": Ladder("share of the truth, blurred reconstruction", SHARES, soft_blend_case),
    "collapse": Ladder("share of the truth over the mean face", SHARES, collapse_case, {1.0: "oracle"}),
    "blur": Ladder("blur in px", SIGMAS, blurred_case, EXACT),
    "rec_blur": Ladder("blur in px", SIGMAS, blurred_case, EXACT),
    "pose": Ladder("share of wrong poses", SHARES[::-1], wrong_pose_case, {1.0: "other_pose", **EXACT}),
    "latent": Ladder("identity over pose in the latent", LEAKS, latent_case),
    "factors": Ladder("identity factors over noise in the latent", (30.0, 3.0, 0.3, 0.1, 0.0), factor_leak),
    "path": Ladder("scale of a linear decoder", (2.0, 1.0, 0.5, 0.25, 0.0), linear_decoder),
    "cycle": Ladder("blur in px of a copier", SIGMAS, blurring_copier),
    **{
        f"checkerboard_{level}": Ladder(
            f"rms of a level-{level} checkerboard", STRENGTHS, partial(_checkerboard, level), EXACT
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
    controls: Mapping[str, float] = field(default_factory=dict)  # values on single references

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
    rendered: bool = False,
) -> list[LadderRow]:
    """Run every metric on its ladder and controls, made from the first `limit` pairs of the case; a row for each.

    `evaluators`: an EVALUATORS mapping (or any evaluators). The case must have ground truth (ValueError otherwise); its
    regressor and embedder are used, its outputs are not. `limit` bounds the cost; `report` hears what is next.
    `rendered` adds the controls that the renderer must paint anew, where the case has one.
    """
    if not case.matched:
        raise ValueError("needs ground truth: the ladder is made of exact swaps")
    small = _first(case, limit)
    group = list(evaluators.values()) if isinstance(evaluators, Mapping) else list(evaluators)
    plan = _plan([info for evaluator in group for info in evaluator.infos], rendered and case.render is not None)
    answers = Answers()
    for key, (make, names) in plan.items():
        report(f"reference {key[0]}" + (f" at {key[1]:g}" if key[1] else ""))
        answers.take(key, make(small), names, group)
    return [_row(info, answers) for evaluator in group for info in evaluator.infos]


def _plan(infos: Iterable[MetricInfo], rendered: bool) -> dict[Key, tuple[Callable[[Case], Case], set[str]]]:
    """Every reference that is needed, once: how it is made, and the metrics that are read there."""
    plan: dict[Key, tuple[Callable[[Case], Case], set[str]]] = {}
    for info in infos:
        if info.ladder and info.ladder not in LADDERS:
            raise ValueError(f"metric {info.name!r} names ladder {info.ladder!r}; there are: {', '.join(LADDERS)}")
        if unknown := [name for name in info.controls if name not in CONTROLS]:
            raise ValueError(f"metric {info.name!r} names control {unknown[0]!r}; there are: {', '.join(CONTROLS)}")
        made = {_key(name): CONTROLS[name] for name in info.controls if rendered or name not in RENDERED}
        if info.ladder:
            ladder = LADDERS[info.ladder]
            made |= {ladder.key(rung): partial(_rung, ladder, rung) for rung in ladder.rungs}
        for key, make in made.items():
            plan.setdefault(key, (make, set()))[1].add(info.name)
    return plan


def _rung(ladder: Ladder, rung: float, case: Case) -> Case:
    return ladder.make(case, rung)


def _key(control: str) -> Key:
    return (control, 0.0)


class Answers:
    """What the metrics said on the references. `values`: {reference: {metric: mean}}; why a metric is not judged."""

    def __init__(self) -> None:
        self.values: dict[Key, dict[str, float]] = {}
        self.invalid: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def take(self, key: Key, made: Case, names: set[str], evaluators: Iterable[Evaluator]) -> None:
        """Read the metrics `names` on the reference `made`."""
        found = self.values.setdefault(key, {})
        for evaluator in evaluators:
            judged = names & {info.name for info in evaluator.infos}
            if judged and evaluator.missing(made):
                self.absent |= dict.fromkeys(judged, f"needs {', '.join(evaluator.missing(made))}")
            elif judged:
                found |= {name: mean_of(values) for name, values in evaluator.run(made) if name in judged}
        self.invalid |= made.invalid
        self.notes |= made.notes

    def not_judged(self, name: str) -> str:
        """Why the metric cannot be judged at all: a need that is not met, or undefined wherever it was read."""
        found = [values[name] for values in self.values.values() if name in values]
        never = all(map(np.isnan, found)) and name in self.notes
        return self.absent.get(name) or (self.notes[name] if never else "")


def _row(info: MetricInfo, answers: Answers) -> LadderRow:
    expected = info.ends
    read = {name: answers.values.get(_key(name), {}) for name in info.controls}
    controls = {name: values[info.name] for name, values in read.items() if info.name in values}
    if not info.ladder and not controls:
        return LadderRow(info.name, "", (), (), expected, None, None, "has no ladder: a floor, a footnote or a rate")
    if why := answers.not_judged(info.name):
        return LadderRow(info.name, info.ladder, (), (), expected, None, None, why)
    row = LadderRow(info.name, "", (), (), expected, None, True, "")
    if info.ladder:
        ladder = LADDERS[info.ladder]
        row = judge(info, ladder.rungs, tuple(answers.values[ladder.key(rung)][info.name] for rung in ladder.rungs))
    reason = "; ".join(filter(None, [row.reason, *fooled(info, controls)]))
    if info.name in answers.invalid:
        reason = answers.invalid[info.name]
    return replace(row, valid=not reason, reason=reason, controls=controls)


def fooled(info: MetricInfo, controls: Mapping[str, float]) -> list[str]:
    """The controls on which a metric does not say what it must, in words."""
    reasons = []
    for name, value in controls.items():
        known = info.controls[name]
        if known is None and not np.isnan(value):
            reasons.append(f"{value:.3g} on {name}, where it must be undefined")
        elif known is not None and not known[0] <= value <= known[1]:
            reasons.append(f"{value:.3g} on {name}, known to lie between {known[0]:g} and {known[1]:g}")
    return reasons


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
        fixed=case.fixed if limit >= case.count else {k: v for k, v in case.fixed.items() if k in ANY_COUNT},
    )
