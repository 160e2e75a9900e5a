"""Energy that upsampling leaves on the lattice frequencies (a, b) / 2^j: checkerboards, and their harmonics.

A level-j checkerboard repeats every 2^j pixels and has a or b odd. Its energy is read as the power in small discs
around those frequencies over the power that the free frequencies let one expect there (`metrics.background`), each bin
weighing the same: pictures are loud where checkerboards are not, so that a plain sum of powers would read the pictures.
Odena, Dumoulin, Olah 2016 describe the cause.
Never average spectra over rings for this: that hides a 1 % checkerboard (0.04 in ln units).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import gammaincinv
from torch import Tensor

from metrics.background import ROUNDING, expected_power
from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator
from metrics.info import MetricInfo
from metrics.lattice import (
    LEVELS,
    SMALLEST_SPACING,
    Spectra,
    blur,
    free_bins,
    inject_checkerboard,
    lattice_points,
    offsets,
    peak_radius,
    readable_levels,
    spectra,
)
from metrics.spectrum import spectrum_picture

__all__ = ["EVALUATORS", "LatticeEnergy", "inject_checkerboard", "lattice_energy", "spectrum_picture"]

NOTHING = 1e-14  # power of 1e-5 % of the range: what is left of 0 after the arithmetic
FLAG_DB = 3.0  # a checkerboard is flagged this far above its surroundings, and above what the data themselves show
CHANCE = 1e-3  # probability that noise without a checkerboard is flagged at a level, however few the pictures
COARSE = 1 / 8  # cycles per pixel under which aligned faces resemble each other anyway


@dataclass(frozen=True)
class LatticeEnergy:
    """What `lattice_energy` found; index j - 1 is level j. Unreadable levels are NaN, with the reason in `reasons`.

    db (levels,): 10 log10 of the power over the background, each bin weighing the same. rms (levels,): signed strength
    of the checkerboard, even over its level's frequencies, that makes this db; fraction of the range. per_pattern,
    per_wave (levels,): what such a checkerboard, and a single wave where the background is highest, add to the ratio
    behind db, for each unit of power. pictures: how many different ones there are; the same one N times counts as one.
    """

    rms: np.ndarray
    db: np.ndarray
    per_pattern: np.ndarray
    per_wave: np.ndarray
    pictures: float
    reasons: dict[int, str] = field(default_factory=dict)

    def threshold(self, floor: LatticeEnergy) -> np.ndarray:
        """(levels,) dB from which on a checkerboard is flagged, over the background and over `floor`, the data's.

        3, or more where the pictures are so few, or so alike, that chance reaches 3: their power in a level's discs, of
        which (a, b) and (-a, -b) are one, is about gamma distributed. Single real pictures reach 8 at level 1.
        """
        discs = np.array([len(lattice_points(level)) / 2 for level in range(1, len(self.db) + 1)])
        chance = 10 * np.log10(gammaincinv(self.pictures * discs, 1 - CHANCE) / (self.pictures * discs))
        return np.maximum(FLAG_DB, chance) + np.fmax(floor.db, 0)

    def flags(self, floor: LatticeEnergy) -> np.ndarray:
        """(levels,) bool: above the threshold."""
        return self.db > self.threshold(floor)

    def sensitivity(self, floor: LatticeEnergy, wave: bool = False) -> np.ndarray:
        """(levels,) rms (fraction of the range) of the smallest checkerboard that, added to these images, is flagged.

        `wave`: of the smallest single wave instead, at the frequency where the pictures hide it best. What the images
        already hold does not count: what is added must raise the flag by itself. A test injects them and looks.
        """
        lacking = 10 ** (self.threshold(floor) / 10) - np.minimum(10 ** (self.db / 10), 1)
        return np.sqrt(lacking / (self.per_wave if wave else self.per_pattern))


class Disc(NamedTuple):
    """The flat bins around a lattice frequency, and the share of a wave's power that each of them holds."""

    bins: np.ndarray
    shares: np.ndarray


@lru_cache(maxsize=32)
def _discs(height: int, width: int, levels: int) -> list[list[Disc]]:
    """Per level, the discs around each of its frequencies.

    The radius is 3 bins when the finest lattice is 16 bins or more apart (128 px for three levels) and shrinks below,
    to 2 at least (an on-bin line under a Hann window reaches 1.4 bins).
    """
    peak = peak_radius(height, width, levels)
    return [
        [_disc(*offsets(height, width, a / 2**level, b / 2**level), peak) for a, b in lattice_points(level)]
        for level in range(1, levels + 1)
    ]


