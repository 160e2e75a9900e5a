"""The facts of a metric stand on the metric, and on the records where the product does not know it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import registry
from harness.files import hash_of
from harness.ledger.facts import facts_of, to_record
from harness.ledger.table import load
from harness.report.numbers import Numbers
from harness.report.tables import all_metrics
from metrics.costs import COSTS
from metrics.info import MetricInfo
from tests.fake_ledger import write_ledger

BRIGHT = {
    "title": "Brightness error",
    "direction": "lower",
    "unit": "cd",
    "decimals": 1,
    "description": "mean brightness against the truth",
}


def record(folder: Path, facts: dict, mean: float) -> None:
    """Give every trial of a ledger one more score, with its facts as a scorer would record them."""
    for path in folder.glob("trials/*/record.json"):
        content = json.loads(path.read_text())
        content.pop("sha256")
        content |= {"facts": facts}
        content["scores"] |= {name: {"mean": mean, "n": 1} for name in facts}
        path.write_text(json.dumps({**content, "sha256": hash_of(content)}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ledger(tmp_path / "made", grids=(3, 5), replicates=2, tile=8)


def test_a_metric_that_no_loaded_plugin_knows_looks_like_ours_in_the_report(folder: Path) -> None:
    record(folder, {"brightness_error": BRIGHT}, 0.25)
    assert "brightness_error" not in registry.metric_infos()
    row = next(row for row in all_metrics(Numbers(load(folder))).rows if row[0].startswith("Brightness"))
    assert row[:2] == ["Brightness error ↓", "cd"]
    assert row[2].startswith("0.2")


def test_the_record_goes_before_the_registry(folder: Path) -> None:
    record(folder, {"leak_gap": {**BRIGHT, "direction": "higher"}}, 0.25)
    facts = load(folder).facts("leak_gap")
    assert (facts.direction, facts.title, facts.unit) == ("higher", "Brightness error", "cd")


def test_facts_of_the_planned_metrics_go_before_those_of_outdated_scores(folder: Path) -> None:
    planned = json.loads((folder / "plan.json").read_text())["trials"]
    for trial, title in zip(planned, ("new", "old", "old", "old"), strict=True):
        path = folder / "trials" / trial["name"] / "record.json"
        content = json.loads(path.read_text())
        content.pop("sha256")
        content |= {"facts": {"leak_gap": {**BRIGHT, "title": title}}}
        content |= {"score_digest": "0" * 64} if title == "old" else {}
        path.write_text(json.dumps({**content, "sha256": hash_of(content)}))
    assert load(folder).facts("leak_gap").title == "new"


def test_a_record_without_facts_reads_as_the_metric_is_registered(folder: Path) -> None:
    facts = load(folder).facts("swap_error")
    info = registry.metric_infos()["swap_error"]
    assert (facts.title, facts.direction, facts.decimals) == (info.title, info.direction, info.decimals)


def test_a_record_holds_the_facts_of_other_peoples_metrics_alone() -> None:
    own = registry.metric_infos()["leak_gap"].facts()
    facts = {"leak_gap": own, "brightness_error": BRIGHT, "swap_error": {**own, "title": "changed by a plugin"}}
    assert to_record(json.loads(json.dumps(facts))) == {
        name: facts[name] for name in ("brightness_error", "swap_error")
    }


def test_costs_and_losses_have_facts_too() -> None:
    assert facts_of("swap_images_per_s").sign == 1
    assert facts_of("loss:face_l1").words == "training loss face_l1"
    assert facts_of("loss:face_l1").sign == -1


def test_every_shipped_metric_says_how_it_is_called_and_written() -> None:
    infos = {**registry.metric_infos(), **COSTS}
    named = {name for name, info in infos.items() if info.title != MetricInfo(name, "none", "", None, "").title}
    assert {name for name, info in infos.items() if info.decimals is None or not info.description} == set()
    titles = [info.title for info in infos.values()]
    assert len(set(titles)) == len(titles), "two metrics of one title cannot be told apart"
    assert len(named) > len(infos) / 2


def test_what_is_read_in_real_data_has_no_better_direction() -> None:
    infos = registry.metric_infos()
    floors = {name: info.direction for name, info in infos.items() if "floor" in name or "sensitivity" in name}
    assert floors and set(floors.values()) == {"none"}
