"""How faithful pictures are: L1 of face and background, PSNR, SSIM and MS-SSIM, in display (sRGB) encoding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values
from metrics.identity import masked_l1
from metrics.info import MetricInfo

FACE_ALPHA = 0.9  # a face pixel has an alpha above this
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003, finest scale first
_RADIUS, _SIGMA = 5, 1.5  # the 11-tap window of Wang et al. 2004
_C1, _C2 = 0.01**2, 0.03**2  # for a range of 1
_MSE_FLOOR = 1e-10  # caps PSNR at 100 dB, so that identical pictures stay a number


def to_linear(display: Tensor) -> Tensor:
    """sRGB-encoded values to scene-linear ones (IEC 61966-2-1)."""
    return torch.where(display <= 0.04045, display / 12.92, ((display.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """(B,) peak signal-to-noise ratio in dB of (B, C, H, W) values with a range of 1; at most 100."""
    return -10 * (image - truth).square().flatten(1).mean(1).clamp_min(_MSE_FLOOR).log10()


def _ssim_parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C) mean SSIM and mean contrast-structure term, over the pixels that a whole window fits around."""
    channels = a.shape[1]
    if min(a.shape[-2:]) <= 2 * _RADIUS:
        raise ValueError(f"SSIM needs images larger than {2 * _RADIUS} pixels, got {tuple(a.shape[-2:])}")
    axis = torch.arange(-_RADIUS, _RADIUS + 1, dtype=a.dtype, device=a.device)
    window = torch.exp(-0.5 * (axis / _SIGMA) ** 2)
    window = window / window.sum()

    def blur(x: Tensor) -> Tensor:
        x = F.conv2d(x, window.reshape(1, 1, -1, 1).expand(x.shape[1], 1, -1, 1), groups=x.shape[1])
        return F.conv2d(x, window.reshape(1, 1, 1, -1).expand(x.shape[1], 1, 1, -1), groups=x.shape[1])

    mean_a, mean_b, aa, bb, ab = blur(torch.cat([a, b, a * a, b * b, a * b], dim=1)).split(channels, dim=1)
    variances = (aa - mean_a**2).clamp_min(0) + (bb - mean_b**2).clamp_min(0)
    structure = (2 * (ab - mean_a * mean_b) + _C2) / (variances + _C2)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """(B,) structural similarity of (B, C, H, W) images with a range of 1, mean over channels; 1 = equal.

    Gaussian window of 11 taps and sigma 1.5, population covariance (Wang et al. 2004). Raises ValueError for images
    of 10 pixels or fewer.
    """
    return _ssim_parts(a, b)[0].mean(1)


def scales_that_fit(height: int, width: int) -> int:
    """How many of the five MS-SSIM scales hold at least one window: 5 from 176 px on, 3 at 64 px."""
    return max(s for s in range(6) if s == 0 or min(height, width) >> (s - 1) > 2 * _RADIUS)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """(B,) multi-scale SSIM of (B, C, H, W) images with a range of 1 (Wang et al. 2003); 1 = equal.

    Images too small for five scales use the scales that fit with their weights renormalised, so values of different
    sizes under 176 px are not comparable. Raises ValueError when not even one scale fits.
    """
    scales = scales_that_fit(*a.shape[-2:])
    if scales == 0:
        raise ValueError(f"MS-SSIM needs images larger than {2 * _RADIUS} pixels, got {tuple(a.shape[-2:])}")
    weights = a.new_tensor(MS_SSIM_WEIGHTS[:scales])
    weights = weights / weights.sum()
    product = a.new_ones(a.shape[:2])
    for scale in range(scales):
        whole, structure = _ssim_parts(a, b)
        product = product * (whole if scale == scales - 1 else structure).clamp_min(0) ** weights[scale]
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return product.mean(1)


