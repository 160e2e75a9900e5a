"""Plant checkerboards of known strength in pictures, and print the weakest that raises the flag, as Markdown.

    python docs/checkerboard_floors.py                                     photographs: natural, blurred, resized, JPEG
    python docs/checkerboard_floors.py results/quick/upsampling/trials/*   the swaps of trained models as well

Trials need their weights and the face sets beside them, as `harness run` leaves them; nothing is written.
"""

from __future__ import annotations

import io
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from harness.data.store import open_store
from harness.score.case import build_case
from harness.use.model import load_model
from metrics.case import DIRECTIONS, PEOPLE
from metrics.checkerboard import LatticeEnergy, lattice_energy
from metrics.lattice import LEVELS, blur, inject_checkerboard

STEP = 1.15  # between one planted strength and the next
PATTERNS = 4  # planted at each strength; half of them must be flagged
PHOTOGRAPHS = ("astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "moon")


def photographs(side: int = 64) -> Tensor:
    """Crops (N, 3, side, side) of the photographs that come with scikit-image."""
    import skimage.data

    crops = []
    for name in PHOTOGRAPHS:
        array = np.atleast_3d(getattr(skimage.data, name)())[..., :3]
        image = torch.as_tensor(array.copy()).permute(2, 0, 1).expand(3, -1, -1).float() / 255
        rows, columns = (range(0, n - side + 1, side) for n in image.shape[1:])
        crops += [image[:, i : i + side, j : j + side] for i in rows for j in columns][:12]
    return torch.stack(crops)


def compressed(images: Tensor, quality: int) -> Tensor:
    """The images after JPEG, whose blocks are 8 px wide."""
    found = []
    for image in (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        found.append(torch.as_tensor(np.asarray(Image.open(file)).copy()).permute(2, 0, 1).float() / 255)
    return torch.stack(found)


def natural() -> dict[str, Tensor]:
    """Photographs as they are, and as cameras and tools leave them."""
    crops = photographs()
    smaller = interpolate(crops, scale_factor=0.8125, mode="bicubic", antialias=True)
    return {
        "photographs": crops,
        "blurred by 1.5 px": blur(crops, 1.5),
        "resized down and up": interpolate(smaller, size=crops.shape[-1], mode="bilinear", align_corners=False),
        "JPEG, quality 85": compressed(crops, 85),
        "JPEG, quality 50": compressed(crops, 50),
    }


def smallest_seen(images: Tensor, truth: Tensor | None, floor: LatticeEnergy, level: int, near: float) -> float:
    """The weakest planted checkerboard (rms) of which half are flagged, looked for around `near`."""

    def seen(rms: float) -> bool:
        planted = [
            inject_checkerboard(images, level, sign * rms, seed) for seed in range(PATTERNS // 2) for sign in (-1, 1)
        ]
        flags = [lattice_energy(picture, truth).flags(floor)[level - 1] for picture in planted]
        return 2 * sum(flags) >= len(flags)

    rms = near
    while seen(rms) and rms > near / 10:
        rms /= STEP
    while not seen(rms) and rms < near * 10:
        rms *= STEP
    return rms


def read(images: Tensor, truth: Tensor | None, floor: LatticeEnergy) -> list[float]:
    """For each level what is read unplanted (dB, % rms), the stated and the found smallest (% rms)."""
    found = lattice_energy(images, truth)
    stated = found.sensitivity(floor)
    cells: list[float] = []
    for level in range(1, LEVELS + 1):
        j = level - 1
        weakest = smallest_seen(images, truth, floor, level, stated[j])
        cells += [found.db[j], 100 * found.rms[j], 100 * stated[j], 100 * weakest]
    return cells


def trained(folders: list[Path]) -> dict[str, np.ndarray]:
    """Rows of the swaps and of their residual to the truth, the mean over the trials of a variant."""
    rows = defaultdict(list)
    for folder in folders:
        model = load_model(folder)
        store = open_store(model.spec.data, model.record.seed, folder.parents[2])
        case = build_case(model.network, model.spec, store, torch.device("cpu"))
        real = torch.cat([case.images[person] for person in PEOPLE])
        swaps, truth = (torch.cat([of(way) for way in DIRECTIONS]) for of in (case.swap.__getitem__, case.truth))
        rows[f"swaps of {model.record.label}"].append(read(swaps, None, lattice_energy(real)))
        softer = lattice_energy(blur(real, 1.0), real)
        rows[f"the same minus the truth, {model.record.label}"].append(read(swaps, truth, softer))
    return {f"{label} ({len(some)})": np.mean(some, axis=0) for label, some in rows.items()}


def table(rows: Mapping[str, Sequence[float] | np.ndarray]) -> str:
    """Markdown: for each level dB, the strength read, and the smallest seen, stated and found."""
    parts = ("dB", "read", "smallest: stated, found")
    heads = [f"{2**level} px: {part}" for level in range(1, LEVELS + 1) for part in parts]
    lines = ["| pictures | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for label, numbers in rows.items():
        levels = np.reshape(numbers, (LEVELS, 4))
        cells = [c for db, rms, says, is_ in levels for c in (f"{db:.1f}", f"{rms:.2f}", f"{says:.2f}, {is_:.2f}")]
        lines.append("| " + " | ".join([label, *cells]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    with torch.no_grad():
        sets = natural()
        plain = lattice_energy(sets["photographs"])
        print(table({label: read(images, None, plain) for label, images in sets.items()}))
        print(table(trained([Path(folder) for folder in sys.argv[1:]])))
