"""Energy that upsampling leaves on the lattice frequencies (a, b) / 2^j: checkerboards, grids and their harmonics.

A level-j grid repeats every 2^j pixels and has a or b odd. Its energy is read as the power in small discs around those
frequencies minus the power that the surroundings let one expect there. Odena, Dumoulin, Olah 2016 describe the cause.
Never average spectra over rings for this: that hides a 1 % grid (0.04 in ln units).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator
from metrics.info import MetricInfo
from metrics.lattice import (
    LEVELS,
    SMALLEST_SPACING,
    blur,
    free_bins,
    inject_grid,
    lattice_points,
    offsets,
    peak_radius,
    power_spectra,
    radius_scale,
    readable_levels,
)
from metrics.spectrum import spectrum_picture

__all__ = ["EVALUATORS", "LatticeEnergy", "inject_grid", "lattice_energy", "spectrum_picture"]

FLAG_DB = 3.0  # a grid is flagged above this, and above twice the data's own floor
INNER, OUTER = 5.0, 12.0  # bins: radii of the background's annulus
TRIM = 0.1
NOTHING = 1e-14  # power of 1e-5 % of the range: rounding


@dataclass(frozen=True)
class LatticeEnergy:
    """What `lattice_energy` found; index j - 1 is level j. Unreadable levels are NaN, with the reason in `reasons`.

    rms (levels,): sign * sqrt(|peak - background|), fraction of the range; db (levels,): 10 log10(peak / background);
    per_image (B, levels): the rms of each image alone, whose trimmed background is slightly low (a gamma's, not a
    normal's); peak, background (levels,): powers in squared fractions of the range.
    """

    rms: np.ndarray
    db: np.ndarray
    per_image: np.ndarray
    peak: np.ndarray
    background: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)

    def flags(self, floor: LatticeEnergy) -> np.ndarray:
        """(levels,) bool: above 3 dB and above twice the rms of `floor`, the data's own reading."""
        return (self.db > FLAG_DB) & (self.rms > 2 * np.fmax(floor.rms, 0))

    def sensitivity(self, floor: LatticeEnergy) -> np.ndarray:
        """(levels,) rms (fraction of the range) of the smallest grid that, added to these very images, raises a flag.

        A grid the images already hold does not count: what is added must raise the flag by itself. Grids add their
        power, since the calibration has slope 1; a test injects the grids and looks.
        """
        held = np.minimum(self.peak, self.background)
        for_db = self.background * 10 ** (FLAG_DB / 10) - held
        for_floor = (2 * np.fmax(floor.rms, 0)) ** 2 + self.background - held
        return np.sqrt(np.maximum(for_db, for_floor))


@lru_cache(maxsize=32)
def _geometry(height: int, width: int, levels: int):
    """Per level: bins of the discs, and groups (bins, weight) whose trimmed means, times weight, are the background.

    Radii are 3, 5 and 12 bins when the finest lattice is 16 bins or more apart (128 px for three levels) and shrink
    with it below, the disc to 2 at least (an on-bin line under a Hann window reaches 1.4 bins).
    """
    scale = radius_scale(height, width, levels)
    peak = peak_radius(height, width, levels)
    inner, outer = max(peak + 1, INNER * scale), OUTER * scale
    free = free_bins(height, width, levels)
    down, across = offsets(height, width, 0, 0)
    off_axes = (np.abs(down) > peak) & (np.abs(across) > peak)

    plan = []
    for level in range(1, levels + 1):
        discs, groups = [], []
        for a, b in lattice_points(level):
            down, across = offsets(height, width, a / 2**level, b / 2**level)
            distance = np.hypot(down, across)
            disc = distance <= peak
            discs.append(np.flatnonzero(disc))
            if a and b:
                ring = free & off_axes & (distance >= inner) & (distance <= outer)
                groups.append((np.flatnonzero(ring), int(disc.sum())))
                continue
            along, beside = (down, across) if b == 0 else (across, down)
            for offset in range(-int(peak), int(peak) + 1):  # edges run along the axes: compare with the same line
                line = np.abs(beside - offset) < 0.5
                ring = free & line & (np.abs(along) >= inner) & (np.abs(along) <= outer)
                groups.append((np.flatnonzero(ring), int((disc & line).sum())))
        if any(len(bins) == 0 for bins, _ in groups):
            raise ValueError(f"no background bins at level {level} of {height} x {width}")
        plan.append((torch.as_tensor(np.concatenate(discs)), [(torch.as_tensor(bins), n) for bins, n in groups]))
    return plan


def _trimmed_mean(values: Tensor) -> Tensor:
    cut = int(TRIM * values.shape[-1])
    ordered = values.sort(dim=-1).values
    return ordered[..., cut : values.shape[-1] - cut].mean(-1)


def _measure(power: Tensor, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Peak and background powers (B, levels) of (B, H, W) spectra; levels that cannot be read are NaN."""
    height, width = power.shape[-2:]
    readable = readable_levels(height, width, levels)
    peaks, grounds = np.full((2, len(power), levels), np.nan)
    flat = power.flatten(1).cpu()
    for level, (disc, groups) in enumerate(_geometry(height, width, readable)):
        peaks[:, level] = flat[:, disc].sum(1).numpy()
        grounds[:, level] = sum(_trimmed_mean(flat[:, bins]) * count for bins, count in groups).numpy()
    return peaks, grounds


def _signed_root(power: np.ndarray) -> np.ndarray:
    return np.sign(power) * np.sqrt(np.abs(power))


def lattice_energy(images: Tensor, truth: Tensor | None = None, levels: int = LEVELS) -> LatticeEnergy:
    """Grid energy of (B, C, H, W) images in [0, 1], or of their residual to `truth`, at levels 1..`levels`.

    A grid of rms amplitude q (fraction of the range) reads as rms q. Against a truth only what the model added is
    left; without one, the texture of the faces is the background. Power is averaged over channels and images first,
    dB are taken last; negative values are kept. Equal images and truth read 0 and 0 dB. Levels whose lattice is under
    8 bins apart are NaN (level 3 needs 64 px). Raises ValueError for shapes that do not fit and values not finite.
    """
    if images.dim() != 4 or (truth is not None and truth.shape != images.shape):
        shapes = [tuple(t.shape) for t in (images, truth) if t is not None]
        raise ValueError(f"expected images (B, C, H, W) and a truth of the same shape, got {shapes}")
    signal = images if truth is None else images.to(torch.float64) - truth.to(torch.float64)
    if not torch.isfinite(signal).all():
        raise ValueError("images hold values that are not finite")
    return _energy(power_spectra(signal), levels)


def _energy(power: Tensor, levels: int) -> LatticeEnergy:
    height, width = power.shape[-2:]
    peaks, grounds = _measure(power, levels)
    mean_peak, mean_ground = (part[0] for part in _measure(power.mean(0, keepdim=True), levels))
    ratio = np.maximum(mean_peak, NOTHING) / np.maximum(mean_ground, NOTHING)
    reasons = {
        level: f"level {level} needs {int(SMALLEST_SPACING) * 2**level} px or more, the images have {height} x {width}"
        for level in range(readable_levels(height, width, levels) + 1, levels + 1)
    }
    return LatticeEnergy(
        rms=_signed_root(mean_peak - mean_ground),
        db=10 * np.log10(ratio),
        per_image=_signed_root(peaks - grounds),
        peak=mean_peak,
        background=mean_ground,
        reasons=reasons,
    )


def _checkerboard(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    real = torch.cat([case.images[person] for person in PEOPLE])
    swaps = torch.cat([case.swap[way] for way in DIRECTIONS])
    if case.matched:
        output, wanted = swaps, torch.cat([case.truth(way) for way in DIRECTIONS])
    else:
        output, wanted = torch.cat([case.rec[person] for person in PEOPLE]), real
        for level in range(1, LEVELS + 1):
            case.note(f"cbe_rms_{level}", "without ground truth the residual is that of the reconstruction")
    # What a grid-free but blurred model would read: the residual is then all the detail that it lacks.
    # Remembered as plain arrays, which can be kept from one model to the next.
    residual_floor = LatticeEnergy(
        **case.remember("cbe_floor", lambda: vars(lattice_energy(blur(real, 1.0), real)), fixed=True)
    )
    image_floor = LatticeEnergy(**case.remember("cbe_image_floor", lambda: vars(lattice_energy(real)), fixed=True))
    readings = {
        "cbe": (lattice_energy(output, wanted), residual_floor),
        "cbe_image": (lattice_energy(swaps), image_floor),
    }
    sensitivity = {key: found.sensitivity(floor) for key, (found, floor) in readings.items()}
    flags = {key: found.flags(floor) for key, (found, floor) in readings.items()}
    for level in range(1, LEVELS + 1):
        j = level - 1
        for key, (found, floor) in readings.items():
            yield f"{key}_rms_{level}", 100 * found.rms[[j]]
            yield f"{key}_db_{level}", found.db[[j]]
            yield f"{key}_floor_rms_{level}", 100 * floor.rms[[j]]
            yield f"{key}_floor_db_{level}", floor.db[[j]]
            yield f"{key}_sensitivity_{level}", 100 * sensitivity[key][[j]]
            if level in found.reasons:
                for part in ("rms", "db", "floor_rms", "floor_db", "sensitivity"):
                    case.note(f"{key}_{part}_{level}", found.reasons[level])
        judge = "cbe_image" if sensitivity["cbe_image"][j] < sensitivity["cbe"][j] else "cbe"
        readable = not np.isnan(sensitivity[judge][j])
        yield f"cbe_flag_{level}", np.array([float(flags[judge][j]) if readable else np.nan])
        case.note(
            f"cbe_flag_{level}",
            f"judged by the {'images' if judge == 'cbe_image' else 'residual'}, the more sensitive input here"
            if readable
            else readings["cbe"][0].reasons[level],
        )


def _infos() -> Iterator[MetricInfo]:
    for level in range(1, LEVELS + 1):
        every = f"the grid that repeats every {2**level} px"
        title = f"Checkerboard {2**level} px"
        for key, where, of in (
            ("cbe", "residual to the truth", title),
            ("cbe_image", "swapped images themselves", f"{title} in the image"),
        ):
            yield MetricInfo(
                f"{key}_rms_{level}",
                "lower",
                "%",
                0.0,
                f"rms of {every}, in the {where}, in % of the range of values",
                ladder=f"grid_{level}",
                ends=(None, 0.0) if key == "cbe" else (None, None),
                title=f"{of}, RMS",
                decimals=3,
            )
            yield MetricInfo(
                f"{key}_db_{level}",
                "lower",
                "dB",
                0.0,
                f"{every} over its surroundings, in the {where}",
                ladder=f"grid_{level}",
                title=of,
                decimals=1,
            )
            same = "the same, read in data without any grid"
            floor = f"{of}, floor of the data"
            yield MetricInfo(f"{key}_floor_rms_{level}", "none", "%", None, same, title=f"{floor}, RMS", decimals=3)
            yield MetricInfo(f"{key}_floor_db_{level}", "none", "dB", None, same, title=floor, decimals=1)
            yield MetricInfo(
                f"{key}_sensitivity_{level}",
                "none",
                "%",
                None,
                f"the smallest such grid that this reading of the {where} detects",
                title=f"{of}, smallest that is seen",
                decimals=3,
            )
        yield MetricInfo(
            f"cbe_flag_{level}",
            "lower",
            "share of replicates",
            0.0,
            f"1 where {every} is above {FLAG_DB:g} dB and twice the floor",
            ladder=f"grid_{level}",
            ends=(1.0, 0.0),
            title=f"{title}, seen",
            decimals=2,
            bounds=(0.0, 1.0),
        )


EVALUATORS = {"checkerboard": Evaluator(_checkerboard, tuple(_infos()))}
