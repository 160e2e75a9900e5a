"""The digest: everything that decides a number is in it, nothing else is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_suite
import torch

from harness import registry
from harness.settings import from_options
from harness.spec import Spec
from harness.suite import HOME, from_document
from harness.trial import (
    Trial,
    _Hashes,
    code_hash,
    digest,
    first_party,
    parameters,
    resolved_pair,
    score_digest,
    trials,
)
from harness.yamlfile import parse

MODEL = {"variant": "tiny-test", "grid": 3, "flag": True, "text": "a"}
SPEC = Spec.model_validate({"model": MODEL, "loss": {"l1": 1.0, "kl": {"weight": 0.2, "ramp": 0.5}}})


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, inner in enumerate(value) for leaf in leaves(inner, (*path, i))]
    return [path]


OTHER = {
    ("optim", "algorithm"): "muon",
    ("data", "source"): str(Path(__file__).parent),
    ("data", "pair"): "near",
    ("data", "encoding"): "linear",
    ("data", "alpha"): "straight",
    ("data", "target"): "unwarped",
    ("data", "augment", "order"): "zoom_warp",
    ("optim", "steps"): 77,
    ("optim", "schedule"): "cosine",
    ("optim", "precision"): "bf16",
    ("model", "variant"): "another",
    ("model", "text"): "b",
}


def perturbed(path: tuple[Any, ...]) -> Spec:
    """The spec with one leaf changed to another valid value."""
    values = json.loads(SPEC.model_dump_json())
    node = values
    for part in path[:-1]:
        node = node[part]
    old = node[path[-1]]
    if path in OTHER:
        node[path[-1]] = OTHER[path]
    elif isinstance(old, bool):
        node[path[-1]] = not old
    elif isinstance(old, int):
        node[path[-1]] = old + 1
    else:
        node[path[-1]] = old * 0.999 if old else 0.5
    return Spec.model_validate_json(json.dumps(values), strict=True)


@pytest.mark.parametrize("path", leaves(json.loads(SPEC.model_dump_json())), ids=lambda path: ".".join(map(str, path)))
def test_every_field_of_the_spec_changes_the_digest(path: tuple[Any, ...]) -> None:
    other = perturbed(path)
    assert other != SPEC
    assert digest(other, 0, "data", "code") != digest(SPEC, 0, "data", "code")


def test_every_field_is_perturbed_somewhere() -> None:
    reached = {path[:2] for path in leaves(json.loads(SPEC.model_dump_json()))}
    for section in ("data", "optim", "score"):
        model = type(getattr(SPEC, section))
        assert {(section, name) for name in model.model_fields} <= reached


def test_seed_data_and_code_change_the_digest_and_repetition_does_not() -> None:
    base = digest(SPEC, 0, "data", "code")
    assert base == digest(SPEC.model_copy(deep=True), 0, "data", "code")
    assert len({base, digest(SPEC, 1, "data", "code"), digest(SPEC, 0, "d", "code"), digest(SPEC, 0, "data", "c")}) == 4


def test_an_own_folder_counts_by_content_and_not_by_path() -> None:
    one, two = (
        Spec.model_validate({**SPEC.model_dump(), "data": {**SPEC.data.model_dump(), "source": source}})
        for source in ("/a/faces", "/b/faces")
    )
    assert digest(one, 0, "same", "code") == digest(two, 0, "same", "code")
    assert digest(one, 0, "same", "code") != digest(one, 0, "other", "code")
    assert resolved_pair(one.data, 5) == (one.data, "own")


def test_replicates_go_round_the_pairs() -> None:
    assert [resolved_pair(SPEC.data, seed)[1] for seed in range(4)] == ["far", "mid", "near", "far"]
    assert resolved_pair(SPEC.data, 1)[0].pair == "mid"


def test_score_digest_follows_score_section_metrics_and_code_only() -> None:
    base = score_digest(SPEC, ["a", "b"], "code")
    assert base == score_digest(SPEC, ["b", "a"], "code")
    assert base == score_digest(perturbed(("optim", "lr")), ["a", "b"], "code")
    others = [(perturbed(("score", "batch")), ["a", "b"], "code"), (SPEC, ["a"], "code"), (SPEC, ["a", "b"], "c")]
    assert all(score_digest(*other) != base for other in others)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A copy of the sources, to be edited."""
    for package in ("harness", "models", "metrics"):
        shutil.copytree(HOME / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    (tmp_path / "models" / "weights").mkdir()
    (tmp_path / "models" / "weights" / "judge.safetensors").write_bytes(b"weights")
    return tmp_path


def touch(file: Path, text: str = "\nEDITED = True\n") -> None:
    file.write_text(file.read_text() + text)


def training_code(home: Path) -> str:
    roots = [home / "harness" / "train.py", *(home / "harness" / "data").rglob("*.py"), home / "models" / "variants.py"]
    return code_hash(roots, home)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("harness/train.py", True),
        ("harness/spec.py", True),
        ("harness/data/augment.py", True),
        ("models/variants.py", True),
        ("models/upsample.py", True),  # reached through variants -> decoder
        ("models/__init__.py", True),
        ("harness/cli.py", False),
        ("harness/records.py", False),
        ("harness/progress.py", False),
    ],
)
def test_an_edit_changes_the_digest_exactly_where_training_uses_the_source(
    home: Path, file: str, changes: bool
) -> None:
    before = training_code(home)
    assert before == training_code(home)
    touch(home / file)
    assert (training_code(home) != before) is changes


