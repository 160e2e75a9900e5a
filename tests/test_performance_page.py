"""docs/performance.md holds what the committed figures say, and nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

HOME = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("performance_tables", HOME / "docs" / "performance_tables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_holds_the_committed_figures(tables: ModuleType) -> None:
    page = tables.PAGE.read_text()
    assert page == tables.filled(page, tables.FOLDER), "write it anew: python docs/performance_tables.py"


def test_a_table_without_figures_names_its_command(tables: ModuleType, tmp_path: Path) -> None:
    page = tables.filled(tables.PAGE.read_text(), tmp_path)
    assert page.count("Not measured yet") == 9 and "harness bench --gpu-report` makes the figures" in page


def test_figures_are_written_with_their_interval_and_what_speaks_against_them(
    tables: ModuleType, tmp_path: Path
) -> None:
    ratio = {"ratio": 1.5, "low": 1.25, "high": 1.75, "pairs": 20}
    rate = {"median": 100.0, "q25": 90.0, "q75": 110.0, "n": 20}
    others = ("plain", "plain, autocast")
    peers = {"images_per_s": dict.fromkeys(("ours", *others), rate), "times_as_fast": dict.fromkeys(others, ratio)}
    peers |= {"threads": 1, "steps_a_block": 5, "void": ["load 3 on 2 cores: others were computing"]}
    packed = {"images_per_s": {"2 jobs x 1 thread": 9.0}, "cores": 2, "jobs_are_better": ratio, "void": []}
    part = {"score_of_training": 0.1, "previews_of_training": 0.03, "bookkeeping_of_training": 0.004}
    cell = {"trials": 3, "train_s": 40.0, "start_s": 5.0, **part}
    run = {"trials": 30, "wall_s": 600.0, "train_s": 1080.0, "score_s": 108.0, "score_of_training": 0.1}
    spent = {"cells": {"grid3": cell}, "all": cell, "run": run, "suite": "bottleneck", "scale": "quick", "jobs": 2}
    arm = {"kernel_images_per_s": rate, "loop_images_per_s": rate, "mfu": 0.45}
    gpu = {"measured_a_gpu": True, "device": "a GPU", "lpips_trunk": "random"}
    gpu["sizes"] = {"256": {"batch": 32, "arms": {"LPIPS compiled": arm}, "void": [], "notes": ["batch halved"]}}
    layer = {"layer": "encoder.0", "makes": [16, 32, 32, 32], "flops": 2e9, "ms": 25.0}
    lead = {"precision": "fp32", "peaks": {"fp32": 1.6e11, "bf16": 8e10}, "layers": [layer], "void": []}
    lead["arms"] = {"as it is, fp32": {"ms": 90.0, "times_as_fast": ratio}}
    files = {"leads": lead, "peers": peers, "packing-1": packed, "overhead-1": spent, "gpu-report-1": gpu}
    ours, plain = ({"rec_error": rec, "swap_error": swap} for rec, swap in ((0.02, 0.04), (0.03, 0.03)))
    late = {"enough": None, "ours": {"60": plain, "400": ours}, "plain": {"plain": plain}}
    files["time-to"] = peers | {"steps": 400, "seeds": {"0": {"enough": 200}, "1": late}}
    files["quality"] = {"ours": {"rec_error": 0.05, "swap_error": 0.06}, "schema_version": 1}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    page = tables.filled(tables.PAGE.read_text(), tmp_path)
    assert "Not measured yet" not in page
    for expected in ("| plain | 100 | 90 to 110 | 1.50 (1.25 to 1.75, 20 pairs) |", "Rates void: load 3 on 2 cores",
                     "| ours | 0.05 | 0.06 |",
                     "| 0 | plain | 400 | 200 | 1.50 | 3.00 (2.50 to 3.50) |",
                     "| 1 | plain | 400 | more | 1.50 | none |",
                     "ours after 400 steps: reconstruction error 0.0200, of the plain loops at most 0.0300; swap",
                     "| grid3 | 3 | 40 | 10 | 3 | 0.4 |", "| 256 | 32 | LPIPS compiled | 100 | 100 |",
                     "batch halved",
                     "| as it is, fp32 | 90.0 | 1.50 (1.25 to 1.75, 20 pairs) |",
                     "| `encoder.0` | 16 x 32 x 32 x 32 | 2.000 | 25.00 | 80 | 50% |",
                     "| 30 trials, the rendering of their faces apart | 7 min | 10.0 min | training 9.0 min of",
                     "scoring 0.9; the layers of a 3x3 step alone take 2.5 |",
                     "73 ms for a step would do; its layers alone take 25 |",
                     "| 3.00 to 3.00, 1 of 2 pairs | steps needed: 200, more |",
                     "| 6 % of training | 10.0% | median trial: 10.0% |"):  # fmt: skip
        assert expected in page, expected
    (tmp_path / "gpu-report-1.json").write_text(json.dumps({**gpu, "measured_a_gpu": False}))
    assert "Not measured yet" in tables.filled(page, tmp_path)