def _disc(down: np.ndarray, across: np.ndarray, radius: float) -> Disc:
    bins = np.flatnonzero(np.hypot(down, across) <= radius)
    shares = np.square(_hann(down.ravel()[bins]) * _hann(across.ravel()[bins]))
    return Disc(bins, shares / shares.sum())


def _hann(away: np.ndarray) -> np.ndarray:
    """Amplitude of a wave's spectrum `away` bins from it, under a Hann window; 1 at its own bin."""
    near = np.abs(np.abs(away) - 1) < 1e-6
    return np.where(near, 0.5, np.sinc(away) / np.where(near, 1, 1 - away**2))


def lattice_energy(images: Tensor, truth: Tensor | None = None, levels: int = LEVELS) -> LatticeEnergy:
    """Checkerboard energy of (B, C, H, W) images in [0, 1], or of their residual to `truth`, at levels 1..`levels`.

    A checkerboard of rms amplitude q (fraction of the range) reads as rms q. Against a truth only what the model added
    is left; without one, the texture of the faces is the background. Power is averaged over channels and images first,
    dB are taken last; negative values are kept. Equal images and truth read 0 and 0 dB. Levels whose lattice is under
    8 bins apart are NaN (level 3 needs 64 px). Raises ValueError for shapes that do not fit and values not finite.
    """
    if images.dim() != 4 or (truth is not None and truth.shape != images.shape):
        shapes = [tuple(t.shape) for t in (images, truth) if t is not None]
        raise ValueError(f"expected images (B, C, H, W) and a truth of the same shape, got {shapes}")
    signal = images if truth is None else images.to(torch.float64) - truth.to(torch.float64)
    if not torch.isfinite(signal).all():
        raise ValueError("images hold values that are not finite")
    return _energy(spectra(signal), levels)


def _energy(found: Spectra, levels: int) -> LatticeEnergy:
    power = found.power.mean(0).cpu().numpy()
    height, width = power.shape
    readable = readable_levels(height, width, levels)
    read = np.full((4, levels), np.nan)
    if readable:
        dim = ROUNDING / power.size
        ground = expected_power(power, readable).ravel() + dim
        white = (power.ravel() + dim) / ground
        for level, discs in enumerate(_discs(height, width, readable)):
            bins = np.concatenate([disc.bins for disc in discs])
            gains = np.array([np.sum(disc.shares / ground[disc.bins]) for disc in discs]) / len(bins)
            ratio = white[bins].mean()
            read[:, level] = _signed_root((ratio - 1) / gains.mean()), 10 * np.log10(ratio), gains.mean(), gains.min()
    reasons = {
        level: f"level {level} needs {int(SMALLEST_SPACING) * 2**level} px or more, the images have {height} x {width}"
        for level in range(readable + 1, levels + 1)
    }
    rms, db, per_pattern, per_wave = read
    return LatticeEnergy(rms, db, per_pattern, per_wave, _different(found, power, readable), reasons)


def _different(found: Spectra, power: np.ndarray, levels: int) -> float:
    """How many different pictures: N independent ones share 1/N of their power, N copies of one share all of it."""
    height, width = power.shape
    down, across = offsets(height, width, 0, 0)
    fine = np.hypot(down / height, across / width) > COARSE
    heard = free_bins(height, width, levels) & fine & (power > NOTHING / power.size)
    shared = np.mean(found.common.cpu().numpy()[heard] / power[heard]) if heard.any() else 0.0
    return float(np.clip(1 / max(shared, 1e-9), 1, len(found.power)))


def _signed_root(power: float) -> float:
    return float(np.sign(power) * np.sqrt(np.abs(power))) if abs(power) > NOTHING else 0.0


