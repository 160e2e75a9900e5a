"""A trial: one cell of a suite with one seed, frozen, under a digest of everything that decides its numbers.

The digest covers the resolved spec, the seed, the data's fingerprint, and the source of the first-party modules that
training uses (found by following imports). Folders, device and worker counts stay out: they decide no number.
"""

from __future__ import annotations

import ast
import fnmatch
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import registry
from harness.anatomy import undrawn
from harness.errors import UsageError
from harness.settings import Setting, resolve
from harness.spec import DataSpec, Spec
from harness.suite import HOME, Suite, layers
from harness.weights import resolved, scoring_state

PACKAGES = ("harness", "models", "metrics")


@dataclass(frozen=True)
class Trial:
    """What is run. `pair` is near, mid or far, or `own` for a folder of one's own; `cell` is {dotted key: value}."""

    suite: str
    scale: str
    label: str
    cell: Mapping[str, Any]
    seed: int
    pair: str
    spec: Spec
    metrics: tuple[str, ...]
    fingerprint: str
    digest: str
    score_digest: str

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
        spec = Spec.model_validate_json(json.dumps(values["spec"]), strict=True)
        return cls(**{**values, "spec": spec, "metrics": tuple(values["metrics"])})


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def trials(
    suite: Suite,
    scale: str,
    overrides: Sequence[Setting] = (),
    only: str | None = None,
    seeds: int | None = None,
) -> list[Trial]:
    """The trials of a suite at a scale, seed by seed over all cells, so that an early look compares all variants.

    All scales are checked, so that a mistake in a larger one is found on the small machine. `only` is a glob over
    labels and `label-sSEED`. UsageError when something is wrong or nothing is left.
    """
    for other in suite.scales if not overrides else ():
        if other != scale:
            for cell in suite.cells:
                resolve(layers(suite, cell, other, ()), suite.top)
    chosen = _metrics(suite)
    for setting in overrides:
        if setting.dotted in suite.axes:
            raise setting.where.error("this key is an axis of the suite's matrix. Use --only to choose cells")
    hashes = _Hashes(HOME)
    plain = [(cell, resolve(layers(suite, cell, scale, tuple(overrides)), suite.top)) for cell in suite.cells]
    specs = [(cell, resolved(spec)) for cell, spec in plain]
    for cell, spec in specs:
        _buildable(spec, cell.settings[0].where.error if cell.settings else suite.top.error)
    found = []
    for seed in _seeds(suite, scale, seeds):
        for cell, spec in specs:
            if only and not any(fnmatch.fnmatchcase(text, only) for text in (cell.label, f"{cell.label}-s{seed}")):
                continue
            found.append(_trial(suite, scale, cell.label, cell.values, seed, spec, chosen, hashes))
    if not found:
        labels = ", ".join(cell.label for cell in suite.cells[:40])
        raise UsageError(f"--only {only}: no trial matches. Expected a glob over: {labels} (or LABEL-sSEED)")
    return found


def _seeds(suite: Suite, scale: str, wanted: int | None) -> tuple[int, ...]:
    seeds = suite.scale_seeds.get(scale, suite.seeds)
    if wanted is None:
        return seeds
    more = range(max(seeds) + 1, max(seeds) + 1 + max(0, wanted - len(seeds)))
    return (*seeds[:wanted], *more)


def _metrics(suite: Suite) -> tuple[str, ...]:
    known = registry.entries("metric")
    for name, where in zip(suite.metrics or (), suite.metrics_at, strict=True):
        if name not in known:
            raise where.error(f"there is no metric {name!r}. {registry.did_you_mean(name, known)}")
    return suite.metrics or tuple(known)


def _trial(
    suite: Suite,
    scale: str,
    label: str,
    cell: Mapping[str, Any],
    seed: int,
    spec: Spec,
    metrics: tuple[str, ...],
    hashes: _Hashes,
) -> Trial:
    data, pair = resolved_pair(spec.data, seed)
    spec = spec.model_copy(update={"data": data})
    fingerprint = hashes.data(data, seed)
    return Trial(
        suite=suite.name,
        scale=scale,
        label=label,
        cell=dict(cell),
        seed=seed,
        pair=pair,
        spec=spec,
        metrics=metrics,
        fingerprint=fingerprint,
        digest=digest(spec, seed, fingerprint, hashes.training(spec)),
        score_digest=score_digest(spec, metrics, hashes.scoring(metrics) + scoring_state(data.source == "builtin")),
    )


def resolved_pair(data: DataSpec, seed: int) -> tuple[DataSpec, str]:
    """The data section with `cycle` replaced by the pair of this replicate, and the pair's name."""
    if data.source != "builtin":
        return data, "own"
    from harness.data.fingerprint import generation

    pair = generation(data, seed)["pair"]
    return data.model_copy(update={"pair": pair}), pair


