"""A plugin's variant that predicts masks, on people without glasses at an odd size, scored by every metric."""

from __future__ import annotations

import json
from pathlib import Path

import command
import pytest

from harness import registry

PLUGIN = '''
"""Decoders whose fourth channel is a mask."""

from torch import nn

from harness import variant
from models.swapper import Swapper
from models.variants import grid


@variant("masked")
def masked(size: int, width: int = 4, channels: int = 4) -> Swapper:
    """The grid family with a mask beside every picture."""
    model = grid(size, grid=3, width=width, channels=channels)
    for person, decoder in model.decoders.items():
        model.decoders[person] = nn.Sequential(decoder, nn.Conv2d(3, 4, 1), nn.Sigmoid())
    return model
'''
SUITE = """\
suite: masks
question: Is a variant with masks scored as any other?
data: {pair: near, frames: 20, eval_frames: 8, size: 40, render_supersample: 1}
base:
  model: {variant: masked}
  loss: {l1: 1.0, mask: 0.1}
  optim: {steps: 3, batch: 2, precision: fp32}
  score: {previews: 1, preview_faces: 1}
scales:
  quick: {}
seeds: 1
"""


@pytest.mark.long
def test_a_variant_with_masks_is_scored_by_every_metric_and_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "_added", {})
    monkeypatch.setattr(registry, "_plugins", [])
    suite, plugin = tmp_path / "masks.yaml", tmp_path / "masked.py"
    suite.write_text(SUITE)
    plugin.write_text(PLUGIN)
    where = ("--out", str(tmp_path), "--scale", "quick", "--device", "cpu", "--jobs", "1")
    code, _, told = command.called(("run", str(suite), "--plugin", str(plugin), *where), monkeypatch, capsys)
    assert code == 0, told[-3000:]
    (record,) = [json.loads(path.read_text()) for path in (tmp_path / "masks").rglob("record.json")]
    assert record["status"] == "done"
    scores, invalid = record["scores"], record["invalid"]
    assert {"swap_error", "identity_transfer", "swap_score", "rec_l1_face", "checkerboard_rms_1"} <= set(scores)
    for name, score in scores.items():
        assert score["mean"] is not None or invalid.get(name), f"{name} is undefined and nobody says why"
    assert invalid["swap_error_glasses"] == "neither person has glasses"
    assert "64 px" in invalid["checkerboard_rms_3"] and "checkerboard_rms_2" not in invalid
    assert 0 <= scores["swap_error"]["mean"] <= 1
