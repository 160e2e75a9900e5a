"""The suites that ship: each loads at all of its scales, can be built, and together they ask every claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.suite.suite import load
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


def test_the_suites_ask_all_eighteen_claims_of_the_source() -> None:
    asked = {claim["id"].split(".")[0] for file in FILES for claim in load(file).claims}
    assert asked >= {f"C{number}" for number in range(1, 19)}
