"""LPIPS of our own against the package's, on the same files; what the package gets wrong for training, right."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import weight_files
from torch import nn

from models import lpips, pretrained
from models.losses import Step
from models.lpips import LPIPS, unit
from models.perceptual import LpipsLoss, Perceptual
from models.pretrained import BadWeights, MissingWeights

NETS: Any = tuple(lpips.TAPS)
FEW = [pytest.param("vgg", marks=pytest.mark.long), "alex", "squeeze"]  # vgg is 50 times as much arithmetic


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A TORCH_HOME with all trunks."""
    home = tmp_path_factory.mktemp("torch")
    with pytest.MonkeyPatch.context() as patch:
        for name in NETS:
            weight_files.install(home, name, patch)
        yield home


def pictures(count: int = 2, size: int = 64, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("net", FEW)
def test_the_distance_is_that_of_the_package(installed: Path, net: Any) -> None:
    x, y = pictures(seed=1), pictures(seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, of an old argument that the package uses
        import lpips as package

        theirs = package.LPIPS(net=net, verbose=False)  # reads the same file from TORCH_HOME
    with torch.no_grad():
        expected = theirs(x, y, normalize=True).flatten()
        found = LPIPS(net)(x, y)
    assert expected.min() > 1e-3
    assert torch.allclose(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("net", NETS)
def test_shapes_are_those_of_torchvision(net: Any) -> None:
    from torchvision import models

    build = {"vgg": models.vgg16, "alex": models.alexnet, "squeeze": models.squeezenet1_1}[net]
    with torch.device("meta"):
        assert {key: tuple(value.shape) for key, value in build().state_dict().items()} == lpips.shapes(net)


@pytest.mark.parametrize("net", FEW)
def test_equal_pictures_are_at_zero_and_two_instances_agree(installed: Path, net: Any) -> None:
    one, two = LPIPS(net), LPIPS(net)
    x, y = pictures(seed=1), pictures(seed=2)
    assert (one(x, x) == 0).all()
    assert torch.equal(one(x, y), two(x, y)) and (one(x, y) > 0).all()


def test_training_a_parent_leaves_it_in_eval_and_frozen(installed: Path) -> None:
    parent = nn.Sequential(LPIPS("squeeze"), nn.Dropout())
    parent.train()
    assert parent[1].training and not any(module.training for module in parent[0].modules())
    assert not any(parameter.requires_grad for parameter in parent.parameters())
    assert all(value.dtype == torch.float32 for value in parent[0].buffers())


def test_the_gradient_reaches_the_picture_and_not_the_target(installed: Path) -> None:
    x, y = pictures(seed=1).requires_grad_(), pictures(seed=2).requires_grad_()
    LPIPS("squeeze")(x, y).sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0 and torch.isfinite(x.grad).all() and y.grad is None


def test_zero_features_have_a_finite_gradient() -> None:
    features = torch.zeros(1, 4, 2, 2)
    features[0, :, 0, 0] = torch.tensor([3.0, 0.0, 4.0, 0.0])
    features.requires_grad_()
    (unit(features) - 1).square().sum().backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()
    assert torch.allclose(unit(features)[0, :, 0, 0], torch.tensor([0.6, 0.0, 0.8, 0.0]))


def test_a_trunk_that_is_dead_everywhere_gives_zero_and_no_nan(installed: Path) -> None:
    distance = LPIPS("squeeze")
    for parameter in distance.features.parameters():
        parameter.zero_()
    x = pictures().requires_grad_()
    value = distance(x, pictures(seed=2)).sum()
    value.backward()
    assert value == 0 and x.grad is not None and torch.isfinite(x.grad).all()


def test_bfloat16_stays_near_float32(installed: Path) -> None:
    x, y = pictures(seed=1), pictures(seed=2)
    plain, short = LPIPS("squeeze")(x, y), LPIPS("squeeze", bf16=True)(x, y)
    assert short.dtype == torch.float32
    assert torch.allclose(plain, short, rtol=0.03) and not torch.equal(plain, short)


def test_a_surrounding_autocast_changes_nothing(installed: Path) -> None:
    distance, x, y = LPIPS("squeeze"), pictures(seed=1), pictures(seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        inside = distance(x, y)
    assert torch.equal(inside, distance(x, y))


@pytest.mark.parametrize("net", NETS)
def test_the_smallest_picture_works_and_a_smaller_one_is_refused(installed: Path, net: Any) -> None:
    distance, size = LPIPS(net), lpips.SMALLEST[net]
    assert torch.isfinite(distance(pictures(1, size), pictures(1, size, 2))).all()
    with pytest.raises(ValueError, match=f"{size} pixels"):
        distance(pictures(1, size - 1), pictures(1, size - 1, 2))


def test_a_missing_trunk_is_told_with_file_place_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match=r"vgg16-397923af\.pth.*397923af.*harness weights add") as told:
        LpipsLoss()
    assert told.value.file == "vgg16-397923af.pth" and told.value.where == tmp_path / "hub" / "checkpoints"


def test_a_flipped_byte_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = weight_files.install(tmp_path, "squeeze", monkeypatch)
    LPIPS("squeeze")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadWeights, match="damaged"):
        LPIPS("squeeze")


@pytest.mark.parametrize("fault", ["lacks", "unknown", "shape", "finite", "table", "readable"])
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    file = weight_files.install(tmp_path, "squeeze", monkeypatch)
    state = torch.load(file, weights_only=True)
    first = next(iter(state))
    match fault:
        case "lacks":
            del state[first]
        case "unknown":
            state["extra"] = torch.zeros(1)
        case "shape":
            state[first] = state[first][:1]
        case "finite":
            state[first][0] = torch.nan
        case "table":
            state = [torch.zeros(1)]
    torch.save(state, file)
    if fault == "readable":
        file.write_bytes(b"<html>not found</html>")
    weight_files.publish(file, "squeeze", monkeypatch)
    with pytest.raises(BadWeights, match=fault):
        LPIPS("squeeze")


def test_a_file_of_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    file = weight_files.install(tmp_path, "squeeze", monkeypatch)
    torch.save({"features.0.weight": Trap()}, file)
    weight_files.publish(file, "squeeze", monkeypatch)
    with pytest.raises(BadWeights, match="readable"):
        LPIPS("squeeze")
    assert not (tmp_path / "sprung").exists()


def test_the_perceptual_term_is_the_one_it_resolved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"kind": "auto", "net": "squeeze", "levels": 2}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert Perceptual.resolve(options) == {**options, "kind": "gradient"}
    assert type(Perceptual(net="squeeze").term).__name__ == "Gradient"
    weight_files.install(tmp_path, "squeeze", monkeypatch)
    assert Perceptual.resolve(options) == {**options, "kind": "lpips"}
    assert Perceptual.resolve({**options, "kind": "gradient"})["kind"] == "gradient"
    assert isinstance(Perceptual(net="squeeze").term, LpipsLoss)


def test_torch_home_is_found_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for settings in ({"TORCH_HOME": "/a"}, {"XDG_CACHE_HOME": "/b"}, {}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        assert pretrained.FILES["vgg"].path.parent == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_term_of_a_step_is_the_mean_over_both_people_and_their_pictures(installed: Path) -> None:
    rec = {person: pictures(seed=seed).requires_grad_() for person, seed in (("src", 1), ("dst", 3))}
    target = {person: pictures(seed=seed) for person, seed in (("src", 2), ("dst", 4))}
    empty: Any = {}
    step = Step(rec, target, empty, rec, empty, empty, empty, 0, 1, cast(Any, None))
    value = Perceptual(kind="lpips", net="squeeze")(step)
    distance = LPIPS("squeeze")
    expected = torch.cat([distance(rec[person], target[person]) for person in rec]).mean()
    assert torch.allclose(value, expected) and torch.allclose(value, LpipsLoss("squeeze")(step))
    value.backward()
    assert all(image.grad is not None and image.grad.abs().max() > 0 for image in rec.values())
