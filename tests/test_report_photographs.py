"""The report on pictures of one's own: what can be known comes first, what would unlock more is named, and no truth is
spoken of that is not there."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import fake_ledger
import pytest
from metric_faces import matched_case

from harness.files import hash_of
from harness.ledger.table import load
from harness.report import build
from harness.report.answer import answer
from harness.report.numbers import Numbers
from harness.score import score, weights
from harness.spec import Spec

LOCKED = "no recogniser of photographs is here. One file unlocks it: f.pt, into /home/a. Get f.pt of b"
SCORES = {"cycle_error": 0.1, "landmark_error": 0.2, "yaw_error": 3.0, "rec_sharpness_gain_1": 0.6}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two variants on photographs, without a recogniser; one logged step, so that there is no curve."""
    folder = fake_ledger.write_ledger(tmp_path / "own", grids=(3, 5), truth=False, tile=8)
    for path in (folder / "trials").glob("*/record.json"):
        record = json.loads(path.read_text())
        record.pop("sha256")
        record["scores"] |= {name: {"mean": value, "n": 3} for name, value in SCORES.items()}
        needs = dict.fromkeys(("leak_gap", "swap_error", "off_axis", "yaw_error_floor"), "needs truth")
        record["invalid"] |= {**needs, "id_cos_target": LOCKED, "id_nearest": LOCKED}
        path.write_text(json.dumps({**record, "sha256": hash_of(record)}))
        path.with_name("history.jsonl").write_text(json.dumps({"step": 1, "total": 1.0, "loss": {"l1": 1.0}}) + "\n")
    return folder


def page(folder: Path) -> str:
    """The text of the page, without styles and pictures."""
    (path,) = build([folder], folder / "out", {"html"})
    text = re.sub(r"<(style|script)[^>]*>.*?</\1>", "", path.read_text(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_the_first_sentence_says_which_file_would_unlock_identity(folder: Path) -> None:
    first, second, *_ = answer(Numbers(load(folder)))
    assert first.startswith("On pictures of your own no exact swap exists") and LOCKED in first
    assert "stands first in the table" in second


def test_what_can_be_known_without_a_truth_comes_first(folder: Path) -> None:
    assert Numbers(load(folder)).headlines()[:3] == ["cycle_error", "landmark_error", "yaw_error"]
    with_truth = fake_ledger.write_ledger(folder.parent / "built-in", grids=(3, 5), tile=8)
    assert Numbers(load(with_truth)).headlines()[0] == "swap_score"


def test_the_page_speaks_of_no_truth_and_draws_no_empty_plot(folder: Path) -> None:
    text = page(folder)
    for phrase in ("the truth in its place", "exact truth of column", "Pareto", "what the swaps get wrong"):
        assert phrase not in text
    assert "All training curves" not in text and "Training loss" not in text


def test_undefined_metrics_are_listed_with_their_reason_and_gathered_in_one_line(folder: Path) -> None:
    text = page(folder)
    assert "Undefined here: 7 metrics" in text and "and 2 more: an exact truth is needed" in text
    (path,) = build([folder], folder / "out", {"md"})
    assert "Undefined here: 7 metrics" in path.read_text()


def test_of_few_pictures_each_is_shown_once(tmp_path: Path) -> None:
    for count, expected in ((1, 1), (3, 3), (9, 4)):
        case = matched_case(count)
        case.matched = False
        score._pictures(case, score.Scores(), tmp_path / f"{count}")
        shown = sorted((tmp_path / f"{count}").glob("fixed-*.png"))
        assert len(shown) == expected and len({path.read_bytes() for path in shown}) == expected


def test_a_run_on_photographs_says_at_once_what_will_not_be_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    own, built_in = (
        Spec.model_validate({"model": {"variant": "grid"}, "loss": {"l1": 1.0}, "data": {"source": source}})
        for source in ("faces", "builtin")
    )
    (line,) = weights.absences([own])
    assert "20180402-114759-vggface2.pt" in line and str(tmp_path / "checkpoints") in line
    assert weights.absences([built_in]) == []
    case = matched_case(2)
    case.embedder, invalid = None, dict[str, str]()
    from metrics.recognition import EVALUATORS

    score.run(EVALUATORS, case, invalid)
    assert "20180402-114759-vggface2.pt" in invalid["id_cos_target"]
