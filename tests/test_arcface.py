"""ArcFace files of the user's own as the recogniser of photographs, made on the spot with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.data.store import FaceStore
from harness.errors import EnvironmentProblem
from harness.score import case as cases
from harness.score import weights
from models import arcface
from models.pretrained import FILES, BadWeights

SMALL = (1, 1, 1, 1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    weights.face_embedder.cache_clear()
    yield tmp_path / "home"
    weights.face_embedder.cache_clear()


@pytest.fixture(scope="module")
def net() -> arcface.IResNet:
    torch.manual_seed(0)
    net = arcface.IResNet(SMALL, features=64)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return net.eval()


@pytest.fixture
def file(net: arcface.IResNet, tmp_path: Path) -> Path:
    save_file(net.state_dict(), tmp_path / "backbone.safetensors")
    return tmp_path / "backbone.safetensors"


def pictures(count: int = 2, size: int = 112) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_the_network_has_the_keys_of_arcface_torch_at_every_depth() -> None:
    expected = arcface.shapes((3, 13, 30, 3))
    assert expected["conv1.weight"] == (64, 3, 3, 3) and expected["fc.weight"] == (512, 512 * 7 * 7)
    assert expected["layer3.29.prelu.weight"] == (256,) and expected["layer2.0.downsample.1.running_var"] == (128,)
    assert "layer2.1.downsample.0.weight" not in expected and arcface.blocks_of(expected) == (3, 13, 30, 3)
    assert expected["features.running_mean"] == (512,)


def test_a_file_gives_the_unit_vectors_of_its_network(net: arcface.IResNet, file: Path) -> None:
    reader, x = arcface.ArcFace(file), pictures()
    expected = torch.nn.functional.normalize(net(x * 2 - 1), dim=1)
    assert torch.allclose(reader(x), expected, atol=1e-6) and torch.allclose(reader(x).norm(dim=1), torch.ones(2))
    assert reader(pictures(3, 160)).shape == (3, 64) and reader(x[:0]).shape == (0, 64)
    reader.train()
    assert not any(m.training for m in reader.modules()) and not any(p.requires_grad for p in reader.parameters())


def test_another_network_and_damage_are_refused(net: arcface.IResNet, file: Path, tmp_path: Path) -> None:
    state = net.state_dict()
    for name, changed, said in (
        ("lacking", {k: v for k, v in state.items() if k != "bn2.bias"}, "bn2.bias"),
        ("other", {"weight": torch.zeros(3)}, "not an IResNet"),
        ("shape", state | {"conv1.weight": torch.zeros(64, 3, 5, 5)}, "conv1.weight has shape"),
        ("infinite", state | {"bn1.bias": torch.full((64,), float("inf"))}, "not finite"),
    ):
        save_file(changed, tmp_path / f"{name}.safetensors")
        with pytest.raises(BadWeights, match=said):
            arcface.read(tmp_path / f"{name}.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadWeights, match="not a readable file"):
        arcface.read(file)


def onnx_file(net: arcface.IResNet, path: Path, scales: bool = False, single: bool = False) -> Path:
    """The network as ONNX written with onnx itself: a mean over the pixels' blocks, by a matrix."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    matrix = rng.normal(0, 1, (3 * 49, 32)).astype(np.float32)
    batch = 1 if single else "batch"
    nodes, source = [], "data"
    initial = [numpy_helper.from_array(matrix, "matrix")]
    if scales:
        initial += [
            numpy_helper.from_array(np.float32(127.5), "mean"),
            numpy_helper.from_array(np.float32(1 / 127.5), "by"),
        ]
        nodes += [
            helper.make_node("Sub", ["data", "mean"], ["less"]),
            helper.make_node("Mul", ["less", "by"], ["scaled"]),
        ]
        source = "scaled"
    nodes += [
        helper.make_node("AveragePool", [source], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes, "recogniser", [helper.make_tensor_value_info("data", TensorProto.FLOAT, [batch, 3, 112, 112])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [batch, 32])], initial,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path


def test_onnx_files_are_given_pixels_as_they_expect_them(net: arcface.IResNet, tmp_path: Path) -> None:
    plain = arcface.ArcFaceOnnx(onnx_file(net, tmp_path / "plain.onnx"))
    scaling = arcface.ArcFaceOnnx(onnx_file(net, tmp_path / "scaling.onnx", scales=True))
    single = arcface.ArcFaceOnnx(onnx_file(net, tmp_path / "single.onnx", single=True))
    x = pictures(3)
    assert torch.allclose(plain(x), scaling(x), atol=1e-5) and torch.allclose(plain(x), single(x), atol=1e-5)
    assert torch.allclose(plain(x).norm(dim=1), torch.ones(3)) and not torch.allclose(plain(x)[0], plain(x)[1])


def test_onnx_of_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(BadWeights, match="not a usable ONNX file"):
        arcface.ArcFaceOnnx(tmp_path / "a.onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadWeights, match=r"faceswap-bench\[onnx\]"):
        arcface.ArcFaceOnnx(tmp_path / "a.onnx")


def test_an_added_file_becomes_the_recogniser_and_its_content_is_in_the_score_digest(
    home: Path, file: Path, net: arcface.IResNet, tmp_path: Path
) -> None:
    before = weights.scoring_state(False)
    place, digest = weights.add(file, "arcface")
    assert place == FILES["arcface"].path and weights.scoring_state(False) == f"{before}+arcface{digest[:16]}"
    assert weights.scoring_state(True) == before
    reader = weights.face_embedder(torch.device("cpu"))
    assert isinstance(reader, arcface.ArcFace) and reader.weights_sha256 == digest
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    weights.face_embedder.cache_clear()
    with pytest.raises(EnvironmentProblem, match="damaged"):
        weights.face_embedder(torch.device("cpu"))
    place.unlink()
    weights.add(onnx_file(net, tmp_path / "w600k.onnx"), "arcface")
    weights.face_embedder.cache_clear()
    assert isinstance(weights.face_embedder(torch.device("cpu")), arcface.ArcFaceOnnx)


def test_a_recogniser_sees_as_much_of_the_face_as_it_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.photos.manifest import Manifest
    from harness.photos.settings import Settings

    class Reader:
        template_crop = 1.0

        def __call__(self, images: Tensor) -> Tensor:
            return images

    monkeypatch.setattr(weights, "face_embedder", lambda device: Reader())
    store = FaceStore(tmp_path, *[None] * 9, (), (), False, False)  # type: ignore[arg-type]
    images = pictures(1, 100)
    whole = cases._recogniser(store, torch.device("cpu"))
    assert whole is not None and torch.equal(whole(images), images)
    Manifest(tmp_path, "src").begin(Settings(crop=2.0).deciding())
    part = cases._recogniser(store, torch.device("cpu"))
    assert part is not None and torch.equal(part(images), images[..., 25:75, 25:75])
