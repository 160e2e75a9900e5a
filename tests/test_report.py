"""The report says what the records say, in the same bytes every time."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_ledger import CLAIMS, GRIDS, trial_name, write_ledger

from harness.errors import UsageError
from harness.files import hash_of
from harness.ledger.number_format import number
from harness.ledger.records import Ledger
from harness.ledger.table import load
from harness.report import build, curves, summary
from harness.report.answer import along_cells, answer, by_cells, fit_transition
from harness.report.markdown import escape
from harness.report.numbers import Numbers
from harness.report.page import html, policy
from harness.report.sections import factor_names
from harness.report.tables import decision
from harness.report.validity import validity


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("results") / "bottleneck")


@pytest.fixture(scope="module")
def numbers(folder: Path) -> Numbers:
    return Numbers(load(folder))


@pytest.fixture(scope="module")
def page(numbers: Numbers) -> str:
    return html(numbers)


def _rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def _checks(folder: Path) -> dict[str, tuple[str, str, str]]:
    return {check.name: (check.value, check.state, check.detail) for check in validity(Numbers(load(folder)))}


def test_same_records_give_the_same_bytes_wherever_they_lie(folder: Path, page: str, tmp_path: Path) -> None:
    again = write_ledger(tmp_path / "elsewhere" / "bottleneck")
    built = build([again])
    assert [p.name for p in built] == ["report.html", "report.md", "table.csv"]
    for one, other in zip(build([folder], tmp_path / "out"), built, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert html(Numbers(load(again))) == page


def test_a_page_links_to_its_other_files_and_to_the_suites_beside_it(tmp_path: Path) -> None:
    for name in ("one", "a #2"):
        build([write_ledger(tmp_path / name, grids=(3, 7), replicates=1, tile=8, suite=name)], formats={"html"})
    text = build([tmp_path / "one"])[0].read_text(encoding="utf-8")
    found = re.findall(r'href="(?!data:|#)([^"]*)"', text)
    assert found == ["report.md", "table.csv", "../a%20%232/report.html"]


def test_answer_names_the_fall_its_interval_and_what_three_replicates_cannot_show(numbers: Numbers) -> None:
    first = answer(numbers)[0]
    found = re.search(r"falls from (\S+) at 9 cells \(grid3\) to (\S+) at 49 cells \(grid7\)", first)
    assert found is not None
    assert float(found[1]) == pytest.approx(0.366, abs=0.03)
    assert float(found[2]) == pytest.approx(0.066, abs=0.03)
    assert "3 pairs that both have; sign-flip p cannot be below 0.25 with 3 pairs" in first
    assert any("gradual or undetermined" in sentence for sentence in answer(numbers))


def test_answer_claims_nothing_where_the_interval_holds_zero(tmp_path: Path) -> None:
    same = write_ledger(tmp_path / "same", grids=(3, 4), tile=8)
    first = answer(Numbers(load(same)))[0]
    assert "no clear difference" in first
    assert "falls" not in first and "rises" not in first


def test_one_replicate_gets_no_interval(tmp_path: Path) -> None:
    first = answer(Numbers(load(write_ledger(tmp_path / "one", grids=(3, 7), replicates=1, tile=8))))[0]
    assert "no interval from 1 pair" in first
    assert "[" not in first


def test_answer_without_any_finished_trial_is_that_there_is_none(tmp_path: Path) -> None:
    empty = write_ledger(tmp_path / "e", grids=(3, 5), missing=frozenset((g, s) for g in (3, 5) for s in range(3)))
    built = build([empty])
    assert "no answer" in built[0].read_text(encoding="utf-8")
    assert [row["n"] for row in summary(empty)] == ["0 of 3", "0 of 3"]


def test_failed_diverged_and_missing_trials_are_shown_and_not_averaged(tmp_path: Path) -> None:
    statuses = {(4, 1): "diverged", (5, 0): "failed"}
    part = write_ledger(tmp_path / "part", statuses=statuses, missing=frozenset({(7, 2)}), tile=8)
    checks = _checks(part)
    assert checks["Trials done"][:2] == ("12 of 15", "bad")
    assert checks["Failed or missing"][:2] == ("1 diverged, 1 failed, 1 missing", "bad")
    page, text = (path.read_text(encoding="utf-8") for path in build([part], formats={"html", "md"}))
    assert "Without pictures of this replicate: grid5." in page
    assert escape(trial_name("grid4", 1)) in text
    assert "loss term l1 became NaN at step 300" in text
    rows = {row.label: row for row in decision(Numbers(load(part)))}
    assert (rows["grid4"].done, rows["grid4"].planned) == (2, 3)
    assert rows["grid4"].values[0].mean.n == 2
    assert rows["grid7"].values[0].difference is not None and rows["grid7"].values[0].difference.interval.n == 2


def test_validity_strip_tells_equal_steps_spread_and_damage(folder: Path, tmp_path: Path) -> None:
    checks = _checks(folder)
    assert checks["Replicates of a variant"] == ("n = 3", "good", "pairs far, mid, near, each with a seed of its own")
    assert checks["Training steps"][:2] == ("equal (600)", "good")
    assert checks["Data"][1] == "good"
    assert checks["Spread between pairs"][0].startswith("± 0.0")
    broken = write_ledger(tmp_path / "broken", grids=(3, 5), tile=8)
    record = broken / "trials" / trial_name("grid5", 0) / "record.json"
    record.write_text(record.read_text().replace('"steps": 600', '"steps": 900'))
    damaged = _checks(broken)
    assert damaged["Trials done"][0] == "5 of 6"
    assert "does not match its hash" in damaged["Damaged files"][2]


@pytest.mark.parametrize(("varied", "state"), [(False, "bad"), (True, "good")])
def test_what_the_suite_varies_itself_is_no_cause_for_care(varied: bool, state: str, tmp_path: Path) -> None:
    place = write_ledger(tmp_path / "varied", grids=(3, 5), replicates=2, tile=8)
    ledger = Ledger(place)
    plan = dict(ledger.plan() or {})
    plan.pop("sha256", None)
    for trial in plan["trials"]:
        trial["cell"] |= {"data.variation": trial["label"], "optim.steps": int(trial["label"][-1])}
    ledger.write_plan({**plan, "axes": ["model.grid", *(["data.variation", "optim.steps"] if varied else [])]})
    for path in place.glob("trials/grid5*/record.json"):
        record = json.loads(path.read_text())
        record.pop("sha256")
        record["data"]["fingerprint"], record["cost"]["steps"] = "of looser faces", 900
        path.write_text(json.dumps({**record, "sha256": hash_of(record)}))
    checks = _checks(place)
    assert (checks["Data"][1], checks["Training steps"][1]) == (state, state), checks
    assert checks["Training steps"][0] == "600–900 steps"


def test_records_that_the_plan_does_not_name_are_counted_apart(tmp_path: Path) -> None:
    place = write_ledger(tmp_path / "x", grids=(3, 4, 5), tile=8)
    write_ledger(place, grids=(3, 4), tile=8)
    assert _checks(place)["Other records in the folder"][0] == "3"
    assert len(summary(place)) == 2


def test_own_photographs_without_truth_still_get_a_report(tmp_path: Path) -> None:
    own = write_ledger(tmp_path / "own", grids=(3, 5), truth=False, tile=8)
    text = build([own], formats={"html"})[0].read_text(encoding="utf-8")
    assert "Synthetic faces" not in text
    assert "needs ground truth" in text
    assert "is the exact truth of" not in text
    assert answer(Numbers(load(own)))[0].startswith("On pictures of your own no exact swap exists")


def test_references_and_every_variant_stand_in_the_csv(folder: Path, tmp_path: Path) -> None:
    rows = _rows(build([folder], tmp_path, {"csv"})[0])
    transfer = {row["variant"]: row for row in rows if row["metric"] == "identity_transfer"}
    assert set(transfer) == {*(f"grid{g}" for g in GRIDS), "oracle", "copy", "mean_face"}
    assert (transfer["oracle"]["mean"], transfer["copy"]["mean"]) == ("1", "0")
    assert transfer["grid7"]["verdict"] == "worse"
    assert float(transfer["grid7"]["smallest_p"]) == 0.25
    assert transfer["grid3"]["delta"] == ""
    assert float(transfer["grid3"]["low"]) < float(transfer["grid3"]["mean"]) < float(transfer["grid3"]["high"])


def test_markdown_carries_the_same_numbers_as_the_page(folder: Path, page: str, tmp_path: Path) -> None:
    text = build([folder], tmp_path, {"md"})[0].read_text(encoding="utf-8")
    for row in decision(Numbers(load(folder))):
        for cell in row.values:
            assert cell.value in text and cell.value in page
    assert "harness run bottleneck --scale quick" in text


def test_page_is_one_small_file_that_may_load_nothing(page: str) -> None:
    assert len(page.encode()) < 5_000_000
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in unescape(page)
    assert not re.search(r'(?:src|href|action)="(?!data:|#)', page)
    assert not re.search(r"\sstyle=", page)  # the policy would block it
    assert not re.search(r"\son\w+=", page)
    assert "url(" not in page.replace("url(#", "")


def test_policy_follows_the_texts_it_allows() -> None:
    assert policy("a", "b") != policy("a ", "b") != policy("a", "b ")


def test_verdicts_stand_in_every_format(tmp_path: Path) -> None:
    place = write_ledger(tmp_path / "bottleneck", grids=(3, 7), tile=8, claims=CLAIMS)
    page, text, _, plain = build([place], formats=("html", "md", "csv", "json"))
    claims = json.loads(plain.read_text(encoding="utf-8"))["claims"]
    assert [(c["id"], c["verdict"], c["source"]) for c in claims] == [
        ("C1", "supported", "supported"), ("C2", "refuted", "open"), ("C3", "undecided", "refuted"),
    ]  # fmt: skip
    assert "&lt;script&gt;alert(3)&lt;/script&gt; makes [red]" in page.read_text(encoding="utf-8")
    assert "| ✕ refuted | C2: The largest grid" in text.read_text(encoding="utf-8")
    rows = [row for row in _rows(place / "table.csv") if row["kind"].startswith("claim")]
    assert [(r["kind"], r["variant"], r["verdict"]) for r in rows[:2]] == [
        ("claim", "C1", "supported"), ("claim part", "C1", "supported"),
    ]  # fmt: skip
    assert float(rows[1]["delta_low"]) < float(rows[1]["delta"]) < float(rows[1]["delta_high"])
    assert rows[1]["smallest_p"] == "0.125"


def test_a_plan_without_claims_has_no_verdicts(page: str) -> None:
    assert 'class="verdicts"' not in page


class _Accessible(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.plots: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "img" and found.get("src"):
            self.images.append(found)
        if tag == "svg":
            self.plots.append(found)


def test_every_picture_has_a_text_and_every_plot_a_title(page: str) -> None:
    parser = _Accessible()
    parser.feed(page)
    first, sheets, turning, rows = 5, 3, 1, 2 * 5 * 6  # rows and their differences
    assert len(parser.images) == first + sheets + turning + rows + 5 + 6  # and spectra, skin patches with the truth's
    assert all(image["alt"] for image in parser.images)
    assert len(parser.plots) == 12
    assert all(set(str(plot["aria-labelledby"]).split()) <= set(parser.ids) for plot in parser.plots)
    assert len(parser.ids) == len(set(parser.ids))


def test_variants_without_a_cell_axis_are_compared_by_name(tmp_path: Path) -> None:
    place = write_ledger(tmp_path / "plain", grids=(3, 3), labels={3: "only"}, tile=8)
    text = build([place], formats={"html"})[0].read_text(encoding="utf-8")
    assert "Transfer by variant" in text
    assert "A step or a slope" not in text


def test_a_folder_without_a_plan_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Run the suite first"):
        build([tmp_path])


def test_an_unknown_format_is_an_error_that_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(UsageError, match="html, md, csv"):
        build([folder], formats={"pdf"})


def test_several_folders_go_to_folders_of_their_own(folder: Path, tmp_path: Path) -> None:
    other = write_ledger(tmp_path / "other", grids=(3, 4), tile=8)
    paths = build([folder, other], tmp_path / "out", {"csv"})
    assert [p.parent.name for p in paths] == ["bottleneck", "other"]


def test_summary_is_plain_text_for_a_terminal(folder: Path) -> None:
    rows = summary(folder)
    assert rows[0]["variant"] == "grid3 (baseline)"
    assert rows[0]["n"] == "3"
    assert rows[-1]["to baseline"].startswith("-0.3")
    assert all(text.isascii() for row in rows for text in row.values())


def test_histories_with_dotted_names_give_their_curves(numbers: Numbers) -> None:
    row = {"step": 1, "loss": {"kl": 1.0, "adversarial.own": 2.0, "adversarial.accuracy": 0.5}, "grad_norm": {"a": 1.0}}
    found = list(curves.columns([row]))
    assert found == ["loss.kl", "loss.adversarial.own", "loss.adversarial.accuracy", "grad_norm.a"]
    assert [curves.at(row, key) for key in found] == [1.0, 2.0, 0.5, 1.0]
    assert curves.at(row, "step") == 1


def test_leakage_by_factor_is_drawn_where_there_is_a_value_a_factor(tmp_path: Path) -> None:
    place, names = write_ledger(tmp_path / "f", grids=(3, 7), replicates=1, tile=8), factor_names()
    assert "Leakage by factor" not in html(Numbers(load(place)))
    ledger = Ledger(place)
    for trial in ledger.records():
        values = ledger.values(trial)
        values["identity_factor_r2"] = [0.9 if name == "glasses" else 0.0 for name in names]
        ledger.write_values(trial.name, values)
    text = html(Numbers(load(place)))
    assert "Leakage by factor" in text
    assert "glasses at most 0.90" in text


def test_numbers_are_written_with_a_true_minus_and_never_as_minus_zero() -> None:
    assert number(-0.25, 2) == "−0.25"
    assert number(-0.0001, 2) == "0.00"
    assert number(1234.5, 0) == "1,234"
    assert number(float("nan")) == "–"
    assert number(0.012345) == "0.0123"


def test_a_side_arm_is_shown_and_is_no_place_on_the_axis_of_cells(tmp_path) -> None:
    folder = write_ledger(tmp_path / "run", grids=(3, 4, 5, 6, 7), replicates=2, tile=8)
    plan = Ledger(folder).plan()
    assert plan is not None
    for trial in plan["trials"]:
        if trial["label"] == "grid6":
            trial["cell"]["model.channels"] = 32
    Ledger(folder).write_plan(plan)
    table = load(folder)
    assert [variant.label for variant in along_cells(table)] == ["grid3", "grid4", "grid5", "grid7"]
    assert by_cells(table) and len(table.variants) == 5
    without = load(write_ledger(tmp_path / "without", grids=(3, 4, 5, 7), replicates=2, tile=8))
    assert fit_transition(Numbers(table)) == fit_transition(Numbers(without)) is not None
