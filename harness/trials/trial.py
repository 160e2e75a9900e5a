"""A trial: one cell of a suite with one seed, frozen, under a digest of everything that decides its numbers.

The digest covers the resolved spec, the seed, the data's fingerprint, the code that trains, and what computes it.
Folders and the number of trials at once stay out: they decide no number.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness import limits, registry
from harness.compute import Compute, choose_compute
from harness.errors import UsageError, did_you_mean
from harness.options import settled
from harness.score.weights import scoring_state
from harness.spec import DataSpec, Spec
from harness.suite.matrix import Cell
from harness.suite.settings import Setting, resolve
from harness.suite.suite import Suite, layers
from harness.suite.yamlfile import Where
from harness.trials.buildable import check_buildable
from harness.trials.digest import Hashes, digest, score_digest


@dataclass(frozen=True)
class Trial:
    """What is run. `pair` is p0007 and the like, near, mid or far, or `own` for a folder of one's own.

    `cell` is {dotted key: value}.
    """

    suite: str
    scale: str
    label: str
    cell: Mapping[str, Any]
    seed: int
    pair: str
    spec: Spec
    metrics: tuple[str, ...]
    fingerprint: str
    compute: Compute
    digest: str
    score_digest: str
    rehearsal: bool = False  # a few steps that answer nothing: no previews, no speed of the swap

    @property
    def name(self) -> str:
        """Folder name of the trial: label, seed and the start of the digest."""
        return f"{self.label}-s{self.seed}-{self.digest[:8]}"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"spec": self.spec.model_dump(mode="json"), "metrics": list(self.metrics)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Trial:
        """The inverse of `to_dict`."""
        spec = Spec.model_validate(values["spec"])
        compute = Compute(**values["compute"])
        return cls(**{**values, "spec": spec, "compute": compute, "metrics": tuple(values["metrics"])})

    def differs_here(self) -> str:
        """What of the code and weights of this machine is not as this trial was planned with; empty when all is."""
        hashes, spec = Hashes(), self.spec
        fingerprint = hashes.data(spec.data, self.seed)
        if fingerprint != self.fingerprint:
            return "the images are others, or the code that renders them"
        code = hashes.training(spec, self.compute.precision)
        if digest(spec, self.seed, fingerprint, code, self.compute) != self.digest:
            return "the code that trains is another"
        state = scoring_state(spec.data.source == "builtin")
        if score_digest(spec, self.metrics, hashes.scoring(self.metrics) + state) != self.score_digest:
            return f"the code that scores is another, or its weights are (here: {state.strip('+') or 'none'})"
        return ""


def trials(
    suite: Suite,
    scale: str,
    overrides: Sequence[Setting] = (),
    *,
    seeds: int | None = None,
    first_pair: int = 0,
    device: str = "cpu",
    threads: int = 1,
    folder_of: Callable[[str], str] = str,
    adapt: Callable[[Spec], Spec] = lambda spec: spec,
) -> list[Trial]:
    """The trials of a suite at a scale, seed by seed over all cells, so that an early look compares all variants.

    Random people: the replicate of seed s shows pair `first_pair` + s. `device` (cpu or cuda) and `threads` (of each
    trial, on a CPU) are what will compute them. `folder_of`: the folder of faces behind a `data.source` of one's own.
    `adapt`: what becomes of each resolved spec, as in a rehearsal.
    All scales are checked, so that a mistake in a larger one is found on the small machine. UsageError when something
    is wrong.
    """
    whole, suite = suite, suite.at(scale)
    replicates = _seeds(suite.seeds, seeds)
    count = len(replicates) * len(suite.cells)
    if limits.beyond(count, limits.TRIALS):
        what = f"{len(suite.cells)} variants of {len(replicates)} replicates are {count} trials"
        raise suite.top.error(f"{what}. Expected at most {limits.TRIALS}: split the question, or {limits.HOW}")
    for other in whole.scales if not overrides else ():
        if other != scale:
            for cell in whole.at(other).cells:
                resolve(layers(whole, cell, other, ()), whole.top)
    chosen = _metrics(suite)
    for setting in overrides:
        if setting.dotted in suite.axes:
            raise setting.where.error("this key is an axis of the suite's matrix. Use --only to choose cells")
    specs = []
    for cell in suite.cells:
        spec = adapt(settled(resolve(layers(suite, cell, scale, tuple(overrides)), suite.top)))
        if spec.data.source != "builtin":
            own = spec.data.model_copy(update={"source": folder_of(spec.data.source)})
            spec = spec.model_copy(update={"data": own})
        check_buildable(spec, _place(suite, cell, scale, overrides).error)
        specs.append((cell, spec, choose_compute(spec, device, threads)))
    hashes, found = Hashes(), []
    for seed in replicates:
        for cell, spec, compute in specs:
            data, pair = resolved_pair(spec.data, first_pair + seed)
            shown = spec.model_copy(update={"data": data})
            found.append(_trial(suite, scale, cell, seed, pair, shown, compute, chosen, hashes))
    return found


def in_order(trials: Sequence[Trial], suite: Suite) -> list[Trial]:
    """The trials as they are to be run: the groups of the suite's `order`, seed by seed within each."""
    return sorted(trials, key=lambda trial: suite.rank(trial.label))


