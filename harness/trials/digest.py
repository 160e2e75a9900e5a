"""Digests of trials: everything that decides a number is in them, nothing else is.

Code counts by its meaning (`harness.source`): a reworded comment or a renamed file outdates nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import registry
from harness.compute import Compute
from harness.files import HOME, hash_of
from harness.source import code_hash
from harness.spec import DataSpec, Spec

# What these decide is in the spec, in an entry's own file, or in no number at all.
NO_NUMBER = (
    "errors", "files", "limits", "lock", "terminal", "memo", "catalogue", "registry", "plugins", "source", "spec",
)  # fmt: skip
# Rewritten files by which a trial in bfloat16 has the same weights as before, bit for bit, and so keeps its digest:
# {`harness.source.body` of the file: that of its former text}. A committed trial is trained again to hold this.
SAME_IN_BF16 = {
    "3fae05634f9c296c875b87b3dabcd3ecc5ce37790af8af2632b5a1af4c0d8df3":  # harness/compute.py
    "de331eed4c56714a1e73a089c36940c55172896b5a7240995aebd96ff40c6566",
    "bc1acb9c8363b8881918b0ab84edb9f057e18fe14a7cc4fcaa39c1d9e51a6c31":  # harness/train/loop.py
    "36b187d6308ad2127929b437f2cb03dcad9d150a2c0c32292c4a61a0daac21ab",
    "93ad3327bfad1bdb138b326914c9e1ca2c423f1ce42a710290f08a648682f925":  # harness/train/muon.py
    "18c14a2f7696ad267b2e26b8905a44ac824a76542e70b6a933cb7fc414cad661",
    "66fc9a10f7560549eca2c77c873e22ed3710005604322e5fd4ebfbbab4c63b6d":  # harness/train/optimise.py
    "51c5e84adf96c77ef96d872a48ad3fa9dde911562123147e795b3a353c23d699",
}


def digest(spec: Spec, seed: int, fingerprint: str, code: str, compute: Compute) -> str:
    """SHA-256 of all that decides the trained model.

    An own folder counts by its content, not by its path, and a precision by what computes, whoever chose it.
    """
    values = spec.model_dump(mode="json")
    values["optim"]["precision"] = "auto"
    if spec.data.source != "builtin":
        values["data"]["source"] = "folder"
    content = {"spec": values, "seed": seed, "data": fingerprint, "code": code, "compute": compute.identity}
    return hash_of(content)


def score_digest(spec: Spec, metrics: Iterable[str], code: str) -> str:
    """SHA-256 of all that decides the scores of a trained model."""
    values = {"score": spec.score.model_dump(mode="json"), "metrics": sorted(metrics), "code": code}
    return hash_of(values)


class Hashes:
    """Hashes of data and code, each taken once for all trials of a plan."""

    def __init__(self, home: Path = HOME) -> None:
        self.home = home
        self.silent = [home / "harness" / f"{name}.py" for name in NO_NUMBER]
        self._done: dict[Any, str] = {}

    def _once(self, key: Any, make: Any) -> str:
        if key not in self._done:
            self._done[key] = make()
        return self._done[key]

    def data(self, data: DataSpec, seed: int) -> str:
        """The fingerprint of a replicate's images."""
        from harness.data.fingerprint import data_fingerprint

        return self._once((data, seed), lambda: data_fingerprint(data, seed))

    def training(self, spec: Spec, precision: str) -> str:
        """The code that trains this spec: the loop, the data's way to it, the variant, the losses in use."""
        losses = [registry.get("loss", name) for name, term in spec.loss.items() if term.weight > 0]
        files = {registry.get("variant", spec.model.variant).file, *(loss.file for loss in losses)}
        read = sorted({file for loss in losses for file in loss.reads})
        harness = self.home / "harness"
        roots = [harness / "train" / "loop.py", harness / "data" / "store.py", *sorted(files)]
        same = SAME_IN_BF16 if precision == "bf16" else {}
        key = (frozenset(files), *read, bool(same))
        return self._once(key, lambda: code_hash(roots, self.home, read, self.silent, same))

    def scoring(self, metrics: Iterable[str]) -> str:
        """The code that scores with these evaluators, and the weights that come with the product."""
        files = {registry.get("metric", name).file for name in metrics}
        weights = sorted(f for f in (self.home / "models" / "weights").rglob("*") if f.is_file() and f.suffix != ".py")
        roots = [self.home / "harness" / "score" / "score.py", *sorted(files)]
        return self._once(("score", frozenset(files)), lambda: code_hash(roots, self.home, weights, self.silent))
