"""`harness verify`: a flipped bit in any file that feeds a number is found, named, and told how to repair."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import called
from PIL import Image

from harness.cli.verification import verify_folder
from harness.data.faceset import make_faceset
from harness.data.pack import check_pack
from harness.data.store import open_store
from harness.files import Damaged, read_hashed_json, write_hashed_body, write_hashed_json
from harness.ledger.manifest import check_png, lacking
from harness.ledger.records import Ledger, Record
from harness.spec import DataSpec

NAME = "grid3-s0-aaaaaaaa"


def picture(seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="PNG")
    return stream.getvalue()


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A root of results with one suite, one done trial and what scoring keeps."""
    root = tmp_path / "results"
    ledger = Ledger(root / "tiny")
    trial = {"name": NAME, "label": "grid3", "cell": {"model.grid": 3}, "seed": 0, "pair": "far"}
    ledger.write_plan({"suite": "tiny", "question": "Which?", "scale": "quick", "trials": [trial]})
    folder = ledger.trial_folder(NAME)
    for name, content in {
        "weights.safetensors": bytes(range(256)) * 40,
        "history.jsonl": b'{"step": 1, "total": 0.5}\n{"step": 2, "total": 0.25}\n',
        "pictures/fixed-0.png": picture(),
        "previews/step-000001.png": picture(1),
        "log.txt": b"told",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    ledger.write_values(NAME, {"swap_error": [0.25, 0.5]})
    ledger.write(
        Record(
            name=NAME, label="grid3", seed=0, status="done", suite="tiny", scale="quick", pair="far",
            cell={"model.grid": 3}, scores={"swap_error": {"mean": 0.375, "n": 2}},
        )
    )  # fmt: skip
    write_hashed_json(root / "data" / "references" / "a.json", {"copy": {"swap_error": 0.5}})
    write_hashed_json(root / "data" / "references" / "a-ladder.json", {})
    write_hashed_body(root / "data" / "references" / "a.features", {"tree": ["value", 3]}, b"abc")
    return root


def flip(path: Path, seed: int = 0) -> None:
    content = bytearray(path.read_bytes())
    chance = random.Random(seed)
    while True:
        at = chance.randrange(len(content))
        if not chr(content[at]).isspace():  # a blank between values of JSON holds nothing
            break
    content[at] ^= 1 << chance.randrange(7)
    path.write_bytes(content)


KINDS = {
    "tiny/plan.json": "run again",
    f"tiny/trials/{NAME}/record.json": "run again",
    f"tiny/trials/{NAME}/weights.safetensors": "run again",
    f"tiny/trials/{NAME}/history.jsonl": "run again",
    f"tiny/trials/{NAME}/values.json.gz": "score again",
    f"tiny/trials/{NAME}/pictures/fixed-0.png": "score again",
    f"tiny/trials/{NAME}/previews/step-000001.png": "delete it",
    "tiny/ledger.jsonl": "rebuild it",
    "data/references/a.json": "rebuild it",
    "data/references/a-ladder.json": "rebuild it",
    "data/references/a.features": "rebuild it",
}


def test_whole_results_are_found_whole(suite: Path) -> None:
    verdict = verify_folder(suite)
    assert verdict.findings == ()
    assert verdict.files == len(KINDS)


@pytest.mark.parametrize("file", KINDS)
def test_a_flipped_bit_in_any_file_is_named_with_its_repair(suite: Path, file: str) -> None:
    good = (suite / file).read_bytes()
    for seed in range(40):
        flip(suite / file, seed)
        (finding,) = verify_folder(suite).findings
        assert finding.path == suite / file
        assert finding.remedy.startswith(KINDS[file]), finding
        (suite / file).write_bytes(good)
    (suite / file).write_bytes(good[: len(good) // 2])
    assert [finding.path for finding in verify_folder(suite).findings] == [suite / file]


@pytest.mark.parametrize("file", ["values.json.gz", "history.jsonl"])
def test_a_file_of_numbers_that_is_gone_is_damage(suite: Path, file: str) -> None:
    (suite / "tiny" / "trials" / NAME / file).unlink()
    (finding,) = verify_folder(suite).findings
    assert finding.reason == "it is missing"


def test_a_copy_without_weights_and_pictures_is_whole(suite: Path) -> None:
    folder = suite / "tiny" / "trials" / NAME
    for file in ("weights.safetensors", "pictures/fixed-0.png", "previews/step-000001.png"):
        (folder / file).unlink()
    assert verify_folder(suite).findings == ()


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("weights.safetensors", "train"), ("history.jsonl", "train"), ("values.json.gz", "score"),
        ("pictures/fixed-0.png", "score"), ("previews/step-000001.png", ""), ("log.txt", ""),
    ],
)  # fmt: skip
def test_a_done_trial_with_a_damaged_file_lacks_what_makes_it_anew(suite: Path, file: str, wanted: str) -> None:
    ledger = Ledger(suite / "tiny")
    record = ledger.read(NAME)
    assert record is not None and lacking(record) == ""
    flip(record.folder / file)
    assert lacking(record) == wanted
    assert lacking(replace(record, status="failed")) == ""


def test_damaged_values_history_and_pictures_are_left_out_and_said(suite: Path) -> None:
    ledger = Ledger(suite / "tiny")
    record = ledger.read(NAME)
    assert record is not None
    assert len(ledger.values(record)) == len(ledger.pictures(record)) == 1 and len(ledger.history(record)) == 2
    for file in ("values.json.gz", "history.jsonl", "pictures/fixed-0.png"):
        flip(record.folder / file)
    assert (ledger.values(record), ledger.history(record), ledger.pictures(record)) == ({}, [], {})
    assert [why for _, why in ledger.damaged] == [
        f"{file} of {NAME} is damaged: its content does not match its hash"
        for file in ("values.json.gz", "history.jsonl", "pictures/fixed-0.png")
    ]


def test_a_record_of_an_earlier_version_is_read_and_its_pictures_and_values_are_still_checked(suite: Path) -> None:
    ledger = Ledger(suite / "tiny")
    path = ledger.trial_folder(NAME) / "record.json"
    old = {key: value for key, value in json.loads(path.read_bytes()).items() if key not in ("files", "sha256")}
    write_hashed_json(path, old)
    ledger.rebuild()
    record = ledger.read(NAME)
    assert record is not None and record.files == {}
    assert verify_folder(suite).findings == ()
    for file in ("pictures/fixed-0.png", "previews/step-000001.png", "values.json.gz"):
        flip(record.folder / file, seed=3)
        assert verify_folder(suite).findings[-1].path == record.folder / file
        assert ledger.pictures(record) == {}


def test_every_flip_of_a_picture_without_a_hash_shows_in_its_checksums() -> None:
    good = picture()
    check_png(good)
    chance = random.Random(1)
    for _ in range(300):
        bad = bytearray(good)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        with pytest.raises(Damaged):
            check_png(bytes(bad))
    for end in (0, 8, 40, len(good) - 5):
        with pytest.raises(Damaged):
            check_png(good[:end])


def test_no_flip_of_a_hashed_file_reads_as_another_value(tmp_path: Path) -> None:
    path, values = tmp_path / "a.json", {"oracle": {"x": 1.5}, "name": "é"}
    write_hashed_json(path, values)
    good, refused = path.read_bytes(), 0
    for at in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            path.write_bytes(bad)
            try:
                assert read_hashed_json(path) == values
            except Damaged:
                refused += 1
    assert refused > 0.9 * 8 * len(good)  # what remains are flips of one blank into another


def test_faces_and_stores_are_checked_to_the_last_byte(tmp_path: Path) -> None:
    data = DataSpec(pair="near", frames=3, eval_frames=2, size=16, minimum=1)
    store = open_store(data, 0, tmp_path)
    assert verify_folder(tmp_path).findings == ()
    flips: dict[str, Callable[[str], bool]] = {
        "store.json": lambda reason: "store.json" in reason,
        "src.npy": lambda reason: "src.npy is not what was written" in reason,
    }
    for name, said in flips.items():
        good = (store.folder / name).read_bytes()
        flip(store.folder / name)
        (finding,) = verify_folder(tmp_path).findings
        assert finding.path == store.folder and said(finding.reason)
        (store.folder / name).write_bytes(good)
    check_pack(store.folder)
    (faces,) = (tmp_path / "data").glob("faces-*")
    for name in ("eval/dst/00001.exr", "manifest.json"):
        flip(faces / name, seed=5)
        assert verify_folder(tmp_path).findings[0].path == faces / name
    assert verify_folder(faces).findings[-1].remedy.startswith("rebuild it: delete the set")


def test_a_flipped_factor_in_a_manifest_is_noticed_before_it_is_used(tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    make_faceset(faces, pair="far", frames=2, eval_frames=2, size=16, seed=0)
    text = (faces / "manifest.json").read_text()
    at = text.index('"pose": [') + 12
    (faces / "manifest.json").write_text(f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}")
    (finding,) = verify_folder(faces).findings
    assert "does not match its hash" in finding.reason


def test_of_a_damaged_image_the_set_is_what_to_delete(tmp_path: Path) -> None:
    faces = tmp_path / "data" / "faces-1"
    make_faceset(faces, pair="far", frames=2, eval_frames=2, size=16, seed=0)
    (faces / "src" / "00000.exr").unlink()
    (finding,) = verify_folder(tmp_path).findings
    assert finding.remedy == "rebuild it: delete faces-1, the next run that needs it makes it anew"
    shutil.rmtree(faces)
    (tmp_path / "data" / "references").mkdir()
    (tmp_path / "data" / "references" / "1.json").write_text("{}")
    (finding,) = verify_folder(tmp_path).findings
    assert finding.remedy.startswith("rebuild it: delete it, ")


def test_the_verb_names_the_damage_and_ends_with_1(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(suite.parent)
    code, out, err = called(["verify"], monkeypatch, capsys)
    assert (code, out, err) == (0, f"{len(KINDS)} files checked, 0 damaged\n", "")
    values = suite / "tiny" / "trials" / NAME / "values.json.gz"
    values.write_bytes(gzip.compress(b'{"swap_error": [0.1, 0.5]}'))
    code, out, err = called(["verify", "results/tiny"], monkeypatch, capsys)
    assert code == 1
    assert "values.json.gz: damaged: its content does not match its hash. To score again: harness run tiny" in out
    assert err == "harness: results/tiny: 1 file damaged\n"
    code, out, err = called(["verify", "--json"], monkeypatch, capsys)
    assert [row["path"] for row in json.loads(out)["damaged"]] == [str(values.relative_to(suite.parent))]
    code, out, err = called(["verify", "nowhere"], monkeypatch, capsys)
    assert (code, out) == (2, "") and "there is no folder nowhere" in err
    (suite.parent / "empty").mkdir()
    assert called(["verify", "empty"], monkeypatch, capsys)[0] == 2
