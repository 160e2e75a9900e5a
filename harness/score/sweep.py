"""One head turns and opens its mouth: driver, swap and exact truth at the same poses, for an animation."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from metrics.case import PEOPLE, Case, driver_of, target_of

FRAMES = 7
DIRECTION = "src->dst"
CLOSED = ("mouth_open", "blink")  # factors that rest at their low end; the others rest in the middle
QUALITY = 90


def poses(pose: Tensor, names: tuple[str, ...], frames: int = FRAMES) -> Tensor:
    """(frames, P): the yaws in `pose` (M, P) from end to end, the mouth open on the way, the rest still."""
    low, high, rest = pose.amin(0), pose.amax(0), pose.median(0).values.clone()
    for name in CLOSED:
        rest[names.index(name)] = low[names.index(name)]
    way = rest.repeat(frames, 1)
    yaw, mouth = names.index("yaw"), names.index("mouth_open")
    way[:, yaw] = torch.linspace(float(low[yaw]), float(high[yaw]), frames)
    opened = torch.sin(torch.linspace(0, math.pi, frames)) ** 2
    way[:, mouth] = low[mouth] + (high[mouth] - low[mouth]) * opened.to(way.dtype)
    return way


@torch.no_grad()
def sweep(case: Case) -> Tensor | None:
    """(3, 3 * H, FRAMES * W): rows driver, swap and truth. None where no face can be drawn in any pose."""
    if case.render is None or case.encode is None or case.decode is None or case.pose is None:
        return None
    way, render = poses(case.pose, case.pose_names), case.render
    turned = case.remember("sweep", lambda: {p: render(p, way) for p in PEOPLE}, fixed=True)
    driver, truth = turned[driver_of(DIRECTION)], turned[target_of(DIRECTION)]
    swap = case.decode(case.encode(driver), target_of(DIRECTION))
    rows = [torch.cat(list(row.float().cpu()), dim=-1) for row in (driver, swap, truth)]
    return torch.cat(rows, dim=-2)


def save_webp(path: Path, picture: Tensor) -> None:
    """Write (3, H, W) display values in [0, 1] as a WebP of good quality, atomically: an eighth of a PNG's size."""
    array = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    temporary = path.with_name(f".{path.name}.part")
    Image.fromarray(np.ascontiguousarray(array)).save(temporary, format="WEBP", quality=QUALITY, method=4)
    os.replace(temporary, path)
