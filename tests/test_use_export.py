"""Exported networks give what the trained ones give, in other programs and for any batch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import finished_trial
import numpy as np
import pytest
import torch
from command import called

from harness.errors import UsageError
from harness.use import to_onnx as onnx_room
from harness.use.model import TrainedSwapper, load_model
from harness.use.to_onnx import to_onnx
from harness.use.to_torch import to_torch

ALONE = """
import sys, torch
sys.modules["harness"] = sys.modules["models"] = sys.modules["metrics"] = None  # not to be imported
from load import load
parts = load(".")
found = {count: {name: parts[name](x) for name, x in asked.items()} for count, asked in torch.load("inputs.pt").items()}
torch.save(found, "outputs.pt")
"""


def trained(tmp_path: Path, encoding: str = "srgb", **model: Any) -> TrainedSwapper:
    finished_trial.write(tmp_path, finished_trial.spec_of(encoding=encoding, model=model))
    return load_model("grid", root=tmp_path, device="cpu")


def answers(model: TrainedSwapper, count: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """{part: (input, what the model gives)} for a batch of `count`."""
    generator = torch.Generator().manual_seed(count)
    x = torch.rand(count, 3, model.size, model.size, generator=generator)
    z = torch.randn(count, *model.latent_shape, generator=generator)
    found = {"encoder": (x, model.encode(x))}
    for person in model.people:
        picture, mask = model.decode_with_mask(z, person)
        found[f"decoder_{person}"] = (z, picture if mask is None else torch.cat([picture, mask], 1))
    return found


def by_onnxruntime(folder: Path) -> Callable[[str, torch.Tensor], torch.Tensor]:
    import onnxruntime

    def run(part: str, x: torch.Tensor) -> torch.Tensor:
        session = onnxruntime.InferenceSession(str(folder / f"{part}.onnx"), providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])

    return run


@pytest.mark.long
@pytest.mark.parametrize(("encoding", "options"), [("srgb", {"mask": True}), ("linear", {})])
def test_onnxruntime_gives_what_torch_gives_for_any_batch(tmp_path: Path, encoding: str, options: Any) -> None:
    model = trained(tmp_path, encoding, **options)
    to_onnx(model, tmp_path / "onnx")
    run = by_onnxruntime(tmp_path / "onnx")
    for count in (1, 3):
        for part, (x, expected) in answers(model, count).items():
            got = run(part, x)
            assert got.shape == expected.shape and np.allclose(got, expected, atol=2e-5), part
    about = json.loads((tmp_path / "onnx" / "model.json").read_text())
    assert (
        about["opset"] == 18 and about["input"]["picture"] == ["batch", 3, 32, 32] and "sRGB" in about["input"]["range"]
    )


@pytest.mark.long
def test_an_onnx_file_says_what_it_is(tmp_path: Path) -> None:
    import onnx

    to_onnx(trained(tmp_path), tmp_path / "onnx")
    proto = onnx.load(tmp_path / "onnx" / "encoder.onnx")
    onnx.checker.check_model(proto)
    told = {entry.key: entry.value for entry in proto.metadata_props}
    assert told["trial"] == "grid-s0-0123abcd" and "synthetic" in told["note"] and proto.opset_import[0].version == 18
    assert [i.name for i in proto.graph.input] == ["picture"] and [o.name for o in proto.graph.output] == ["latent"]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


VARIANTS: list[dict[str, Any]] = [
    {}, {"upsample": "bilinear"}, {"upsample": "convt"}, {"upsample": "pixelshuffle_icnr"}, {"norm": "group"},
    {"variant": "dense", "grid": None}, {"variant": "pooled", "grid": None}, {"variant": "trunk"},
    {"variant": "embedding"}, {"variant": "liae"}, {"variant": "style", "grid": None, "width": None},
]  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("options", VARIANTS)
def test_safetensors_and_twenty_lines_are_enough_without_this_package(tmp_path: Path, options: dict[str, Any]) -> None:
    spec = finished_trial.spec_of(model=options)
    known = {k: v for k, v in spec.model.model_dump().items() if v is not None}
    spec = spec.model_copy(update={"model": type(spec.model).model_validate(known)})
    finished_trial.write(tmp_path, spec)
    model, folder = load_model("grid", root=tmp_path, device="cpu"), tmp_path / "torch"
    to_torch(model, folder)
    asked = {count: answers(model, count) for count in (1, 3)}
    torch.save(
        {count: {part: x for part, (x, _) in parts.items()} for count, parts in asked.items()}, folder / "inputs.pt"
    )
    subprocess.run([sys.executable, "-c", ALONE], cwd=folder, check=True, timeout=120)
    found = torch.load(folder / "outputs.pt")
    for count, parts in asked.items():
        for part, (_, expected) in parts.items():
            assert torch.allclose(found[count][part], expected, atol=1e-5), (count, part)


def test_the_loader_is_as_short_as_it_is_said_to_be() -> None:
    lines = Path("harness/use/standalone.py").resolve().read_text().split('"""', 2)[2].splitlines()
    body = [line for line in lines if line.strip() and not line.startswith(("import", "from"))]
    assert len(body) <= 22


def test_a_model_that_samples_when_it_decodes_is_refused(tmp_path: Path) -> None:
    model = trained(tmp_path, sample_when_decoding=True)
    for export in (to_onnx, to_torch):
        with pytest.raises(UsageError, match="samples when it decodes"):
            export(model, tmp_path / "x")


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = ["export", "grid", "--onnx", str(tmp_path / "x"), "--results", str(tmp_path)]
    code, _, err = called(command, monkeypatch, capsys)
    assert code == 4 and onnx_room.NEEDED in err and "[onnx]" in err and not (tmp_path / "x").exists()


@pytest.mark.long
def test_the_command_writes_both_and_names_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(tmp_path)
    more = ["--results", str(tmp_path), "--torch", str(tmp_path / "t")]
    code, out, _ = called(["export", "grid-s0", *more], monkeypatch, capsys)
    assert code == 0 and out.split() == [
        str(tmp_path / "t" / n) for n in ("weights.safetensors", "network.json", "load.py")
    ]
    code, _, err = called(["export", "tiny", "--mlflow", str(tmp_path / "m"), *more], monkeypatch, capsys)
    assert code == 2 and "one after the other" in err
    code, _, err = called(["export", "tiny"], monkeypatch, capsys)
    assert code == 2 and "nothing to write" in err
