"""The digest: everything that decides a number is in it, nothing else is."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_suite
import torch

from harness import registry
from harness.compute import Compute
from harness.files import HOME
from harness.source import body, code_hash, first_party
from harness.spec import Spec
from harness.suite.settings import from_options
from harness.suite.suite import from_document
from harness.suite.yamlfile import parse
from harness.trials.buildable import parameters
from harness.trials.digest import SAME_IN_BF16, Hashes, digest, score_digest
from harness.trials.trial import Trial, resolved_pair, trials

CPU = Compute()
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
    ("data", "variation"): "free",
    ("data", "pairing"): "fixed",
    **{("data", "loose", name): value for name, value in (("shift", 0.01), ("zoom", 0.01), ("crop", 1.1))},
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
    computes = [replace(CPU, precision=spec.optim.precision.replace("auto", "fp32")) for spec in (other, SPEC)]
    assert digest(other, 0, "data", "code", computes[0]) != digest(SPEC, 0, "data", "code", computes[1])


def test_every_field_is_perturbed_somewhere() -> None:
    reached = {path[:2] for path in leaves(json.loads(SPEC.model_dump_json()))}
    for section in ("data", "optim", "score"):
        model = type(getattr(SPEC, section))
        assert {(section, name) for name in model.model_fields} <= reached


def test_seed_data_and_code_change_the_digest_and_repetition_does_not() -> None:
    base = digest(SPEC, 0, "data", "code", CPU)
    assert base == digest(SPEC.model_copy(deep=True), 0, "data", "code", CPU)
    others = [(1, "data", "code", CPU), (0, "d", "code", CPU), (0, "data", "c", CPU)]
    assert len({base, *(digest(SPEC, *other) for other in others)}) == 4


def test_what_computes_a_trial_is_part_of_its_digest_as_far_as_it_decides_bits() -> None:
    kinds = [CPU, Compute(threads=2), Compute(precision="bf16"), Compute(device="cuda")]
    assert len({digest(SPEC, 0, "data", "code", kind) for kind in kinds}) == 4
    one, many = (digest(SPEC, 0, "data", "code", Compute("cuda", "bf16", n)) for n in (1, 16))
    assert one == many


def test_a_precision_that_was_asked_for_is_the_one_that_was_chosen() -> None:
    asked, compute = perturbed(("optim", "precision")), Compute(precision="bf16")
    assert digest(asked, 0, "data", "code", compute) == digest(SPEC, 0, "data", "code", compute)


def test_an_own_folder_counts_by_content_and_not_by_path() -> None:
    one, two = (
        Spec.model_validate({**SPEC.model_dump(), "data": {**SPEC.data.model_dump(), "source": source}})
        for source in ("/a/faces", "/b/faces")
    )
    assert digest(one, 0, "same", "code", CPU) == digest(two, 0, "same", "code", CPU)
    assert digest(one, 0, "same", "code", CPU) != digest(one, 0, "other", "code", CPU)
    assert resolved_pair(one.data, 5) == (one.data, "own")


def test_replicates_go_round_the_pairs() -> None:
    assert [resolved_pair(SPEC.data, index)[1] for index in (0, 1, 1000)] == ["p0000", "p0001", "p1000"]
    assert resolved_pair(SPEC.data, 1)[0].pair == 1
    for given, name in (("mid", "mid"), (7, "p0007")):
        assert resolved_pair(SPEC.data.model_copy(update={"pair": given}), 3)[1] == name


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


SPEC_OF_GRID = Spec.model_validate({"model": {"variant": "grid"}, "loss": {"l1": 1.0, "kl": 0.2}})


def codes(home: Path) -> tuple[str, str]:
    """What the digests of training and of scoring see of the code under `home`."""
    spec = SPEC_OF_GRID
    entries = [registry.get("variant", "grid"), registry.get("loss", "l1"), registry.get("loss", "kl")]
    hashes = Hashes(home)
    roots = [home / entry.file.relative_to(HOME) for entry in entries]
    training = code_hash(
        [home / "harness" / "train" / "loop.py", home / "harness" / "data" / "store.py", *roots],
        home,
        without=hashes.silent,
    )
    assert home != HOME or training == hashes.training(spec, "fp32")
    return training, hashes.scoring(())


def edited(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_the_codes_are_those_of_the_product() -> None:
    codes(HOME)


EDITS = [
    # file, old, new, changes training, changes scoring
    ("harness/train/loop.py", "BLOCK = 20", "BLOCK = 21", True, False),
    ("harness/train/step.py", "objective.backward()", "(2 * objective).backward()", True, False),
    ("models/losses.py", "(alpha > 0.9).to", "(alpha > 0.8).to", True, None),
    ("models/upsample.py", "\n\n\nclass", "\n\n\nEDITED = True\n\n\nclass", True, None),
    ("harness/data/augment.py", "import torch\n", "import torch\n\nEDITED = True\n", True, False),
    ("harness/data/faces/render.py", "\n\n\n", "\n\n\nEDITED = True\n\n\n", True, None),
    ("metrics/identity.py", "\n\n\n", "\n\n\nEDITED = True\n\n\n", False, None),
    ("harness/score/score.py", "LADDER_PAIRS = 32", "LADDER_PAIRS = 33", False, True),
    ("harness/score/pictures.py", "PAIRS = 32", "PAIRS = 33", False, True),
    # comments, docstrings, messages, and rooms that decide no number
    ("harness/train/loop.py", "# Draw the batch", "# Take the batch", False, False),
    ("harness/train/loop.py", "The training loop: one for every", "The loop that serves every", False, False),
    ("harness/train/loop.py", "one image of each person does not", "a pair does not", False, False),
    ("harness/score/score.py", "Scoring: a trained", "A trained", False, False),
    ("harness/errors.py", "cutoff=0.5", "cutoff=0.6", False, False),
    ("harness/errors.py", "code = 2", "code = 9", False, False),
    ("harness/spec.py", "chance of each", "the chance of each", False, False),
    ("harness/use/run.py", "import json", "import json, os", False, False),
    ("harness/cli/app.py", "Where to train", "The place", False, False),
    ("harness/ledger/records.py", "SCHEMA_VERSION = 1", "SCHEMA_VERSION = 2", False, False),
]


@pytest.mark.parametrize(("file", "old", "new", "trains", "scores"), EDITS)
def test_an_edit_outdates_exactly_what_it_can_change(
    home: Path, file: str, old: str, new: str, trains: bool, scores: bool | None
) -> None:
    before = codes(home)
    assert before == codes(home)
    edited(home / file, old, new)
    after = codes(home)
    assert (after[0] != before[0]) is trains
    assert scores is None or (after[1] != before[1]) is scores


def test_a_rewritten_file_that_is_known_to_do_the_same_counts_as_before(tmp_path: Path) -> None:
    package = tmp_path / "models"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "user.py").write_text("from models.a import f\n")
    a, codes_of, bodies = package / "a.py", [], []
    for text in ("1", "0 + 1", "2"):
        a.write_text(f"def f(): return {text}\n")
        bodies.append(body(a, tmp_path))
        codes_of.append(code_hash([package / "user.py"], tmp_path, same={bodies[1]: bodies[0]} if bodies[1:] else {}))
    assert len(set(bodies)) == 3
    assert codes_of[0] == codes_of[1] != codes_of[2]


def test_only_trials_in_bfloat16_keep_their_digests_and_only_by_files_as_they_are() -> None:
    hashes = Hashes()
    assert hashes.training(SPEC_OF_GRID, "bf16") != hashes.training(SPEC_OF_GRID, "fp32")
    bodies = {body(file) for file in (HOME / "harness").rglob("*.py")}
    assert SAME_IN_BF16.keys() <= bodies, "no file has such a text any more: take the line out"


def test_a_renamed_file_outdates_nothing(home: Path) -> None:
    before = codes(home)
    (home / "harness" / "train" / "terms.py").rename(home / "harness" / "train" / "objective.py")
    for file in (home / "harness" / "train").glob("*.py"):
        file.write_text(file.read_text().replace("harness.train.terms", "harness.train.objective"))
    assert codes(home) == before


def test_a_name_taken_from_another_file_is_another_meaning(tmp_path: Path) -> None:
    package = tmp_path / "models"
    package.mkdir()
    for name, text in {"__init__": "", "a": "def f(): return 1\n", "b": "def f(): return 2\n"}.items():
        (package / f"{name}.py").write_text(text)
    user = package / "user.py"
    found = []
    for first, second in ("ab", "ba"):
        user.write_text(f"from models.{first} import f\nfrom models.{second} import f as g\n")
        found.append(code_hash([user], tmp_path))
    assert found[0] != found[1]


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
    before = Hashes(home).scoring(())
    assert before == Hashes(home).scoring(())
    weights.write_bytes(b"others")
    assert Hashes(home).scoring(()) != before


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
