"""A trained swapper as safetensors and a list of torch's operations, which twenty lines run without this package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.export.graph_signature import InputKind

from harness.errors import UsageError
from harness.files import write_atomic, write_json
from harness.use import networks
from harness.use.model import TrainedSwapper

LOADER = Path(__file__).with_name("standalone.py")
CHECKS = ("aten._assert_tensor_metadata.default", "aten._assert_scalar.default")


def to_torch(model: TrainedSwapper, folder: Path) -> list[Path]:
    """Write weights.safetensors, network.json and load.py into `folder`; the files.

    EnvironmentProblem for the disk, UsageError for a network whose graph cannot be taken.
    """
    weights: dict[str, Tensor] = {}
    graphs = {}
    for name, (network, example) in networks.parts(model).items():
        graphs[name] = operations(network, example, weights, f"{model.record.name}: {name}")
    files = [folder / name for name in ("weights.safetensors", "network.json", "load.py")]
    write_atomic(files[0], save({key: value.detach().contiguous().clone() for key, value in weights.items()}))
    write_json(files[1], {**networks.described(model), "torch": torch.__version__, "parts": graphs})
    shutil.copyfile(LOADER, files[2])
    return files


def operations(network: nn.Module, example: Tensor, weights: dict[str, Tensor], what: str) -> list[list[Any]]:
    """[name, operation, arguments, keywords] in order, the last one the result; what they read goes into `weights`.

    An argument is a plain value, a list, or {"of": name}, {"weight": key} or {"torch": constant}.
    """
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=networks.batches())
    except Exception as error:  # the exporter raises many kinds
        raise UsageError(f"{what} cannot be exported: {str(error).strip().splitlines()[0][:200]}") from None
    inputs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    refer: dict[str, dict[str, str]] = {}
    found = []
    program.graph.eliminate_dead_code()
    for node in program.graph.nodes:
        if node.op == "placeholder":
            spec = inputs[node.name]
            if spec.kind is InputKind.USER_INPUT:
                refer[node.name] = {"of": "input"}
            elif node.users:
                key = str(spec.target)
                weights[key] = program.state_dict.get(key, program.constants.get(key))
                refer[node.name] = {"weight": key}
        elif node.op == "call_function" and str(node.target) not in CHECKS:
            refer[node.name] = {"of": node.name}
            arguments = [_plain(argument, refer) for argument in node.args]
            keywords = {key: _plain(value, refer) for key, value in node.kwargs.items() if key != "device"}
            found.append([node.name, _name(node.target), arguments, keywords])
        elif node.op == "output":
            ((result,),) = node.args
            return found[: 1 + [step[0] for step in found].index(result.name)]
    raise AssertionError("a graph ends with its output")


def _name(target: Any) -> str:
    """`aten.conv2d.default`, `operator.getitem`."""
    if getattr(target, "__module__", "") == "_operator":
        return f"operator.{target.__name__}"
    return str(target)


def _plain(value: Any, refer: dict[str, dict[str, str]]) -> Any:
    if isinstance(value, torch.fx.Node):
        return refer[value.name]
    if isinstance(value, list | tuple):
        return [_plain(inner, refer) for inner in value]
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return {"torch": str(value).removeprefix("torch.")}
    return value
