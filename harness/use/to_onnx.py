"""A trained swapper as ONNX: an encoder and a decoder per person, for any batch. Needs the extra `onnx`."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import warnings
from pathlib import Path

import torch

from harness.errors import EnvironmentProblem, UsageError
from harness.files import write_atomic, write_json
from harness.use import networks
from harness.use.model import TrainedSwapper

OPSET = 18
NEEDED = "the export to ONNX needs the packages onnx and onnxscript: uv pip install 'faceswap-bench[onnx]'"


def to_onnx(model: TrainedSwapper, folder: Path) -> list[Path]:
    """Write encoder.onnx, decoder_src.onnx, decoder_dst.onnx and model.json into `folder`; the files.

    EnvironmentProblem without the packages or the disk, UsageError for a network that ONNX cannot say.
    """
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript")):
        raise EnvironmentProblem(NEEDED)
    about, written = {**networks.described(model), "opset": OPSET}, []
    for name, (network, example) in networks.parts(model).items():
        names = ("picture", "latent") if name == "encoder" else ("latent", "picture")
        content = _exported(network, example, names, about, f"{model.record.name}: {name}")
        write_atomic(folder / f"{name}.onnx", content)
        written.append(folder / f"{name}.onnx")
    write_json(folder / "model.json", about)
    return [*written, folder / "model.json"]


def _exported(
    network: torch.nn.Module, example: torch.Tensor, names: tuple[str, str], about: dict[str, object], what: str
) -> bytes:
    """One network as the bytes of an ONNX file that says what it is."""
    said = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(said):
        warnings.simplefilter("ignore")  # of the exporter about itself
        try:
            program = torch.onnx.export(
                network, (example,), dynamo=True, dynamic_shapes=networks.batches(), input_names=[names[0]],
                output_names=[names[1]], opset_version=OPSET, verbose=False,
            )  # fmt: skip
        except Exception as error:  # the exporter raises many kinds
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise UsageError(f"{what} cannot be exported to ONNX: {reason}") from None
    assert program is not None
    proto = program.model_proto
    for key, value in about.items():
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    return proto.SerializeToString()
