"""Runs an exported face swapper with torch and safetensors alone.

    parts = load(".")
    picture = torch.rand(1, 3, 64, 64)  # src, sRGB, RGB, 0 to 1; the size stands in network.json
    swap = parts["decoder_dst"](parts["encoder"](picture))  # dst in the pose of src, sRGB, 0 to 1

What it makes is synthetic: mark it as such. Swapping a real person's face needs their consent.
"""

import functools
import json
import operator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file


def load(folder):
    """{"encoder", "decoder_src", "decoder_dst": a function of one tensor}."""
    graphs = json.loads(Path(folder, "network.json").read_text())["parts"]
    weights = load_file(Path(folder, "weights.safetensors"))
    homes: dict[str, Any] = {"aten": torch.ops.aten, "operator": operator}

    def value(argument, known):
        if isinstance(argument, list):
            return [value(inner, known) for inner in argument]
        if not isinstance(argument, dict):
            return argument
        ((kind, name),) = argument.items()
        return {"of": known, "weight": weights}[kind][name] if kind != "torch" else getattr(torch, name)

    def run(steps, x):
        known = {"input": x}
        for name, operation, arguments, keywords in steps:
            home, *path = operation.split(".")
            call = functools.reduce(getattr, path, homes[home])
            known[name] = call(*value(arguments, known), **{key: value(v, known) for key, v in keywords.items()})
        return known[name]

    return {name: functools.partial(torch.no_grad()(run), steps) for name, steps in graphs.items()}
