"""What a training step costs, counted and not timed: on fake tensors, so nothing is computed and nothing is noisy.

Fake tensors are tensors of the meta device that carry the name of a real one; autocast works on them.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from harness.bench.step import StepArm
from harness.spec import Spec
from models.swapper import PEOPLE


class HostSync(ValueError):
    """Something in the step asks the device for a value, and so waits for it; the message names the operator."""


@dataclass(frozen=True)
class Counts:
    """Of one training step: FLOPs, calls of operators, bytes that eager operators read and write.

    `flops` counts matrix products and convolutions, 2 a multiply-add, backward included; `bytes` counts every operand
    and result of every operator that is no view.
    """

    flops: int
    parameters: int
    operators: int
    bytes: int
    swap_flops: int

    def to_dict(self) -> dict[str, int]:
        """Plain JSON values."""
        return asdict(self)


class _Tally(TorchDispatchMode):
    """Counts calls by operator and the bytes they touch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls[str(func)] += 1
        if not func.is_view:
            tensors = [x for x in tree_leaves((args, kwargs or {}, result)) if isinstance(x, Tensor)]
            self.bytes += sum(x.numel() * x.element_size() for x in {id(x): x for x in tensors}.values())
        return result


@contextlib.contextmanager
def _fake() -> Iterator[None]:
    with FakeTensorMode(allow_non_fake_inputs=True):
        try:
            yield
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            raise HostSync(f"the step asks the device for a value ({error.func}): every step would wait") from None


def count_step(spec: Spec, precision: str = "bf16") -> Counts:
    """Counts of the second step of a specification (the first one makes the optimiser's moments).

    Raises HostSync when anything in the step, optimiser included, needs a value on the host.
    """
    random = torch.random.get_rng_state()
    try:
        with _fake():
            arm = StepArm(spec, torch.device("cpu"), precision)
            arm()
            tally, flops = _Tally(), FlopCounterMode(display=False)
            with flops, tally:
                arm()
            swap = FlopCounterMode(display=False)
            with swap, torch.no_grad():
                arm.model.eval().swap(torch.rand(1, 3, spec.data.size, spec.data.size), PEOPLE[1])
            return Counts(
                flops=flops.get_total_flops(),
                parameters=sum(parameter.numel() for parameter in arm.model.parameters()),
                operators=sum(tally.calls.values()),
                bytes=tally.bytes,
                swap_flops=swap.get_total_flops(),
            )
    finally:
        torch.random.set_rng_state(random)


def graph_breaks(spec: Spec) -> int:
    """Breaks that torch.compile's tracer finds in encode and decode of one person; 0 is one whole graph each.

    Tracing only: nothing is compiled.
    """
    random = torch.random.get_rng_state()
    torch._dynamo.reset()
    logger = logging.getLogger("torch._dynamo")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        model = StepArm(spec, torch.device("cpu"), "fp32").model.eval()

        def swap(x: Tensor) -> Tensor:
            return model.decode(model.encode(x).mu, PEOPLE[1])

        with torch.no_grad():
            return torch._dynamo.explain(swap)(torch.rand(2, 3, spec.data.size, spec.data.size)).graph_break_count
    finally:
        logger.setLevel(level)
        torch._dynamo.reset()
        torch.random.set_rng_state(random)
