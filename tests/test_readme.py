"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import torch

from harness import registry

HOME = Path(__file__).resolve().parent.parent
README = (HOME / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return found


def test_the_variant_of_the_readme_swaps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    file = tmp_path / "my_variants.py"
    file.write_text(block("python"))
    registry.load_plugin(file)
    model = registry.get("variant", "wide").object(32, channels=8).eval()
    assert model.swap(torch.rand(2, 3, 32, 32), "dst").shape == (2, 3, 32, 32)


def test_the_answer_of_the_readme_is_that_of_the_reference_run() -> None:
    page = runpy.run_path(str(HOME / "docs" / "readme_answer.py"))
    assert page["filled"](README, page["answer"]()) == README


def test_every_file_the_readme_points_to_is_there() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    missing = [target for target in targets if not (HOME / target).exists()]
    assert not missing


def test_every_suite_is_named() -> None:
    assert {path.name for path in (HOME / "suites").glob("*.yaml")} <= set(re.findall(r"suites/(\w+\.yaml)", README))
