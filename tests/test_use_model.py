"""A trained model in Python: shapes and ranges, and one clear line where something is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import finished_trial
import pytest
import torch

from harness.data.encoding import to_display, to_linear
from harness.errors import EnvironmentProblem, UsageError
from harness.ledger.records import Ledger
from harness.use.model import load_model


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    finished_trial.write(root)
    finished_trial.write(root, finished_trial.spec_of(encoding="linear"), suite="linear")
    finished_trial.write(root, finished_trial.spec_of(model={"mask": True}), suite="masked")
    return root


def folder(root: Path, suite: str = "tiny") -> Path:
    return root / suite / "trials" / "grid-s0-0123abcd"


def pictures(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_swap_is_the_decoding_of_the_encoding(root: Path) -> None:
    model, x = load_model(folder(root)), pictures()
    swap, z = model.swap(x, to="dst"), model.encode(x)
    assert swap.shape == x.shape and swap.min() >= 0 and swap.max() <= 1 and z.shape == (3, 8, 2, 2)
    assert torch.equal(model.decode(z, "dst"), swap) and not torch.equal(model.decode(z, "src"), swap)
    assert torch.allclose(swap, model.network.swap(x, "dst"), atol=1e-6) and not swap.requires_grad
    assert (model.size, model.people, model.latent_shape) == (32, ("src", "dst"), (8, 2, 2))


def test_a_single_picture_is_given_back_as_one_and_batches_do_not_matter(root: Path) -> None:
    model, x = load_model(folder(root)), pictures(70)
    assert torch.allclose(model.swap(x[0], "src"), model.swap(x, "src")[0], atol=1e-5)
    assert model.swap(x[0], "src").shape == (3, 32, 32)


def test_display_values_go_in_and_come_out_whatever_the_network_was_trained_on(root: Path) -> None:
    model, x = load_model(folder(root, "linear")), pictures()
    expected = to_display(model.network.swap(to_linear(x), "dst"))
    assert torch.allclose(model.swap(x, "dst"), expected, atol=1e-5)


def test_a_learned_mask_comes_with_the_swap(root: Path) -> None:
    swap, mask = load_model(folder(root, "masked")).swap_with_mask(pictures(), "dst")
    assert swap.shape == (3, 3, 32, 32) and mask is not None and mask.shape == (3, 1, 32, 32)
    assert load_model(folder(root)).swap_with_mask(pictures(), "dst")[1] is None


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (torch.rand(1, 3, 64, 64), r"\(B, 3, 32, 32\), not \(1, 3, 64, 64\)"),
        (torch.rand(1, 4, 32, 32), "not"),
        (torch.full((1, 3, 32, 32), 128.0), "from 0 to 1"),
        (torch.full((1, 3, 32, 32), 128, dtype=torch.uint8), "divide bytes by 255"),
        (torch.full((1, 3, 32, 32), float("nan")), "from 0 to 1"),
    ],
)
def test_pictures_of_another_kind_are_refused(root: Path, x: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load_model(folder(root)).swap(x, "dst")


def test_unknown_people_and_latents_are_refused(root: Path) -> None:
    model = load_model(folder(root))
    with pytest.raises(ValueError, match=r"nobody called 'me'.*src, dst"):
        model.swap(pictures(), to="me")
    with pytest.raises(ValueError, match=r"\(B, 8, 2, 2\), not \(1, 8, 3, 3\)"):
        model.decode(torch.zeros(1, 8, 3, 3), "dst")


def test_a_trial_is_found_by_the_beginning_of_its_name(tmp_path: Path) -> None:
    finished_trial.write(tmp_path)
    assert "grid-s0-0123abcd" in repr(load_model("grid-s0", root=tmp_path))
    with pytest.raises(UsageError, match="there is no trial 'gird'"):
        load_model("gird", root=tmp_path)


def test_a_trial_without_a_model_says_why(tmp_path: Path) -> None:
    finished_trial.write(tmp_path, status="diverged", reason="the loss is not finite at step 7", cost={})
    with pytest.raises(UsageError, match="it is diverged: the loss is not finite"):
        load_model("grid", root=tmp_path)


def test_damaged_or_missing_weights_are_named(tmp_path: Path) -> None:
    file = finished_trial.write(tmp_path).folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(EnvironmentProblem, match="damaged"):
        load_model("grid", root=tmp_path)
    file.unlink()
    with pytest.raises(EnvironmentProblem, match="cannot be read: No such file"):
        load_model("grid", root=tmp_path)


def test_a_record_of_another_version_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    spec = finished_trial.spec_of().model_dump(mode="json")
    spec["data"]["colour_of_hope"] = "green"
    record = finished_trial.write(tmp_path)
    Ledger(tmp_path / "tiny").write(replace(record, spec=spec))
    with pytest.raises(UsageError, match=r"made by another version.*data\.colour_of_hope"):
        load_model("grid", root=tmp_path)
