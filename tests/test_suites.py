"""The suites that ship: each loads at all of its scales, can be built, and together they ask every claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.suite.suite import load
from harness.trials.buildable import parameters
from harness.trials.trial import trials

FILES = sorted((Path(__file__).parent.parent / "suites").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_cell_of_a_suite_can_be_built_at_every_scale(file: Path) -> None:
    suite = load(file)
    assert suite.name == file.stem
    assert f"harness run suites/{file.name}" in file.read_text()
    for scale in suite.scales:
        planned = trials(suite, scale)
        assert len({trial.digest for trial in planned}) == len(planned)
        assert len(planned) == len(suite.at(scale).cells) * len({trial.seed for trial in planned})


@pytest.mark.parametrize("file", [f for f in FILES if f.stem != "smoke"], ids=lambda file: file.stem)
def test_every_suite_has_a_small_a_middle_and_the_sources_size(file: Path) -> None:
    suite = load(file)
    assert {"quick", "standard", "paper"} <= set(suite.scales)
    assert len({claim["id"] for claim in suite.at("paper").claims}) >= min(1, len(suite.claims))


@pytest.mark.parametrize("name", ["bottleneck", "resolution"])
def test_paper_is_the_sources_own_network_with_lpips(name: str) -> None:
    (file,) = [file for file in FILES if file.stem == name]
    first = trials(load(file), "paper", seeds=1)[0]
    assert (first.spec.model.variant, first.spec.data.size) == ("reference", 256)
    assert 52_000_000 < parameters(first.spec) < 53_000_000
    assert {term: loss.weight for term, loss in first.spec.loss.items()} == {
        "face_l1": 1.0,
        "lpips": 1.0,
        "kl": 0.2,
        "latent_statistics": 0.05,
    }
    assert (first.spec.optim.algorithm, first.spec.optim.lr, first.spec.optim.batch) == ("adam", 2e-4, 32)


def test_the_suites_ask_all_eighteen_claims_of_the_source() -> None:
    asked = {claim["id"].split(".")[0] for file in FILES for claim in load(file).claims}
    assert asked >= {f"C{number}" for number in range(1, 19)}
