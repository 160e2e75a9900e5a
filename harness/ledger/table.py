"""A suite's folder (plan and ledger) read into one table: variants in plan order, their trials, their values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.files import Damaged
from harness.ledger.facts import Facts, facts_of
from harness.ledger.records import Ledger, Record
from harness.ledger.steps import STEPS, read_steps
from metrics.costs import COSTS, DIVERGED, LOSS

Array = NDArray[np.float64]
Key = tuple[int, str]  # (seed, identity pair): one replicate
LOSS_TAIL = 0.1  # the share of the logged steps whose mean is a training loss at the end


@dataclass(frozen=True)
class Outcome:
    """What came of one planned trial: its record, status ``missing`` when there is none."""

    name: str
    label: str
    settings: Mapping[str, Any]
    seed: int
    pair: str
    status: str
    folder: Path
    record: Record | None = None
    outdated: bool = False  # scored by older metrics than the plan's
    arrays: Mapping[str, Array] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    pictures: Mapping[str, Path] = field(default_factory=dict)  # by file name, without damaged ones

    @property
    def key(self) -> Key:
        return (self.seed, self.pair)

    @property
    def done(self) -> bool:
        return self.status == "done"

    def part(self, name: str) -> Mapping[str, Any]:
        """A section of the record (spec, data, cost, environment, invalid ...), empty when absent."""
        return getattr(self.record, name, None) or {}

    def mean(self, metric: str) -> float:
        """The trial's one number: a score's recorded mean, a cost, a training loss. NaN when undefined or invalid."""
        if metric == DIVERGED and self.status in ("done", DIVERGED):
            return float(self.status == DIVERGED)
        if metric in self.part("invalid"):
            return math.nan
        if metric.startswith(LOSS):
            return self._loss(metric.removeprefix(LOSS))
        if metric == "loss_roughness":
            return self._roughness()
        found = self._cost(metric) if metric in COSTS else (self.part("scores").get(metric) or {}).get("mean")
        return math.nan if found is None else float(found)

    def images(self, metric: str) -> Array:
        """Per-image values, (n,), NaN where one is undefined; empty where the number is no mean over images.

        Decibels of an averaged power and ratios of two means have per-image values whose mean is another number:
        statistics over images would speak of that one.
        """
        values, mean = self.arrays.get(metric, np.empty(0)), self.mean(metric)
        finite = values[np.isfinite(values)]
        same = finite.size > 1 and math.isclose(finite.mean(), mean, rel_tol=1e-4, abs_tol=1e-7)
        return values if same else np.empty(0)

    def _logged(self, name: str) -> list[float]:
        """The finite logged values of a training loss, in order."""
        logged = [row.get("total") if name == "total" else (row.get("loss") or {}).get(name) for row in self.history]
        return [float(value) for value in logged if value is not None and math.isfinite(value)]

    def _loss(self, name: str) -> float:
        """The mean of the last tenth of the logged values; NaN when that loss was not logged."""
        known = self._logged(name)
        return float(np.mean(known[-max(1, round(LOSS_TAIL * len(known))) :])) if known else math.nan

    def _roughness(self) -> float:
        """SD of the steps of the logarithm of the total loss over the second half, in percent; NaN below 8 values."""
        known = np.array(self._logged("total"))
        half = known[len(known) // 2 :]
        return 100 * float(np.diff(np.log(half)).std(ddof=1)) if len(half) >= 8 and half.min() > 0 else math.nan

    def _cost(self, name: str) -> float | None:
        cost = self.part("cost")
        if name in ("train_images_per_s", "swap_images_per_s"):
            rate = cost.get(name) or {}
            value = None if rate.get("void") else rate.get("median")
        elif name == "train_seconds":
            value = (cost.get("wall_s") or {}).get("train")
        elif name.startswith("latent_"):
            value = (cost.get("latent") or {}).get(name.removeprefix("latent_"))
        else:
            value = cost.get(name)
        return None if value is None else float(value)


@dataclass(frozen=True)
class Replicates:
    """One metric over the planned replicates of a variant: the numbers, and why a replicate has none.

    ``unfinished`` names trials that are not done (their status), ``undefined`` those that are and have no number.
    """

    means: Mapping[Key, float]
    images: Mapping[Key, Array]  # per-image values under a mean, empty where it is no mean over images
    unfinished: Mapping[Key, str]
    undefined: Mapping[Key, str]

    def __bool__(self) -> bool:
        return bool(self.means)


@dataclass(frozen=True)
class Variant:
    """One cell of the matrix: the trials that differ only in seed and identity pair."""

    label: str
    settings: Mapping[str, Any]
    trials: tuple[Outcome, ...]

    @property
    def done(self) -> dict[Key, Outcome]:
        return {trial.key: trial for trial in self.trials if trial.done}

    @property
    def latent_cells(self) -> float | None:
        """Spatial cells of the latent; None when no trial says so."""
        known = list(self.replicates("latent_cells").means.values())
        return known[0] if known else None

    def replicates(self, metric: str) -> Replicates:
        """What the planned replicates have of a metric. Every statistic takes its values from here."""
        settled = [trial for trial in self.trials if trial.done or (metric == trial.status == DIVERGED)]
        means = {trial.key: trial.mean(metric) for trial in settled}
        known = {key: value for key, value in means.items() if math.isfinite(value)}
        return Replicates(
            known,
            {trial.key: trial.images(metric) for trial in settled if trial.key in known},
            {t.key: "not run yet" if t.status == "missing" else t.status for t in self.trials if t.key not in means},
            {t.key: str(t.part("invalid").get(metric, "")) for t in settled if t.key not in known},
        )


@dataclass(frozen=True)
class Table:
    """Everything the report is made from."""

    folder: Path
    plan: Mapping[str, Any]
    variants: tuple[Variant, ...]
    unplanned: int  # records in the folder that the plan does not name (older code, data or options)
    damaged: tuple[tuple[str, str], ...] = ()  # (trial, reason) of files that were not trusted
    steps: Mapping[str, Sequence[float]] = field(default_factory=dict)  # seconds of each timed step by variant

    @cached_property
    def recorded(self) -> Mapping[str, Mapping[str, Any]]:
        """The facts of every metric that a record knows; records of the plan's own metrics go before outdated ones."""
        found: dict[str, Mapping[str, Any]] = {}
        for trial in sorted(self.trials, key=lambda trial: not trial.outdated):
            found |= trial.part("facts")
        return found

    def facts(self, metric: str) -> Facts:
        """What a reader needs of a metric, as its records say, else as it is registered."""
        return facts_of(metric, self.recorded)

    @property
    def truth(self) -> bool:
        """Whether exact swaps were known to any finished trial; of photographs they are not."""
        return not self.done or any(trial.part("data").get("truth", True) for trial in self.done)

    @property
    def suite(self) -> str:
        return str(self.plan.get("suite") or self.folder.name)

    @property
    def trials(self) -> list[Outcome]:
        return [trial for variant in self.variants for trial in variant.trials]

    @property
    def done(self) -> list[Outcome]:
        return [trial for trial in self.trials if trial.done]

    @property
    def baseline(self) -> Variant | None:
        """The variant that the plan names; the first one when it names none."""
        named = [variant for variant in self.variants if variant.label == self.plan.get("baseline")]
        return named[0] if named else (self.variants[0] if self.variants else None)

    @property
    def seeds(self) -> list[int]:
        """Seeds of the planned replicates, in the plan's order."""
        return list(dict.fromkeys(trial.seed for trial in self.trials))

    def first(self, replicates: int) -> Table:
        """The table of the first planned replicates alone, as a look at that number of pairs sees it."""
        kept = set(self.seeds[:replicates])
        variants = [replace(v, trials=tuple(t for t in v.trials if t.seed in kept)) for v in self.variants]
        return replace(self, variants=tuple(variants))

    @property
    def undefined(self) -> dict[str, str]:
        """{metric: why it is undefined} of any finished trial."""
        return {name: str(why) for trial in self.done for name, why in trial.part("invalid").items()}

    def metrics(self) -> list[str]:
        """Names of all valid scores of any done trial, in the order of their first appearance, then the costs."""
        names: dict[str, None] = {}
        for trial in self.done:
            names |= dict.fromkeys(trial.part("scores"))
        known = [name for name in [*names, *COSTS] if any(math.isfinite(trial.mean(name)) for trial in self.done)]
        return [name for name in known if name != DIVERGED]  # every trial's status says so already


