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
    assert page.count("Not measured yet") == 6 and "harness bench --gpu-report` makes the figures" in page


def test_figures_are_written_with_their_interval_and_what_speaks_against_them(
    tables: ModuleType, tmp_path: Path
) -> None:
    ratio = {"ratio": 1.5, "low": 1.25, "high": 1.75, "pairs": 20}
    rate = {"median": 100.0, "q25": 90.0, "q75": 110.0, "n": 20}
    peers = {"images_per_s": {"ours": rate, "plain": rate}, "times_as_fast": {"plain": ratio}, "threads": 1,
             "steps_a_block": 5, "void": ["load 3 on 2 cores: others were computing"]}  # fmt: skip
    packed = {"images_per_s": {"2 jobs x 1 thread": 9.0}, "cores": 2, "jobs_are_better": ratio, "void": []}
    part = {"score_of_training": 0.1, "previews_of_training": 0.03, "bookkeeping_of_training": 0.004}
    cell = {"trials": 3, "train_s": 40.0, "start_s": 5.0, **part}
    spent = {"cells": {"grid3": cell}, "all": cell, "suite": "bottleneck", "scale": "quick", "jobs": 2}
    arm = {"kernel_images_per_s": rate, "loop_images_per_s": rate, "mfu": 0.45}
    gpu = {"measured_a_gpu": True, "device": "a GPU", "lpips_trunk": "random"}
    gpu["sizes"] = {"256": {"batch": 32, "arms": {"LPIPS compiled": arm}, "void": [], "notes": ["batch halved"]}}
    files = {"peers": peers, "packing-1": packed, "overhead-1": spent, "gpu-report-1": gpu}
    files["time-to"] = peers | {"steps": 400, "seeds": {"0": {"enough": 200}, "1": {"enough": None}}}
    files["quality"] = {"ours": {"rec_error": 0.05, "swap_error": 0.06}, "schema_version": 1}
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    page = tables.filled(tables.PAGE.read_text(), tmp_path)
    assert "Not measured yet" not in page
    for expected in ("| plain | 100 | 90 to 110 | 1.50 (1.25 to 1.75, 20 pairs) |", "Rates void: load 3 on 2 cores",
                     "| ours | 0.05 | 0.06 |",
                     "| 0 | plain | 400 | 200 | 1.50 | 3.00 (2.50 to 3.50) |",
                     "| 1 | plain | 400 | more | 1.50 | none |",
                     "| grid3 | 3 | 40 | 10 | 3 | 0.4 |", "| 256 | 32 | LPIPS compiled | 100 | 100 |",
                     "batch halved"):  # fmt: skip
        assert expected in page, expected
    (tmp_path / "gpu-report-1.json").write_text(json.dumps({**gpu, "measured_a_gpu": False}))
    assert "Not measured yet" in tables.filled(page, tmp_path)
