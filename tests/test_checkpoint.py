"""Checkpoints: the newest whole one is used, damage is always noticed, a crash or full disk costs only the new one."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness import files as atomic
from harness.errors import EnvironmentProblem
from harness.train import checkpoint


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"model.w": torch.arange(12.0).reshape(3, 4) + step, "adam.0.step": torch.tensor(float(step))}


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        checkpoint.save(folder, tensors(step), {"step": step, "history": [{"step": step, "loss": 0.5}]})


def loaded(folder: Path) -> checkpoint.Checkpoint:
    found = checkpoint.load(folder)
    assert found is not None
    return found


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pair(step: int) -> list[str]:
    return [f"step-{step:09d}.json", f"step-{step:09d}.safetensors"]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    save(tmp_path, 7)
    found = loaded(tmp_path)
    assert found.meta == {"step": 7, "history": [{"step": 7, "loss": 0.5}]}
    assert found.damaged == ()
    assert all(torch.equal(value, tensors(7)[name]) for name, value in found.tensors.items())
    assert found.tensors.keys() == tensors(7).keys()


def test_memory_format_and_half_precision_survive(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)
    checkpoint.save(tmp_path, {"w": weight, "h": weight.bfloat16()}, {"step": 1})
    found = loaded(tmp_path).tensors
    assert torch.equal(found["w"], weight) and torch.equal(found["h"], weight.bfloat16())


def test_an_empty_or_absent_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None
    assert checkpoint.load(tmp_path / "absent") is None


def test_the_newest_is_used_and_exactly_two_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 200, 1000, 99999):
        save(tmp_path, step)
        assert loaded(tmp_path).meta["step"] == step
    assert names(tmp_path) == sorted(pair(1000) + pair(99999))


def test_every_flipped_bit_is_noticed_and_the_one_before_is_used(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    rng = random.Random(0)
    files = [tmp_path / name for name in pair(2)]
    whole = {file: file.read_bytes() for file in files}
    total = sum(map(len, whole.values()))
    caught = 0
    for _ in range(200):
        place = rng.randrange(total)
        file = files[0] if place < len(whole[files[0]]) else files[1]
        data = bytearray(whole[file])
        data[place - (0 if file is files[0] else len(whole[files[0]]))] ^= 1 << rng.randrange(8)
        file.write_bytes(data)
        found = loaded(tmp_path)
        caught += found.meta["step"] == 1 and len(found.damaged) == 1 and "step-000000002" in found.damaged[0]
        assert torch.equal(found.tensors["model.w"], tensors(1)["model.w"])
        for file, content in whole.items():
            file.write_bytes(content)
    assert caught == 200
    assert loaded(tmp_path).meta["step"] == 2


@pytest.mark.parametrize("which", [0, 1], ids=["json", "safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 0.5, -1])
def test_truncation_is_noticed(tmp_path: Path, which: int, keep: float) -> None:
    save(tmp_path, 1, 2)
    file = tmp_path / pair(2)[which]
    data = file.read_bytes()
    file.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    found = loaded(tmp_path)
    assert found.meta["step"] == 1
    assert [text.split(":")[0] for text in found.damaged] == [pair(2)[0]]


@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b'{"meta": 3}', b"\xff\xfe", b"[" * 100_000])
def test_foreign_content_is_damage_and_no_crash(tmp_path: Path, content: bytes) -> None:
    save(tmp_path, 1, 2)
    (tmp_path / pair(2)[0]).write_bytes(content)
    assert loaded(tmp_path).meta["step"] == 1


def test_with_nothing_whole_left_the_damage_is_told(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / pair(1)[1]).unlink()
    found = loaded(tmp_path)
    assert (found.meta, found.tensors) == ({}, {})
    assert len(found.damaged) == 1


def test_a_damaged_one_does_not_push_out_the_last_whole_one(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    (tmp_path / pair(2)[1]).write_bytes(b"damage")
    assert loaded(tmp_path).meta["step"] == 1
    save(tmp_path, 3)
    assert names(tmp_path) == sorted(pair(1) + pair(3))
    (tmp_path / pair(3)[1]).write_bytes(b"damage")
    assert loaded(tmp_path).meta["step"] == 1


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("write", range(2))
@pytest.mark.parametrize("moment", ["open", "fsync", "replace", "after"])
def test_a_kill_at_any_write_point_leaves_the_old_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: int, moment: str
) -> None:
    save(tmp_path, 1)
    calls = 0
    whole_fsync, whole_replace = os.fsync, Path.replace

    def now(point: str) -> bool:
        return calls == write and point == moment

    def fsync(descriptor: int) -> None:
        if now("fsync"):
            raise Killed
        whole_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        nonlocal calls
        if now("replace"):
            raise Killed
        done = whole_replace(self, target)
        if now("after"):
            raise Killed
        calls += 1
        return done

    def opened(self: Path, *args: str) -> object:
        if now("open") and self.name.endswith(".tmp"):
            self.touch()
            raise Killed
        return open(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", fsync)
        patch.setattr(Path, "replace", replace)
        patch.setattr(Path, "open", opened)
        with pytest.raises(Killed):
            save(tmp_path, 2)
    found = loaded(tmp_path)
    committed = write == 1 and moment == "after"
    assert found.meta["step"] == (2 if committed else 1)
    assert found.damaged == ()
    assert torch.equal(found.tensors["model.w"], tensors(found.meta["step"])["model.w"])
    save(tmp_path, 2, 3)
    assert names(tmp_path) == sorted(pair(2) + pair(3))


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from harness.train import checkpoint
from harness.errors import EnvironmentProblem
folder = Path(sys.argv[1])
checkpoint.save(folder, {"w": torch.ones(8)}, {"step": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    checkpoint.save(folder, {"w": torch.ones(100_000)}, {"step": 2})
except EnvironmentProblem as error:
    print(error.code, error)
"""


def test_a_full_disk_leaves_the_previous_one_and_names_the_path(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("4 ") and str(tmp_path / pair(2)[1]) in done.stdout, done.stderr
    assert names(tmp_path) == pair(1)
    assert loaded(tmp_path).meta["step"] == 1


def test_final_weights_are_read_only_under_their_hash(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    sha256 = checkpoint.write_weights(path, tensors(3))
    assert torch.equal(checkpoint.read_weights(path, sha256)["model.w"], tensors(3)["model.w"])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(EnvironmentProblem, match=r"weights\.safetensors: damaged.*run again"):
        checkpoint.read_weights(path, sha256)
    path.unlink()
    with pytest.raises(EnvironmentProblem, match=r"weights\.safetensors: cannot be read"):
        checkpoint.read_weights(path, sha256)
