"""How well metrics without a truth rank variants: planted orders, and the command on trials that were trained."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import command
import numpy as np
import pytest
from scipy import stats

from harness.calibrate.rank import interval, ranks

SIGNS = {"exact": 1, "same": 1, "reverse": 1, "error": -1, "flat": 1, "neither": 0}


def ledger(exact: dict[int, list[float]]) -> Any:
    """A table of variants a, b, c ... with an exact metric, by seed."""
    labels = "abcdefgh"[: len(exact[0])]
    variants = [
        SimpleNamespace(
            label=label, done={seed: SimpleNamespace(mean=lambda _, v=values[i]: v) for seed, values in exact.items()}
        )
        for i, label in enumerate(labels)
    ]
    return SimpleNamespace(variants=variants, facts=lambda name: SimpleNamespace(sign=SIGNS[name], title=name))


def hidden(name: str, values: dict[int, list[float]]) -> dict[int, dict[str, dict[str, float]]]:
    return {
        seed: {label: {name: value} for label, value in zip("abcdefgh", v, strict=False)} for seed, v in values.items()
    }


ORDER = {0: [1.0, 2.0, 3.0, 4.0], 1: [4.0, 1.0, 2.0, 3.0]}


@pytest.mark.parametrize(
    ("name", "change", "rho"),
    [("same", 1, 1.0), ("reverse", -1, -1.0), ("error", -1, 1.0), ("error", 1, -1.0)],
)
def test_an_order_that_is_planted_is_found_whatever_side_is_better(name: str, change: float, rho: float) -> None:
    values = {seed: [change * v**3 for v in row] for seed, row in ORDER.items()}
    (found,) = ranks(ledger(ORDER), hidden(name, values), ["exact"])
    assert (found.metric, found.rho, found.variants, found.replicates) == (name, pytest.approx(rho), 4, 2)


def test_the_correlation_is_spearman_s_within_each_replicate_and_averaged() -> None:
    rng = np.random.default_rng(0)
    exact = {seed: rng.normal(size=8).tolist() for seed in range(3)}
    seen = {seed: (np.array(row) + 10 * seed + rng.normal(size=8)).tolist() for seed, row in exact.items()}
    (found,) = ranks(ledger(exact), hidden("same", seen), ["exact"])
    each = [stats.spearmanr(exact[seed], seen[seed]).statistic for seed in exact]
    assert found.rho == pytest.approx(np.mean(each))
    low, high = stats.t.interval(0.95, 2, np.mean(each), stats.sem(each))
    assert (found.low, found.high) == (pytest.approx(max(low, -1)), pytest.approx(min(high, 1)))


def test_metrics_without_a_better_side_or_a_difference_are_left_out() -> None:
    flat = {seed: [1.0] * 4 for seed in ORDER}
    assert not ranks(ledger(ORDER), hidden("flat", flat), ["exact"])
    assert not ranks(ledger(ORDER), hidden("neither", ORDER), ["exact"])
    unknown = {seed: [math.nan, math.nan, 1.0, 2.0] for seed in ORDER}
    assert not ranks(ledger(ORDER), hidden("same", unknown), ["exact"])


def test_one_replicate_has_fisher_s_interval_and_perfect_ones_have_none() -> None:
    low, high = interval([0.5], 12)
    assert math.atanh(high) - math.atanh(0.5) == pytest.approx(1.959964 * 1.03 / 3)
    assert low < 0.5 < high < 1
    assert all(math.isnan(bound) for bound in (*interval([1.0], 12), *interval([0.5], 3), *interval([1.0] * 3, 5)))


SUITE = """\
suite: ranked
question: Which of three?
data: {pair: near, frames: 20, eval_frames: 6, size: 32, render_supersample: 1}
metrics: [identity, structure]
base:
  model: {variant: grid, width: 4, channels: 4}
  loss: {l1: 1.0}
  optim: {steps: 4, batch: 4, precision: fp32}
  score: {previews: 1, preview_faces: 1}
matrix: {grid: {model.grid: [1, 2, 4]}}
seeds: 1
"""


@pytest.mark.long
def test_finished_trials_are_scored_with_the_truth_hidden_and_stay_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, results = tmp_path / "ranked.yaml", str(tmp_path / "results")
    file.write_text(SUITE)
    here = ["--device", "cpu", "--jobs", "1"]
    assert command.called(["run", str(file), "--results", results, *here], monkeypatch, capsys)[0] == 0
    records = {path: path.read_bytes() for path in (tmp_path / "results").rglob("record.json")}
    asked = ["metrics", "calibrate", "ranked", "--results", results, "--against", "identity_transfer"]
    code, out, _ = command.called([*asked, "--json"], monkeypatch, capsys)
    told = json.loads(out)
    names = {rank["metric"] for rank in told["ranks"]}
    assert code == 0 and told["trials"] == len(records) == 3
    assert "rec_l1_face" in names and not names & {"identity_transfer", "swap_score", "expression_error"}
    assert all(-1 <= rank["rho"] <= 1 for rank in told["ranks"])
    assert all(path.read_bytes() == content for path, content in records.items())
    monkeypatch.setattr("harness.score.hidden.hidden_scores", None)  # what is known is not scored again
    code, out, _ = command.called(asked, monkeypatch, capsys)
    assert code == 0 and "rec_l1_face" in out and "over 3 variants in 1 replicates" in out
    code, _, err = command.called([*asked[:-1], "nothing"], monkeypatch, capsys)
    assert code == 2 and "no finished trial of ranked has this metric" in err
    assert command.called(["verify", results], monkeypatch, capsys)[0] == 0
