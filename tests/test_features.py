"""Features of the fixed pictures: kept on disk, shared by variants, recomputed when the file is damaged."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import spec_of, store_in

from harness.options import build_model
from harness.score import case as evaluation
from harness.score import features, recognisers
from harness.score.case import reference_case
from harness.score.score import score

CPU = torch.device("cpu")


def test_nested_features_come_back_as_they_were(tmp_path: Path) -> None:
    kept = {
        "readings": {"src": {"pose": torch.rand(3, 2)}, "dst": {"pose": torch.rand(3, 2)}},
        "floor": {"rms": np.array([1.0, np.nan]), "reasons": {3: "too small"}},
        "crowd": (torch.rand(2, 3), torch.arange(4)),
        "auc": 0.98765432101234,
        "none": None,
    }
    features.save(tmp_path / "a.features", kept)
    found = features.load(tmp_path / "a.features", CPU)
    assert list(found) == list(kept) and found["auc"] == kept["auc"] and found["none"] is None
    assert torch.equal(found["readings"]["dst"]["pose"], kept["readings"]["dst"]["pose"])
    assert np.array_equal(found["floor"]["rms"], kept["floor"]["rms"], equal_nan=True)
    assert found["floor"]["reasons"] == {3: "too small"}
    assert isinstance(found["crowd"], tuple) and found["crowd"][1].dtype == torch.int64


def test_a_feature_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object"):
        features.save(tmp_path / "a.features", {"x": object()})
    assert not (tmp_path / "a.features").exists()


@pytest.mark.parametrize("at", [0, 20, 150, -1])
def test_a_flipped_bit_anywhere_means_computing_again(tmp_path: Path, at: int) -> None:
    path = tmp_path / "a.features"
    features.save(path, {"x": torch.rand(20)})
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    assert features.load(path, CPU) == {}
    assert not path.exists()


def test_one_process_makes_what_several_need_at_once(tmp_path: Path) -> None:
    path = tmp_path / "references" / "a.features"
    made, seen, together = [], [], threading.Barrier(4)

    def trial() -> None:
        known: dict[str, object] = {"own": 1}
        together.wait()
        with features.shared(path, known, CPU):
            if "x" not in known:
                assert features.in_the_making(path)
                made.append(known)
                time.sleep(0.1)
                known["x"] = torch.ones(3)
        seen.append(known)

    assert not features.in_the_making(path)
    workers = [threading.Thread(target=trial) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 1 and [float(known["x"].sum()) for known in seen] == [3.0] * 4
    assert not features.in_the_making(path)
    assert set(features.load(path, CPU)) == {"x"}  # and not what somebody knew before


def test_who_fails_to_make_features_leaves_the_turn_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.features"
    with pytest.raises(RuntimeError, match="broken"), features.shared(path, {}, CPU):
        raise RuntimeError("broken")
    assert not path.exists() and not features.in_the_making(path)
    with features.shared(path, known := {}, CPU):
        known["x"] = 1.5
    with features.shared(path, known, CPU):
        known["y"] = 2.5
    assert features.load(path, CPU) == {"x": 1.5, "y": 2.5}


def test_a_trial_checks_the_metrics_while_another_is_at_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store, parts = spec_of(), store_in(tmp_path), []

    def scored(number: int) -> list[str]:
        parts.clear()
        score(
            build_model(spec), spec, store, CPU, tmp_path / str(number), tmp_path / f"references-{number}",
            ["reconstruction"], report=lambda part: parts.append(part),
        )  # fmt: skip
        return [part.split(" ")[0] for part in parts]

    alone = scored(0)
    monkeypatch.setattr(features, "in_the_making", lambda path: True)
    beside = scored(1)
    assert alone[0] == "reconstruction" and alone[-1] == "reference"
    assert beside[0] == "reference" and beside[-1] == "reconstruction" and sorted(alone) == sorted(beside)


READERS = [
    "identity",
    "recognition",
    "structure",
    "swap_score",
    "mosaic",
    "checkerboard",
]  # groups that ask a recogniser, and one that does not


def test_the_second_variant_reads_no_fixed_picture_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recognisers see every fixed picture for the first model, and only the outputs of the second."""
    spec, store = spec_of(), store_in(tmp_path)
    fixed = [*reference_case(spec, store, CPU).images.values()]
    seen: list[torch.Tensor] = []

    def counting(load):
        def loaded(*arguments):
            inner = load(*arguments)

            class Counted:
                def __getattr__(self, name):
                    return getattr(inner, name)

                def __call__(self, images):
                    seen.append(images)
                    return inner(images)

            return Counted()

        return loaded

    monkeypatch.setattr(recognisers, "regressor", counting(recognisers.regressor))
    monkeypatch.setattr(recognisers, "embedder", counting(recognisers.embedder))

    def fixed_readings() -> int:
        return sum(any(len(x) == len(y) and torch.equal(x, y) for y in fixed) for x in seen)

    rows = []
    for number in range(2):
        torch.manual_seed(number)
        seen.clear()
        found = score(build_model(spec), spec, store, CPU, tmp_path / str(number), tmp_path / "references", READERS)
        rows.append((found, fixed_readings()))
    (first, read_first), (second, read_second) = rows
    assert read_first > 0 and read_second == 0
    assert first.references == second.references
    for name in ("id_auc", "yaw_error_floor", "landmark_error_floor", "checkerboard_floor_rms_1"):
        assert first.values[name] == second.values[name]


def test_other_people_are_painted_once_for_all_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painted = []
    for name in ("distractors", "crowd"):
        paint = getattr(evaluation, name)
        monkeypatch.setattr(evaluation, name, lambda *a, n=name, p=paint: painted.append(n) or p(*a))
    for seed in range(2):
        spec = spec_of()
        store = replace(store_in(tmp_path), fingerprint=f"pair {seed}")
        asked = ["factors", "recognition"]
        score(build_model(spec), spec, store, CPU, tmp_path / str(seed), tmp_path / "references", asked)
    assert sorted(painted) == ["crowd", "distractors"]
