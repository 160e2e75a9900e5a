"""A small committed ledger gives the committed Markdown and CSV, byte for byte.

After a wanted change of the report, write the expectations anew, read the difference, and commit both:

    uv run harness report tests/golden/ledger --to tests/golden --format md,csv
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.report import build

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["report.md", "table.csv"])
def test_the_golden_ledger_gives_the_committed_bytes(name: str, tmp_path: Path) -> None:
    kind = {"report.md": "md", "table.csv": "csv"}[name]
    (written,) = build([GOLDEN / "ledger"], tmp_path, {kind})
    assert written.read_bytes() == (GOLDEN / name).read_bytes()


def test_one_changed_score_changes_both(tmp_path: Path) -> None:
    from harness.files import hash_of

    copy = tmp_path / "ledger"
    shutil.copytree(GOLDEN / "ledger", copy)
    path = sorted(copy.glob("trials/grid7-*/record.json"))[0]
    record = json.loads(path.read_bytes())
    record.pop("sha256")
    record["scores"]["kl_nats"]["mean"] += 100.0
    path.write_text(json.dumps({**record, "sha256": hash_of(record)}))
    for written in build([copy], tmp_path / "out", {"md", "csv"}):
        assert written.read_bytes() != (GOLDEN / written.name).read_bytes()


def test_the_json_says_the_same_as_the_committed_files(tmp_path: Path) -> None:
    (written,) = build([GOLDEN / "ledger"], tmp_path, {"json"})
    content = json.loads(written.read_bytes())
    text = (GOLDEN / "report.md").read_text(encoding="utf-8")
    assert content["schema_version"] == 1
    assert [claim["id"] for claim in content["claims"]] == ["C1", "C2", "C3"]
    for claim in content["claims"]:
        assert re.search(rf"\| . {claim['verdict']} \| {claim['id']}:", text)
    assert [variant["variant"] for variant in content["variants"]] == ["grid3", "grid5", "grid7"]
    means = {v["variant"]: v["metrics"]["identity_transfer"]["mean"] for v in content["variants"]}
    assert all(f"{mean:.3f}" in text for mean in means.values())
    assert content["variants"][0]["metrics"]["identity_transfer"].get("difference") is None
    assert content["variants"][2]["metrics"]["identity_transfer"]["difference"]["verdict"] == "worse"