def _reconstruction(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    def people(value) -> np.ndarray:
        return np.concatenate([as_values(value(person)) for person in PEOPLE])

    def face(person: str) -> Tensor:
        return case.alpha[person] > FACE_ALPHA

    for name, mask in (("rec_l1_face", face), ("rec_l1_background", lambda p: ~face(p))):
        values = people(lambda p, mask=mask: masked_l1(case.rec[p], case.images[p], mask(p)))
        case.note_lost(name, values, f"the picture has no pixel of the {name.rsplit('_', 1)[-1]}")
        yield name, values
    yield "rec_psnr", people(lambda p: psnr(case.rec[p], case.images[p]))
    yield "rec_psnr_linear", people(lambda p: psnr(to_linear(case.rec[p]), to_linear(case.images[p])))
    yield "rec_ssim", people(lambda p: ssim(case.rec[p], case.images[p]))
    yield "rec_ms_ssim", people(lambda p: ms_ssim(case.rec[p], case.images[p]))
    scales = scales_that_fit(*case.images["src"].shape[-2:])
    if scales < len(MS_SSIM_WEIGHTS):
        case.note("rec_ms_ssim", f"images of this size hold {scales} of 5 scales; not comparable with larger ones")


def _swap_quality(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    yield "swap_psnr", np.concatenate([as_values(psnr(case.swap[way], case.truth(way))) for way in DIRECTIONS])
    yield "swap_ssim", np.concatenate([as_values(ssim(case.swap[way], case.truth(way))) for way in DIRECTIONS])


EVALUATORS = {
    "reconstruction": Evaluator(
        _reconstruction,
        (
            MetricInfo(
                "rec_l1_face",
                "lower",
                "",
                0.0,
                f"mean absolute error over face pixels (alpha > {FACE_ALPHA})",
                title="Reconstruction L1, face",
                decimals=4,
                ladder="rec_blur",
                controls={"poor_reconstruction": (0.01, float("inf"))},
                ends=(None, 0.0),
                bounds=(0.0, None),
            ),
            MetricInfo(
                "rec_l1_background",
                "lower",
                "",
                0.0,
                "mean absolute error over the other pixels",
                title="Reconstruction L1, background",
                decimals=4,
                ladder="rec_blur",
                ends=(None, 0.0),
                bounds=(0.0, None),
            ),
            MetricInfo(
                "rec_psnr",
                "higher",
                "dB",
                100.0,
                "whole frame, display encoding; capped at 100",
                title="Reconstruction PSNR",
                decimals=2,
                ladder="rec_blur",
                controls={"poor_reconstruction": (float("-inf"), 40.0)},
                bounds=(None, 100.0),
            ),
            MetricInfo(
                "rec_psnr_linear",
                "higher",
                "dB",
                100.0,
                "whole frame, scene-linear values; capped at 100",
                title="Reconstruction PSNR, linear light",
                decimals=2,
                ladder="rec_blur",
                bounds=(None, 100.0),
            ),
            MetricInfo(
                "rec_ssim",
                "higher",
                "",
                1.0,
                "structural similarity, display encoding",
                title="Reconstruction SSIM",
                decimals=3,
                ladder="rec_blur",
                controls={"poor_reconstruction": (float("-inf"), 0.98)},
                ends=(None, 1.0),
                bounds=(None, 1.0),
            ),
            MetricInfo(
                "rec_ms_ssim",
                "higher",
                "",
                1.0,
                "multi-scale SSIM over the scales that fit",
                title="Reconstruction MS-SSIM",
                decimals=3,
                ladder="rec_blur",
                controls={"poor_reconstruction": (float("-inf"), 0.99)},
                ends=(None, 1.0),
                bounds=(None, 1.0),
            ),
        ),
    ),
    "swap_quality": Evaluator(
        _swap_quality,
        (
            MetricInfo(
                "swap_psnr",
                "higher",
                "dB",
                100.0,
                "swap to the exact truth, whole frame",
                title="Swap PSNR",
                decimals=2,
                ladder="blend",
                bounds=(None, 100.0),
            ),
            MetricInfo(
                "swap_ssim",
                "higher",
                "",
                1.0,
                "structural similarity of the swap to the exact truth",
                title="Swap SSIM",
                decimals=3,
                ladder="blend",
                ends=(None, 1.0),
                bounds=(None, 1.0),
            ),
        ),
        frozenset({"truth"}),
    ),
}