def _checkerboard(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    real = torch.cat([case.images[person] for person in PEOPLE])
    swaps = torch.cat([case.swap[way] for way in DIRECTIONS])
    if case.matched:
        output, wanted = swaps, torch.cat([case.truth(way) for way in DIRECTIONS])
    else:
        output, wanted = torch.cat([case.rec[person] for person in PEOPLE]), real
        for level in range(1, LEVELS + 1):
            case.note(f"checkerboard_rms_{level}", "without ground truth the residual is that of the reconstruction")
    # What a checkerboard-free but blurred model would read: the residual is then all the detail that it lacks.
    # Remembered as plain arrays, which can be kept from one model to the next.
    residual_floor = LatticeEnergy(
        **case.remember("checkerboard_floor", lambda: vars(lattice_energy(blur(real, 1.0), real)), fixed=True)
    )
    image_floor = LatticeEnergy(
        **case.remember("checkerboard_image_floor", lambda: vars(lattice_energy(real)), fixed=True)
    )
    readings = {
        "checkerboard": (lattice_energy(output, wanted), residual_floor),
        "checkerboard_image": (lattice_energy(swaps), image_floor),
    }
    sensitivity = {key: found.sensitivity(floor) for key, (found, floor) in readings.items()}
    hidden = {key: found.sensitivity(floor, wave=True) for key, (found, floor) in readings.items()}
    flags = {key: found.flags(floor) for key, (found, floor) in readings.items()}
    for level in range(1, LEVELS + 1):
        j = level - 1
        for key, (found, floor) in readings.items():
            if level in found.reasons:
                for part in ("rms", "db", "floor_rms", "floor_db", "sensitivity", "hidden_wave"):
                    case.note(f"{key}_{part}_{level}", found.reasons[level])
            yield f"{key}_rms_{level}", 100 * found.rms[[j]]
            yield f"{key}_db_{level}", found.db[[j]]
            yield f"{key}_floor_rms_{level}", 100 * floor.rms[[j]]
            yield f"{key}_floor_db_{level}", floor.db[[j]]
            yield f"{key}_sensitivity_{level}", 100 * sensitivity[key][[j]]
            yield f"{key}_hidden_wave_{level}", 100 * hidden[key][[j]]
        images_judge = sensitivity["checkerboard_image"][j] < sensitivity["checkerboard"][j]
        judge = "checkerboard_image" if images_judge else "checkerboard"
        readable = not np.isnan(sensitivity[judge][j])
        case.note(
            f"checkerboard_flag_{level}",
            f"judged by the {'images' if images_judge else 'residual'}, the more sensitive input here "
            f"({readings[judge][0].pictures:.0f} different pictures)"
            if readable
            else readings["checkerboard"][0].reasons[level],
        )
        yield f"checkerboard_flag_{level}", np.array([float(flags[judge][j]) if readable else np.nan])


def _infos() -> Iterator[MetricInfo]:
    for level in range(1, LEVELS + 1):
        every = f"the checkerboard of period {2**level} px"
        title = f"Checkerboard {2**level} px"
        for key, where, of in (
            ("checkerboard", "residual to the truth", title),
            ("checkerboard_image", "swapped images themselves", f"{title} in the image"),
        ):
            yield MetricInfo(
                f"{key}_rms_{level}",
                "lower",
                "%",
                0.0,
                f"strength (rms) of {every}, in the {where}, in % of the range of values",
                ladder=f"checkerboard_{level}",
                ends=(None, 0.0) if key == "checkerboard" else (None, None),
                title=f"{of}, RMS",
                decimals=3,
            )
            yield MetricInfo(
                f"{key}_db_{level}",
                "lower",
                "dB",
                0.0,
                f"{every} over its surroundings, in the {where}",
                ladder=f"checkerboard_{level}",
                title=of,
                decimals=1,
            )
            same = "the same, read in data without any checkerboard"
            floor = f"{of}, floor of the data"
            yield MetricInfo(f"{key}_floor_rms_{level}", "none", "%", None, same, title=f"{floor}, RMS", decimals=3)
            yield MetricInfo(f"{key}_floor_db_{level}", "none", "dB", None, same, title=floor, decimals=1)
            yield MetricInfo(
                f"{key}_sensitivity_{level}",
                "none",
                "%",
                None,
                f"the smallest such checkerboard that this reading of the {where} detects",
                title=f"{of}, smallest that is seen",
                decimals=3,
            )
            yield MetricInfo(
                f"{key}_hidden_wave_{level}",
                "none",
                "%",
                None,
                f"a single wave of {every} stays unseen in the {where} up to this, where they hide it best",
                title=f"{of}, single wave that may hide",
                decimals=3,
            )
        yield MetricInfo(
            f"checkerboard_flag_{level}",
            "lower",
            "share of replicates",
            0.0,
            f"1 where {every} stands {FLAG_DB:g} dB above its background and above the data's own",
            ladder=f"checkerboard_{level}",
            ends=(1.0, 0.0),
            controls=dict.fromkeys(("copy", "mean_face", "ghost", "blurred_copy", "other_pose"), (0.0, 0.0)),
            title=f"{title}, seen",
            decimals=2,
            bounds=(0.0, 1.0),
        )


EVALUATORS = {"checkerboard": Evaluator(_checkerboard, tuple(_infos()))}