def matching(trials: Sequence[Trial], only: str | None) -> list[Trial]:
    """The trials whose label or `label-sSEED` matches the glob; all without one. UsageError when none is left."""
    found = [
        trial
        for trial in trials
        if not only or any(fnmatch.fnmatchcase(text, only) for text in (trial.label, f"{trial.label}-s{trial.seed}"))
    ]
    if not found:
        labels = ", ".join(dict.fromkeys(trial.label for trial in trials[:40]))
        raise UsageError(f"--only {only}: no trial matches. Expected a glob over: {labels} (or LABEL-sSEED)")
    return found


def _seeds(seeds: tuple[int, ...], wanted: int | None) -> tuple[int, ...]:
    if wanted is None:
        return seeds
    more = range(max(seeds) + 1, max(seeds) + 1 + max(0, wanted - len(seeds)))
    return (*seeds[:wanted], *more)


def _metrics(suite: Suite) -> tuple[str, ...]:
    known = registry.entries("metric")
    for name, where in zip(suite.metrics or (), suite.metrics_at, strict=True):
        if name not in known:
            raise where.error(f"there is no metric {name!r}. {did_you_mean(name, known)}")
    return suite.metrics or tuple(known)


def _trial(
    suite: Suite,
    scale: str,
    cell: Cell,
    seed: int,
    pair: str,
    spec: Spec,
    compute: Compute,
    metrics: tuple[str, ...],
    hashes: Hashes,
) -> Trial:
    fingerprint, builtin = hashes.data(spec.data, seed), spec.data.source == "builtin"
    return Trial(
        suite=suite.name,
        scale=scale,
        label=cell.label,
        cell=cell.values,
        seed=seed,
        pair=pair,
        spec=spec,
        metrics=metrics,
        fingerprint=fingerprint,
        compute=compute,
        digest=digest(spec, seed, fingerprint, hashes.training(spec, compute.precision), compute),
        score_digest=score_digest(spec, metrics, hashes.scoring(metrics) + scoring_state(builtin)),
    )


def resolved_pair(data: DataSpec, index: int) -> tuple[DataSpec, str]:
    """The data section with `random` replaced by the number of this replicate's pair, and the pair's name."""
    if data.source != "builtin":
        return data, "own"
    if data.pair == "random":
        data = data.model_copy(update={"pair": index})
    return data, f"p{data.pair:04d}" if isinstance(data.pair, int) else data.pair


def _place(suite: Suite, cell: Cell, scale: str, overrides: Sequence[Setting]) -> Where:
    """Where to look for what makes a variant impossible: its cell, else the last setting of the model."""
    if cell.settings:
        return cell.settings[0].where
    of_model = [setting.where for setting in layers(suite, cell, scale, tuple(overrides)) if setting.path[0] == "model"]
    return of_model[-1] if of_model else suite.top
