"""What docs/your_own.md promises: the example goes through train, score and report, and mistakes are told in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import command
import pytest
import torch

from harness import registry
from harness.errors import HarnessError, UsageError
from harness.suite import suite
from harness.trials import trial
from metrics.case import Case
from models.swapper import Swapper
from models.variants import grid

HOME = Path(__file__).resolve().parent.parent
EXAMPLE = HOME / "examples" / "residual_decoder.py"
GUIDE = (HOME / "docs" / "your_own.md").read_text(encoding="utf-8")

SUITE = """\
suite: mine
question: Do residual blocks train, score and report?
data: {pair: near, frames: 20, eval_frames: 4, size: 16, render_supersample: 1}
metrics: [reconstruction]
base:
  model: {variant: residual, width: 4, channels: 4, blocks: 1}
  loss: {l1: 1.0, kl: 0.01}
  optim: {steps: 3, batch: 2, precision: fp32}
  score: {previews: 1, preview_faces: 1}
scales:
  quick: {}
seeds: 1
"""


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.mark.long
def test_the_example_trains_scores_and_reports_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(SUITE)
    where = ("--out", str(tmp_path), "--scale", "quick", "--device", "cpu", "--jobs", "1")
    code, _, told = command.called(("run", str(file), "--plugin", str(EXAMPLE), *where), monkeypatch, capsys)
    assert code == 0, told[-3000:]
    (record,) = [json.loads(p.read_text()) for p in (tmp_path / "mine").rglob("record.json")]
    assert record["status"] == "done"
    assert record["spec"]["model"]["variant"] == "residual"
    assert record["scores"]["rec_l1_face"]["n"] > 0
    assert record["cost"]["parameters"] == sum(
        p.numel() for p in loaded().object(16, width=4, channels=4, blocks=1).parameters()
    )
    page = (tmp_path / "mine" / "report.html").read_text(encoding="utf-8")
    assert "Do residual blocks train, score and report?" in page


def loaded() -> registry.Entry:
    registry.load_plugin(EXAMPLE)
    return registry.get("variant", "residual")


def test_the_example_is_the_grid_family_with_blocks_in_its_decoders() -> None:
    entry = loaded()
    assert len(EXAMPLE.read_text().splitlines()) <= 40
    assert entry.description == "The grid family with residual blocks behind the bottleneck of each decoder."
    model: Swapper = entry.object(32, width=4, channels=6).eval()
    assert model.swap(torch.rand(1, 3, 32, 32), "dst").shape == (1, 3, 32, 32)
    plain = sum(p.numel() for p in grid(32, width=4, channels=6).parameters())
    assert sum(p.numel() for p in model.parameters()) > plain
    assert sum(p.numel() for group in model.clip_groups().values() for p in group) == sum(
        p.numel() for p in model.parameters()
    )


def test_the_guide_shows_the_example_as_it_is() -> None:
    (shown, *_) = blocks("python")
    assert shown.strip() in EXAMPLE.read_text()


def test_the_suite_of_the_guide_is_valid_with_the_example(tmp_path: Path) -> None:
    loaded()
    file = tmp_path / "residual.yaml"
    file.write_text(blocks("yaml")[0])
    found = trial.trials(suite.load(file), "quick")
    assert len(found) == 9 and len({t.label for t in found}) == 3


def test_the_loss_and_the_metric_of_the_guide_work(tmp_path: Path) -> None:
    for number, text in enumerate(blocks("python")[1:]):
        file = tmp_path / f"part{number}.py"
        file.write_text(text)
        registry.load_plugin(file)
    flat, steps = torch.zeros(2, 3, 4, 4), torch.arange(4.0).expand(2, 3, 4, 4)
    step = SimpleNamespace(rec={"src": steps, "dst": 3 * steps}, target={"src": flat, "dst": flat})
    assert float(registry.get("loss", "edges").object(power=2.0)(step)) == pytest.approx((1 + 9) / 2)
    images = {p: torch.rand(3, 3, 8, 8) for p in ("src", "dst")}
    case = Case(
        images=images,
        alpha={p: torch.ones(3, 1, 8, 8) for p in images},
        swap={"src->dst": images["dst"], "dst->src": images["src"] + 0.25},
        rec=images,
        matched=True,
    )
    ((name, values),) = registry.get("metric", "brightness").object.run(case)
    assert name == "brightness_error"
    assert values[:3] == pytest.approx(0) and values[3:] == pytest.approx(0.25)


def test_a_misspelt_option_of_the_example_is_told_with_its_place_and_the_nearest(tmp_path: Path) -> None:
    loaded()
    file = tmp_path / "mine.yaml"
    for wrong, told in (("blocks: 1", "blocks"), ("variant: residual", "residual")):
        file.write_text(SUITE.replace(wrong, wrong[:3] + wrong[4:] if told == "blocks" else "variant: residul"))
        with pytest.raises(HarnessError, match=rf"mine\.yaml:6:\d+.*[Dd]id you mean '{told}'"):
            trial.trials(suite.load(file), "quick")


def test_an_example_under_a_taken_name_tells_both_origins(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(EXAMPLE.read_text().replace('@variant("residual")', '@variant("grid")'))
    with pytest.raises(UsageError, match=r"two variants are called 'grid': .*variants\.py:\d+ and .*mine\.py:\d+"):
        registry.load_plugin(mine)
        registry.entries("variant")


def test_two_files_with_one_name_tell_both_origins(tmp_path: Path) -> None:
    loaded()
    other = tmp_path / "other.py"
    other.write_text(EXAMPLE.read_text() + "\n")
    with pytest.raises(
        UsageError, match=r"two variants are called 'residual': .*residual_decoder\.py:\d+ and .*other\.py"
    ):
        registry.load_plugin(other)
