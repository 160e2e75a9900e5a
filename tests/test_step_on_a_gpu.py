"""What a GPU needs of the step and can be checked without one: one graph, no recompilation, no wait, data in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peers.compare import quick_spec
from tiny_training import spec_of, store_in
from torch._dynamo.utils import counters
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.bench import perceptual
from harness.bench.counts import count_step
from harness.bench.perceptual import MeasuredLpips
from harness.bench.step import StepArm
from harness.compute import choose_compute
from harness.data import augment, batches
from harness.data.batches import BatchSource
from harness.data.store import open_store
from models.lpips import LPIPS
from models.perceptual import LpipsLoss


def pictures(seed: int, size: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def agree(backend: Any, net: Any, bf16: bool = False) -> None:
    torch._dynamo.reset()
    counters.clear()
    eager = LPIPS(net, bf16, random=True)
    term = MeasuredLpips(net, backend=backend, random=True)
    term.distance.load_state_dict(eager.state_dict())
    term.distance.bf16 = bf16
    for seed in range(4):
        x = pictures(seed).requires_grad_()
        y = pictures(seed + 10)
        compiled, expected = term.of(x, y), eager(x, y).mean()
        tolerance = 0.03 if bf16 else 1e-4
        assert torch.allclose(compiled, expected, rtol=tolerance)
        (mine,), (other,) = torch.autograd.grad(compiled, x), torch.autograd.grad(expected, x)
        assert (mine - other).norm() <= 3 * tolerance * other.norm()
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 1
    torch._dynamo.reset()


@pytest.mark.parametrize(
    "net", [pytest.param("vgg", marks=pytest.mark.long), "alex", pytest.param("squeeze", marks=pytest.mark.long)]
)
def test_the_distance_is_one_graph_and_equals_the_eager_one_over_several_steps(net: str) -> None:
    agree("aot_eager", net)


@pytest.mark.long
@pytest.mark.parametrize("bf16", [False, True])
def test_the_distance_compiled_to_kernels_equals_the_eager_one(bf16: bool) -> None:
    agree("inductor", "squeeze", bf16)


def test_another_shape_is_an_error_and_no_silent_recompilation() -> None:
    torch._dynamo.reset()
    term = MeasuredLpips("squeeze", backend="eager", random=True)
    term.of(pictures(1), pictures(2))
    with pytest.raises(torch._dynamo.exc.RecompileError):
        term.of(pictures(1, 48), pictures(2, 48))
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # the tracer looks at its inputs
def test_the_whole_step_uses_the_compiled_distance_without_recompiling() -> None:
    torch._dynamo.reset()
    counters.clear()
    with perceptual.registered() as name:
        term = {"weight": 1.0, "net": "squeeze", "backend": "eager", "random": True}
        arm = StepArm(spec_of(data={"size": 32}, loss={"l1": 1.0, name: term}), torch.device("cpu"), "bf16")
        for _ in range(3):
            values = arm()
    assert torch.isfinite(values[name]) and counters["stats"]["unique_graphs"] == 1
    torch._dynamo.reset()


def test_the_step_of_the_bottleneck_suite_never_waits_for_the_device() -> None:
    spec = quick_spec()
    assert {"face_l1", "kl", "latent_statistics", "dssim"} <= set(spec.loss)
    assert count_step(spec, "bf16").operators > 100  # HostSync is raised where a value is asked for


@pytest.mark.parametrize(("share", "expected"), [(0.25, "cuda"), (0.0, "cpu")])
def test_images_live_on_the_gpu_when_they_fit_and_else_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, expected: str
) -> None:
    store = store_in(tmp_path)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (2**30, 2**30))
    monkeypatch.setattr(batches, "RESIDENT_SHARE", share)
    with FakeTensorMode(allow_non_fake_inputs=True):  # tensors that carry the name of a GPU that is not there
        source = BatchSource(store, spec_of().data, 6, 0, "cuda:0")
        assert {images.device.type for images in source.images.values()} == {expected}


def test_on_a_cpu_the_memory_map_is_used_as_it_is(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    source = BatchSource(store, spec_of().data, 6, 0, "cpu")
    for person, images in source.images.items():
        assert np.shares_memory(images.numpy(), store.people[person])


class Far:
    """A tensor or network that notes what is done with it. `device`: where it claims to be."""

    def __init__(self, device: str) -> None:
        self.device, self.done = torch.device(device), list[Any]()
        self.shift, self.bf16 = self, False

    def pin_memory(self) -> Far:
        self.done.append("pinned")
        return self

    def to(self, device: torch.device, **options: Any) -> Far:
        self.device = device
        self.done.append((device.type, options))
        return self

    def compile(self, **options: Any) -> None:
        self.done.append("compiled")

    def __call__(self, *pictures: Any) -> torch.Tensor:
        return torch.zeros(2)


def test_draws_go_to_a_gpu_from_pinned_memory_while_the_host_goes_on() -> None:
    values: Any = Far("cpu")
    augment.to_device(values, torch.device("cuda"))
    assert values.done == ["pinned", ("cuda", {"non_blocking": True})]
    values = Far("cpu")
    augment.to_device(values, torch.device("cpu"))
    assert values.done == [("cpu", {})]


@pytest.mark.parametrize(("compiler", "expected"), [("/usr/bin/cc", ["compiled"]), (None, [])])
def test_lpips_is_compiled_on_a_gpu_only_where_a_compiler_is(
    monkeypatch: pytest.MonkeyPatch, compiler: str | None, expected: list[str]
) -> None:
    monkeypatch.setattr("models.perceptual.shutil.which", lambda _: compiler)
    monkeypatch.setattr("models.perceptual.importlib.util.find_spec", lambda _: object())
    term: Any = LpipsLoss.__new__(LpipsLoss)
    term.distance = Far("cpu")
    for _ in range(2):  # once for all steps
        term.of(Far("cuda"), Far("cuda"))
    assert term.distance.done == [("cuda", {}), *expected] and term.distance.bf16


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_that_only_emulates_bfloat16_trains_in_float32(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    assert choose_compute(spec_of(optim={"precision": "auto"}), "cuda", 1).precision == expected


def test_faces_are_rendered_on_the_device_of_the_trial_and_not_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def painted(*_: Any, device: str, **__: Any) -> None:
        seen.append(device)
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("harness.data.store.make_faceset", painted)
    for device in ("cpu", "cuda"):
        with pytest.raises(KeyboardInterrupt):
            open_store(spec_of().data.model_copy(update={"frames": 17}), 0, tmp_path, device=device)
    assert seen == ["cpu", "cuda"]
