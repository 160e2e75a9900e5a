"""Terms that look at the swap: identity, landmarks and cycle on built-in faces with a known answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_step import step_of
from tiny_training import spec_of
from torch import Tensor, nn

from harness.data.encoding import to_display
from harness.data.store import open_store
from harness.errors import EnvironmentProblem, UsageError
from harness.score.weights import preflight
from models.step import Step
from models.swap_losses import Cycle, IdentityEmbedding, Landmark
from models.swapper import PEOPLE, Latent
from models.variants import grid

WAYS = (("src", "dst"), ("dst", "src"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """{person: (8, 3, 64, 64)}: two built-in people, far apart, in the same eight poses."""
    data = spec_of(data={"size": 64, "pair": "far", "frames": 16, "eval_frames": 8}).data
    store = open_store(data, 0, tmp_path_factory.mktemp("root"))
    assert store.eval is not None
    return {p: to_display(torch.from_numpy(np.array(store.eval[p], np.float32))[:, :3], "srgb") for p in PEOPLE}


def swapped(faces: dict[str, Tensor], swap: dict[str, Tensor], **values) -> Step:
    """A step whose swap into each person is given."""
    step = step_of(1, 10, inputs=faces, target=faces, rec=values.pop("rec", faces), **values)
    step._swaps = {(driver, target): swap[target] for driver, target in WAYS}
    return step


def other(faces: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"src": faces["dst"], "dst": faces["src"]}


def test_identity_term_is_zero_for_the_targets_own_pictures_and_large_for_the_drivers(faces: dict[str, Tensor]) -> None:
    exact, leaking = swapped(faces, faces), swapped(faces, other(faces))
    by_image = IdentityEmbedding(toward="image")
    assert float(by_image(exact)) == pytest.approx(0, abs=1e-5)
    for loss in (by_image, IdentityEmbedding()):
        assert float(loss(exact)) < 0.1 < 0.3 < float(loss(leaking))
        between = swapped(faces, {p: (faces["src"] + faces["dst"]) / 2 for p in PEOPLE})
        assert float(loss(exact)) < float(loss(between)) < float(loss(leaking))


def test_identity_term_looks_in_both_directions(faces: dict[str, Tensor]) -> None:
    loss = IdentityEmbedding()
    ends = [float(loss(swapped(faces, swap))) for swap in (faces, other(faces))]
    one = {"src": faces["src"], "dst": faces["src"]}  # right into src, wrong into dst
    two = {"src": faces["dst"], "dst": faces["dst"]}
    found = [float(loss(swapped(faces, swap))) for swap in (one, two)]
    assert sum(found) == pytest.approx(sum(ends), rel=1e-4) and min(found) > ends[0] and max(found) < ends[1]


@pytest.mark.parametrize("size", [32, 64, 96])
def test_identity_gradient_moves_the_swap_towards_the_target(faces: dict[str, Tensor], size: int) -> None:
    if size != 64:
        faces = {p: nn.functional.interpolate(x, (size, size), mode="area") for p, x in faces.items()}
    loss = IdentityEmbedding()
    swap = {p: x.clone().requires_grad_() for p, x in other(faces).items()}
    value = loss(swapped(faces, swap))
    value.backward()
    assert all(p.grad is None and not p.requires_grad for p in loss.embed.parameters()) and not loss.embed.training
    with torch.no_grad():
        moved = {p: x - 0.5 * x.grad / x.grad.flatten(1).norm(dim=1).amax() for p, x in swap.items()}  # type: ignore[union-attr]
        assert float(loss(swapped(faces, moved))) < float(value)
    toward = {p: faces[p] - other(faces)[p] for p in PEOPLE}
    assert sum(float((swap[p].grad * toward[p]).sum()) for p in PEOPLE) < 0  # type: ignore[operator]


def test_the_recogniser_that_scores_cannot_train() -> None:
    with pytest.raises(ValueError, match=r"'judge' only scores"):
        IdentityEmbedding(recogniser="judge")  # type: ignore[arg-type]


def test_a_reader_of_other_faces_is_told_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    wanted = {"identity_embedding": {"weight": 1.0, "recogniser": "facenet"}}
    with pytest.raises(UsageError, match=r"'identity_embedding' does not fit the data.*photographs only"):
        preflight([spec_of(loss=wanted)])
    with pytest.raises(UsageError, match="reads the built-in faces only; for photographs: recogniser: facenet"):
        preflight([spec_of(loss={"identity_embedding": {"recogniser": "trainer"}}, data={"source": "my"})])
    with pytest.raises(UsageError, match=r"'landmark' does not fit the data.*built-in faces only"):
        preflight([spec_of(loss={"landmark": 1.0}, data={"source": "my"})])
    with pytest.raises(EnvironmentProblem, match=r"casia-webface\.pt"):
        preflight([spec_of(loss=wanted, data={"source": "my"})])


def shifted(faces: dict[str, Tensor], pixels: int) -> dict[str, Tensor]:
    return {p: torch.roll(x, pixels, dims=3) for p, x in faces.items()}


def test_landmark_term_is_zero_for_the_drivers_own_picture_and_grows_with_a_known_shift(faces) -> None:
    loss = Landmark()
    at = [float(loss(swapped(faces, shifted(other(faces), n)))) for n in (0, 2, 4)]
    assert at[0] == pytest.approx(0, abs=1e-8) and at[0] < at[1] < at[2]
    with torch.no_grad():
        points = loss.read(torch.cat(list(faces.values())))["landmarks"]
    eyes = float((points[:, loss.eyes[0]] - points[:, loss.eyes[1]]).norm(dim=1).mean())
    assert at[2] == pytest.approx((4 / 64 / eyes) ** 2, rel=0.35)  # as exact as the regressor follows a shift


def test_landmark_term_compares_what_it_is_asked_to(faces: dict[str, Tensor]) -> None:
    wrong = shifted(faces, 4)
    on_swap, on_rec = swapped(faces, wrong), swapped(faces, other(faces), rec=wrong)
    swap, rec, both = Landmark(of="swap"), Landmark(of="rec"), Landmark(of="both")
    assert float(swap(on_rec)) < 1e-6 < 1e-2 < float(rec(on_rec))
    assert float(rec(on_swap)) < 1e-6 < 1e-2 < float(swap(on_swap))
    assert float(both(on_rec)) == pytest.approx(float(rec(on_rec)) / 2, rel=0.05)
    assert float(Landmark(of="rec", pose=1.0)(on_rec)) > float(rec(on_rec))
    assert float(Landmark(pose=1.0)(swapped(faces, other(faces)))) == pytest.approx(0, abs=1e-8)


def test_landmark_gradient_reaches_the_swap_and_not_the_regressor(faces: dict[str, Tensor]) -> None:
    loss = Landmark(pose=0.1)
    swap = {p: x.clone().requires_grad_() for p, x in shifted(other(faces), 3).items()}
    value = loss(swapped(faces, swap))
    value.backward()
    assert all(p.grad is None and not p.requires_grad for p in loss.read.parameters()) and not loss.read.training
    with torch.no_grad():
        moved = {p: x - 0.5 * x.grad / x.grad.flatten(1).norm(dim=1).amax() for p, x in swap.items()}  # type: ignore[union-attr]
        assert float(loss(swapped(faces, moved))) < float(value)


def test_bf16_readers_say_nearly_the_same(faces: dict[str, Tensor]) -> None:
    for loss in (IdentityEmbedding(), Landmark()):
        precise, coarse = (swapped(faces, shifted(faces, 4), precision=kind) for kind in ("fp32", "bf16"))
        assert float(loss(coarse)) == pytest.approx(float(loss(precise)), rel=0.1)


class Mirror(nn.Module):
    """A swapper that is the identity: the latent is the picture, and decoders return it, brighter by `extra`."""

    def __init__(self, extra: float = 0.0) -> None:
        super().__init__()
        self.extra = nn.Parameter(torch.tensor(extra))

    def encode(self, x: Tensor) -> Latent:
        return Latent(x, torch.zeros_like(x))

    def decode(self, z: Tensor, person: str) -> Tensor:
        return z + (self.extra if person == "dst" else 0.0)


def test_cycle_is_zero_where_the_way_back_leads_home() -> None:
    pictures = {p: torch.rand(2, 3, 16, 16) for p in PEOPLE}
    known = {"inputs": pictures, "target": pictures, "rec": pictures, "z": pictures, "mu": pictures}
    assert float(Cycle()(step_of(model=Mirror(), **known)).detach()) == 0  # type: ignore[arg-type]
    # Both ways pass the brighter decoder once: 0.25 over all face pixels, and there is no background.
    assert float(Cycle()(step_of(model=Mirror(0.25), **known)).detach()) == pytest.approx(0.25, rel=1e-5)  # type: ignore[arg-type]


def test_cycle_can_leave_the_swap_as_it_is_and_moves_no_statistics() -> None:
    torch.manual_seed(0)
    model = grid(16, 3, width=4, channels=4)
    before = {name: value.clone() for name, value in model.named_buffers()}
    for detach in (False, True):
        z = {p: torch.randn(2, 4, 3, 3, requires_grad=True) for p in PEOPLE}
        Cycle(detach=detach)(step_of(model=model, z=z)).backward()
        assert all((v.grad is None) == detach for v in z.values())
    assert all(torch.equal(before[name], value) for name, value in model.named_buffers())
    assert model.encoder.training and all(module.training for module in model.modules())


def test_a_swap_is_decoded_once_for_all_terms() -> None:
    calls: list[str] = []

    class Counted(Mirror):
        def decode(self, z: Tensor, person: str) -> Tensor:
            calls.append(person)
            return super().decode(z, person)

    step = step_of(model=Counted(), z={p: torch.rand(2, 3, 16, 16) for p in PEOPLE})  # type: ignore[arg-type]
    first = step.swap("src", "dst")
    assert step.swap("src", "dst") is first and len(step.swaps()) == 4 and sorted(calls) == ["dst", "src"]


def test_linear_pictures_are_encoded_for_readers() -> None:
    x = torch.linspace(0, 1, 50).reshape(1, 1, 5, 10).requires_grad_()
    shown = step_of(encoding="linear").display(x)
    torch.testing.assert_close(shown, to_display(x.detach(), "srgb"))
    shown.sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and (x.grad > 0).all()
    assert step_of().display(x) is x