def test_relative_and_nested_imports_are_followed(tmp_path: Path) -> None:
    package = tmp_path / "models"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    from . import b\n")
    (package / "b.py").write_text("import models.c\nimport os, torch\n")
    (package / "c.py").write_text("from .d import x as y\n")
    (package / "d.py").write_text("x = 1\n")
    (package / "unused.py").write_text("")
    assert [f.name for f in first_party([package / "a.py"], tmp_path)] == [
        "__init__.py",
        "a.py",
        "b.py",
        "c.py",
        "d.py",
    ]


def test_shipped_weights_count_for_the_scores(home: Path) -> None:
    weights = home / "models" / "weights" / "judge.safetensors"
    before = _Hashes(home).scoring(())
    assert before == _Hashes(home).scoring(())
    weights.write_bytes(b"others")
    assert _Hashes(home).scoring(()) != before


def test_a_trial_survives_the_way_to_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)
    loaded = from_document(parse(tiny_suite.TEXT, "s.yaml"), Path("s.yaml"))
    for trial in trials(loaded, "quick", from_options(["optim.betas=[0.9, 0.99]"])):
        assert Trial.from_dict(json.loads(json.dumps(trial.to_dict()))) == trial


def test_trials_of_equal_settings_have_equal_digests_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._added, ("variant", "tiny-test"), tiny_suite.build)
    loaded = from_document(parse(tiny_suite.TEXT, "s.yaml"), Path("s.yaml"))
    one, two = trials(loaded, "quick"), trials(loaded, "quick")
    assert [t.digest for t in one] == [t.digest for t in two]
    assert len({t.digest for t in one}) == len(one)
    other = trials(loaded, "quick", from_options(["optim.lr=1e-3"]))
    assert not {t.digest for t in one} & {t.digest for t in other}


def test_parameters_are_counted_without_drawing_them() -> None:
    spec = Spec.model_validate({"model": {"variant": "grid", "grid": 3}, "loss": {"l1": 1.0}})
    real = registry.get("variant", "grid").object(size=spec.data.size, grid=3)
    before = torch.get_rng_state()
    assert parameters(spec) == sum(parameter.numel() for parameter in real.parameters())
    assert torch.equal(torch.get_rng_state(), before)