def digest(spec: Spec, seed: int, fingerprint: str, code: str) -> str:
    """SHA-256 of all that decides the trained model. An own folder counts by its content, not by its path."""
    values = spec.model_dump(mode="json")
    if spec.data.source != "builtin":
        values["data"]["source"] = "folder"
    return hashlib.sha256(canonical({"spec": values, "seed": seed, "data": fingerprint, "code": code})).hexdigest()


def score_digest(spec: Spec, metrics: Iterable[str], code: str) -> str:
    """SHA-256 of all that decides the scores of a trained model."""
    values = {"score": spec.score.model_dump(mode="json"), "metrics": sorted(metrics), "code": code}
    return hashlib.sha256(canonical(values)).hexdigest()


class _Hashes:
    """Hashes of data and code, each taken once for all trials of a plan."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._done: dict[Any, str] = {}

    def _once(self, key: Any, make: Any) -> str:
        if key not in self._done:
            self._done[key] = make()
        return self._done[key]

    def data(self, data: DataSpec, seed: int) -> str:
        from harness.data.fingerprint import data_fingerprint

        return self._once((data, seed), lambda: data_fingerprint(data, seed))

    def training(self, spec: Spec) -> str:
        losses = [registry.get("loss", name) for name, term in spec.loss.items() if term.weight > 0]
        files = {registry.get("variant", spec.model.variant).file, *(loss.file for loss in losses)}
        read = sorted({file for loss in losses for file in getattr(loss.object, "reads", ())})  # weights' records
        roots = [self.home / "harness" / "train.py", *sorted((self.home / "harness" / "data").rglob("*.py"))]
        key = (frozenset(files), *read)
        return self._once(key, lambda: code_hash([*roots, *sorted(files)], self.home, read))

    def scoring(self, metrics: Iterable[str]) -> str:
        files = {registry.get("metric", name).file for name in metrics}
        weights = sorted(f for f in (self.home / "models" / "weights").rglob("*") if f.is_file() and f.suffix != ".py")
        roots = [self.home / "harness" / "score.py", *sorted(files)]
        return self._once(("score", frozenset(files)), lambda: code_hash(roots, self.home, weights))


def code_hash(roots: Iterable[Path], home: Path, others: Iterable[Path] = ()) -> str:
    """SHA-256 over the sources that `roots` reach by first-party imports, and over the files `others`."""
    files = first_party(roots, home)
    content = {}
    for file in [*files, *others]:
        name = file.relative_to(home).as_posix() if file.is_relative_to(home) else file.name
        content[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return hashlib.sha256(canonical(content)).hexdigest()


def first_party(roots: Iterable[Path], home: Path) -> list[Path]:
    """The files that `roots` import from this product's packages, transitively, imports inside functions too."""
    waiting = [root.resolve() for root in roots]
    found: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        stat = file.stat()
        waiting.extend(_imports(file, home.resolve(), stat.st_mtime_ns, stat.st_size))
    return sorted(found)


@functools.lru_cache(maxsize=4096)
def _imports(file: Path, home: Path, mtime: int, size: int) -> tuple[Path, ...]:
    """Files of this product that one file imports, packages' __init__ included. `mtime` and `size` key the cache."""
    package = file.parent.relative_to(home).parts if file.is_relative_to(home) else ()
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    files: list[Path] = []
    for name in names:
        parts = name.split(".")
        if parts[0] not in PACKAGES:
            continue
        for end in range(1, len(parts) + 1):
            stem = home.joinpath(*parts[:end])
            files += [path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()]
    return tuple(dict.fromkeys(files))


def parameters(spec: Spec) -> int:
    """Number of parameters of the spec's model, built without memory."""
    with undrawn():
        return sum(parameter.numel() for parameter in _model(spec).parameters())


def _model(spec: Spec) -> Any:
    return registry.get("variant", spec.model.variant).object(size=spec.data.size, **spec.model.options)


def _buildable(spec: Spec, error: Any) -> None:
    """A size that a variant cannot have, or a loss that its model cannot serve, is told before anything is trained."""
    with undrawn():
        try:
            model = _model(spec)
        except ValueError as problem:
            raise error(f"the variant {spec.model.variant!r} cannot be built: {problem}") from None
        for name, term in spec.loss.items():
            loss = registry.get("loss", name).object
            try:
                if term.weight > 0 and hasattr(loss, "bind"):
                    loss(**term.options).bind(model, spec.data.size)
            except ValueError as problem:
                raise error(f"the loss {name!r} does not fit {spec.model.variant!r}: {problem}") from None
