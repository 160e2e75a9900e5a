"""The turning head: one way through the poses that were seen, the same for driver, swap and truth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from harness.score.sweep import FRAMES, poses, save_webp, sweep
from metrics.case import Case

NAMES = ("yaw", "pitch", "mouth_open", "blink")
SEEN = torch.tensor([[-30.0, -5.0, 0.1, 0.0], [10.0, 1.0, 0.4, 0.3], [25.0, 4.0, 0.9, 1.0]])


def _case(**given: object) -> Case:
    blank = {person: torch.zeros(3, 3, 4, 4) for person in ("src", "dst")}
    alpha = {person: torch.ones(3, 1, 4, 4) for person in ("src", "dst")}
    swap = {"src->dst": blank["src"], "dst->src": blank["dst"]}
    return Case(images=blank, alpha=alpha, swap=swap, rec=blank, pose=SEEN, pose_names=NAMES, **given)  # type: ignore[arg-type]


def _render(person: str, pose: torch.Tensor) -> torch.Tensor:
    """Brightness tells the yaw in the red channel and the person in the green one."""
    red = ((pose[:, 0] + 40) / 80).view(-1, 1, 1).expand(-1, 4, 4)
    green = torch.full_like(red, 1.0 if person == "dst" else 0.0)
    return torch.stack([red, green, torch.zeros_like(red)], dim=1)


def test_the_head_turns_from_one_end_to_the_other_and_opens_its_mouth_on_the_way() -> None:
    way = poses(SEEN, NAMES)
    assert way.shape == (FRAMES, 4)
    assert way[0, 0] == -30 and way[-1, 0] == 25 and (way[1:, 0] > way[:-1, 0]).all()
    assert way[[0, -1], 2].tolist() == pytest.approx([0.1, 0.1]) and way[FRAMES // 2, 2] == pytest.approx(0.9)
    assert (way[:, 1] == 1.0).all() and (way[:, 3] == 0.0).all()  # the pitch of the middle, the eyes open


def test_rows_are_driver_swap_and_truth_at_the_same_poses() -> None:
    picture = sweep(_case(render=_render, encode=lambda x: x * 0.5, decode=lambda z, person: z))
    assert picture is not None and picture.shape == (3, 12, 4 * FRAMES)
    driver, swap, truth = picture.split(4, dim=1)
    assert torch.equal(driver[0], truth[0]) and torch.equal(swap, driver * 0.5)
    assert (driver[1] == 0).all() and (truth[1] == 1).all()


def test_photographs_have_no_sweep() -> None:
    assert sweep(_case(encode=lambda x: x, decode=lambda z, person: z)) is None


def test_the_file_holds_the_picture(tmp_path: Path) -> None:
    save_webp(tmp_path / "sweep.webp", torch.full((3, 12, 28), 0.5))
    with Image.open(tmp_path / "sweep.webp") as opened:
        assert opened.size == (28, 12) and abs(opened.convert("RGB").getpixel((3, 3))[0] - 128) < 4  # type: ignore[index]