def load(folder: Path) -> Table:
    """Read results/<suite>. UsageError when it holds no plan; a record that cannot be trusted counts as missing."""
    ledger = Ledger(Path(folder))
    plan = ledger.plan()
    if not plan or not plan.get("trials"):
        raise UsageError(f"{folder} holds no results: plan.json is absent or names no trials. Run the suite first.")
    grouped: dict[str, list[Outcome]] = {}
    for planned in plan["trials"]:
        grouped.setdefault(planned["label"], []).append(_trial(ledger, planned))
    named = {planned["name"] for planned in plan["trials"]}
    found = set(ledger.names())
    variants = tuple(Variant(label, trials[0].settings, tuple(trials)) for label, trials in grouped.items())
    steps: Mapping[str, Any] = {}
    try:
        steps = read_steps(ledger.folder)
    except (OSError, Damaged) as error:
        ledger.damaged.append((STEPS, f"{STEPS} is damaged: {error}"))
    damaged = tuple(sorted(ledger.damaged))
    return Table(ledger.folder, plan, variants, len(found - named), damaged, steps.get("seconds", {}))


def _trial(ledger: Ledger, planned: Mapping[str, Any]) -> Outcome:
    record = ledger.read(planned["name"])
    values = ledger.values(record) if record else {}
    return Outcome(
        name=planned["name"],
        label=planned["label"],
        settings=planned.get("cell") or {},
        seed=int(planned["seed"]),
        pair=str(planned.get("pair") or ""),
        status=record.status if record else "missing",
        folder=record.folder if record else ledger.folder,
        record=record,
        outdated=bool(record and planned.get("score_digest", record.score_digest) != record.score_digest),
        arrays={name: np.array(row, dtype=np.float64) for name, row in values.items()},
        history=tuple(ledger.history(record)) if record else (),
        pictures=ledger.pictures(record) if record else {},
    )
