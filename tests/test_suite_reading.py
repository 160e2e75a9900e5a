"""Suites: what they mean, and that every mistake is told with its place and the nearest right name."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_suite
from tiny_suite import error_of, loaded

from harness.errors import UsageError
from harness.suite.settings import from_options
from harness.suite.suite import choose_scale, find, load
from harness.suite.yamlfile import parse
from harness.trials.trial import in_order, matching, trials

pytestmark = pytest.mark.usefixtures("tiny_variant")


def test_a_suite_becomes_paired_trials_with_all_layers_applied() -> None:
    found = trials(loaded(tiny_suite.TEXT), "quick")
    assert [(t.label, t.seed) for t in found] == [("grid3", 0), ("grid5", 0), ("grid3", 1), ("grid5", 1)]
    first = found[0]
    assert first.spec.data.frames == 20
    assert first.spec.optim.batch == 4
    assert first.spec.optim.steps == 10
    assert first.spec.model.options == {"grid": 3, "width": 2, "mode": "soft"}
    assert {name: term.weight for name, term in first.spec.loss.items()} == {"l1": 1.0, "kl": 0.2}
    assert first.name.startswith("grid3-s0-")
    assert [t.pair for t in found] == ["p0000", "p0000", "p0001", "p0001"]


def test_scales_override_the_base_and_bring_their_own_seeds() -> None:
    found = trials(loaded(tiny_suite.TEXT), "standard")
    assert {t.spec.data.size for t in found} == {32}
    assert [t.seed for t in found] == [4, 4, 9, 9, 2, 2]
    assert [t.seed for t in trials(loaded(tiny_suite.TEXT), "standard", seeds=1)] == [4, 4]
    assert sorted({t.seed for t in trials(loaded(tiny_suite.TEXT), "standard", seeds=5)}) == [2, 4, 9, 10, 11]


def test_command_line_settings_win_over_the_file_and_are_checked_alike() -> None:
    found = trials(loaded(tiny_suite.TEXT), "quick", from_options(["optim.batch=8", "loss.kl=null"]))
    assert found[0].spec.optim.batch == 8
    assert "kl" not in found[0].spec.loss
    assert "--set optim.bach=8: there is no key 'optim.bach'. Did you mean 'batch'?" in error_of(
        tiny_suite.TEXT, "optim.bach=8"
    )
    assert "--set model.mode=sof: model.mode cannot be 'sof'" in error_of(tiny_suite.TEXT, "model.mode=sof")
    assert "axis" in error_of(tiny_suite.TEXT, "model.grid=4")
    with pytest.raises(UsageError, match="Expected KEY=VALUE"):
        from_options(["optim.batch"])


MISTAKES = {
    "a misspelt top key": (
        "question:",
        "questoin:",
        "s.yaml:2:1: there is no key 'questoin'. Did you mean 'question'?",
    ),
    "a misspelt section key": (
        "frames: 20",
        "frame: 20",
        "s.yaml:3:8: there is no key 'data.frame'. Did you mean 'frames'?",
    ),
    "a key without its section": (
        "optim.steps: 10",
        "steps: 10",
        "s.yaml:9:3: there is no key 'steps'. Did you mean 'optim.steps'?",
    ),
    "an unknown variant": (
        "tiny-test",
        "tiny-tset",
        "s.yaml:5:20: there is no variant 'tiny-tset'. Did you mean 'tiny-test'?",
    ),
    "an unknown option": (
        "width: 2",
        "widht: 2",
        "s.yaml:5:31: the variant 'tiny-test' has no option 'widht'. Did you mean 'width'?",
    ),
    "a wrong option value": (
        "width: 2",
        "width: wide",
        "s.yaml:5:38: model.width cannot be 'wide'. Expected a whole number",
    ),
    "a truth value for a number": (
        "width: 2",
        "width: true",
        "s.yaml:5:38: model.width cannot be true. Expected a whole number",
    ),
    "an unknown loss": ("    kl:", "    kkl:", "s.yaml:8:5: there is no loss 'kkl'. Did you mean 'kl'?"),
    "an unknown loss option": ("{weight: 0.2}", "{weigth: 0.2}", "s.yaml:8:10: the loss 'kl' has no option 'weigth'"),
    "a negative weight": (
        "l1: 1.0",
        "l1: -1.0",
        "s.yaml:7:9: loss.l1.weight cannot be -1.0. Expected 0.0 or more",
    ),
    "a value out of range": (
        "frames: 20",
        "frames: 0",
        "s.yaml:3:16: data.frames cannot be 0. Expected 2 or more",
    ),
    "a bad value in the matrix": ("[3, 5]", "[five, 5]", "s.yaml:12:18: model.grid cannot be 'five'"),
    "a value the variant refuses": (
        "[3, 5]",
        "[500, 5]",
        "s.yaml:12:18: the variant 'tiny-test' cannot be built: grid 500",
    ),
    "an axis that is no list": ("[3, 5]", "3", "s.yaml:12:17: model.grid needs a list of values"),
    "an unknown scale": ("quick:", "quik:", "s.yaml:15:3: there is no scale 'quik'. Did you mean 'quick'?"),
    "a mistake in another scale": (
        "{size: 32}",
        "{sise: 32}",
        "s.yaml:16:21: there is no key 'data.sise'. Did you mean 'size'?",
    ),
    "seeds twice": ("[4, 9, 2]", "[4, 9, 4]", "s.yaml:16:39: a seed is there twice"),
    "an unknown baseline": ("{model.grid: 5}", "grid4", "s.yaml:17:11: no cell is labelled 'grid4'. Did you mean"),
    "a duplicate key": ("seeds: 2", "suite: b", "s.yaml:13:1: the key 'suite' is given twice (first in line 1)"),
    "one key nested and dotted": (
        "optim.steps: 10",
        "optim.steps: 10\n  optim: {steps: 3}",
        "s.yaml:10:11: optim.steps is set twice",
    ),
    "a missing folder": ("frames: 20", "source: gone", "s.yaml:3:16: there is no folder"),
    "a reserved name": ("suite: tiny", "suite: data", "s.yaml:1:8: 'data' is a reserved name"),
    "an unusable name": ("suite: tiny", "suite: ../x", "s.yaml:1:8: suite cannot be '../x'. Expected small letters"),
    "a tag": (
        "frames: 20",
        "frames: !!python/name:os.system x",
        "s.yaml:3:16: '!!python/name:os.system' is not allowed",
    ),
    "a date": (
        "question: Does a test see what it should?",
        "question: 2020-01-01",
        "s.yaml:2:11: '!!timestamp' is not allowed",
    ),
    "broken YAML": ("[3, 5]", "[3, 5", "s.yaml:13:6: not readable as YAML"),
    "not a number": ("l1: 1.0", "l1: .nan", "s.yaml:7:9: .nan is not a finite number"),
    "a descending range": ("frames: 20", "augment.zoom: [1.0, 0.9]", "s.yaml:3:22: data.augment.zoom cannot be"),
    "an unknown metric": (
        "seeds: 2",
        "metrics: [identitty]",
        "s.yaml:13:11: there is no metric 'identitty'. Did you mean",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_the_right_name(name: str) -> None:
    right, wrong, message = MISTAKES[name]
    assert right in tiny_suite.TEXT
    told = error_of(tiny_suite.TEXT.replace(right, wrong))
    assert message in told
    assert "\n" not in told


def test_numbers_are_read_as_the_field_writes_them() -> None:
    assert parse("1e-4", "x").value == 1e-4
    assert parse("yes", "x").value == "yes"
    assert parse("[0.5, 0.999]", "x").value == [0.5, 0.999]
    assert parse("0x10", "x").value == 16


MATRIX = """\
suite: m
question: q
base: {model.variant: tiny-test, loss.l1: 1, optim.steps: 1}
matrix: {%s}
"""


@pytest.mark.parametrize(
    ("matrix", "labels"),
    [
        ("grid: {model.grid: [3, 4], model.mode: [soft, hard]}", "grid3-soft grid3-hard grid4-soft grid4-hard"),
        (
            "grid: {model: {grid: [3, 4]}}, zip: {data.size: [32, 64], optim.lr: [1e-3, 1e-4]}",
            "grid3-size32-lr0.001 grid3-size64-lr0.0001 grid4-size32-lr0.001 grid4-size64-lr0.0001",
        ),
        (
            "grid: {model.grid: [3, 4], optim.clip: [0.0, 0.5]}, exclude: [{model.grid: 4, optim.clip: 0.5}]",
            "grid3-clip0 grid3-clip0.5 grid4-clip0",
        ),
        ("grid: {model.grid: [3]}, include: [{model: {grid: 7, width: 8}}]", "grid3 grid7-width8"),
        ("include: [{model.grid: 3}, {data.augment.affine: false}]", "grid3 no-affine"),
        ("grid: {loss.kl: [0.1, {}]}".replace(", {}", ", null"), "kl0.1 no-kl"),
        ("grid: {data.target: [warped, unwarped]}", "warped unwarped"),
        ("grid: {optim.betas: [[0.5, 0.9], [0.9, 0.99]]}", "betas0.5x0.9 betas0.9x0.99"),
        ("", "tiny-test"),
    ],
)
def test_matrix_algebra_gives_these_labelled_cells(matrix: str, labels: str) -> None:
    found = loaded(MATRIX % matrix)
    assert " ".join(cell.label for cell in found.cells) == labels
    assert len(trials(found, "quick")) == len(found.cells)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ("zip: {model.grid: [3, 4], optim.lr: [1e-3]}", "s.yaml:4:42: optim.lr has 1 values and model.grid has 2"),
        ("grid: {model.grid: [3, 3]}", "is there twice"),
        (
            "grid: {model.grid: [3]}, exclude: [{model.gird: 3}]",
            "model.gird is no axis of the matrix. Did you mean 'model.grid'",
        ),
        ("grid: {model.grid: [3]}, exclude: [{model.grid: 4}]", "matches no cell"),
        ("grid: {model.grid: [3]}, exclude: [{model.grid: 3}]", "no cell is left"),
        (f"grid: {{model.grid: {list(range(30))}, model.width: {list(range(30))}}}", "900 cells. Expected at most 512"),
        ("gird: {model.grid: [3]}", "s.yaml:4:10: there is no key 'matrix.gird'. Did you mean 'grid'?"),
    ],
)
def test_matrix_mistakes_are_told(matrix: str, message: str) -> None:
    assert message in error_of(MATRIX % matrix)


def test_labels_can_be_renamed_and_stay_unique() -> None:
    text = tiny_suite.TEXT.replace("baseline: {model.grid: 5}", "labels: {grid3: small}\nbaseline: small")
    assert [cell.label for cell in loaded(text).cells] == ["small", "grid5"]
    with pytest.raises(UsageError, match="no cell is labelled 'grid4'"):
        loaded(tiny_suite.TEXT + "labels: {grid4: a}\n")
    with pytest.raises(UsageError, match="two cells would be called 'grid5'"):
        loaded(tiny_suite.TEXT + "labels: {grid3: grid5}\n")


def test_only_selects_by_label_or_label_and_seed() -> None:
    found = loaded(tiny_suite.TEXT)
    assert [t.label for t in matching(trials(found, "quick"), "grid5")] == ["grid5", "grid5"]
    assert [(t.label, t.seed) for t in matching(trials(found, "quick"), "*-s1")] == [("grid3", 1), ("grid5", 1)]
    with pytest.raises(UsageError, match="no trial matches"):
        matching(trials(found, "quick"), "grid4")


def test_claims_change_no_digest() -> None:
    claim = "claims: [{id: C1, says: s, metric: leak_gap, better: {a: grid3, than: grid5}}]\n"
    bare, claiming = (trials(loaded(text), "quick") for text in (tiny_suite.TEXT, tiny_suite.TEXT + claim))
    assert [(t.digest, t.score_digest) for t in bare] == [(t.digest, t.score_digest) for t in claiming]


def test_a_relative_data_folder_is_read_from_the_suites_place(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    file = tiny_suite.write(tmp_path, tiny_suite.TEXT.replace("frames: 20", "source: faces"))
    source = next(s.value for s in load(file).base if s.path == ("data", "source"))
    assert source == str((tmp_path / "faces").resolve())


def test_bare_names_find_suites_here_and_misses_suggest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    tiny_suite.write(tmp_path / "suites")
    assert find("tiny").name == "tiny.yaml"
    assert load(find("suites/tiny.yaml")).name == "tiny"
    with pytest.raises(UsageError, match="Did you mean 'tiny'"):
        find("tinny")
    with pytest.raises(UsageError, match="Did you mean 'tiny'"):
        find("elsewhere/tinny.yaml")


def test_auto_scale_is_quick_without_a_cuda_device_and_says_why() -> None:
    found = loaded(tiny_suite.TEXT)
    assert choose_scale(found, "auto", "cpu") == ("quick", "no CUDA device is used")
    assert choose_scale(found, "standard", "cpu") == ("standard", "asked for")
    with pytest.raises(UsageError, match="no scale 'paper'"):
        choose_scale(found, "paper", "cpu")
    only_standard = loaded(tiny_suite.TEXT.replace("  quick: {optim.batch: 4}\n", ""))
    assert choose_scale(only_standard, "auto", "cpu")[0] == "standard"


def test_a_misspelt_section_is_told_before_the_section_that_is_missing_for_it(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("suite: x\nquestion: q\nbase:\n  modle: {variant: grid}\n  loss: {l1: 1.0}\n")
    with pytest.raises(UsageError, match=r"x\.yaml:4:\d+: .*modle.*Did you mean"):
        trials(load(file), "quick")


def test_the_order_of_the_cells_changes_no_digest() -> None:
    ordered = tiny_suite.TEXT + "order: [[grid5]]\n"
    plain, late = (trials(loaded(text), "quick") for text in (tiny_suite.TEXT, ordered))
    assert [t.digest for t in plain] == [t.digest for t in late]
    assert [t.label for t in in_order(late, loaded(ordered))] == ["grid5", "grid5", "grid3", "grid3"]
