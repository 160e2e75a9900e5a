"""Training objectives. A loss is a class: its constructor's keywords are a suite's options, calling it gives a scalar.

Every term reads one `Step`; weights live in the suite. Terms are means, so that their size does not depend on
resolution or batch.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from models.step import Count, Factor, Ramp, Step, over_people
from models.swapper import Swapper


class FaceL1:
    """Face-weighted L1: mean |error| over face pixels (alpha > 0.9) plus `background` times that over the other pixels.

    Each mean is over its own pixel count, over the whole batch. The source's sentence has two readings: `per: value`
    averages the error of a pixel over its three channels, `per: pixel` adds them up, which is three times as much.
    """

    def __init__(self, background: Factor = 0.1, per: Literal["value", "pixel"] = "value"):
        self.background, self.per = background, per

    def __call__(self, step: Step) -> Tensor:
        return over_people(step, lambda p: self.of(step.rec[p], step.target[p], step.alpha[p]))

    def of(self, rec: Tensor, target: Tensor, alpha: Tensor) -> Tensor:
        """(B, 3, H, W) twice and (B, 1, H, W) -> scalar."""
        error = (rec - target).abs().mean(dim=1, keepdim=True)
        if self.per == "pixel":
            error = error * rec.shape[1]
        face = (alpha > 0.9).to(error.dtype)
        inside = (error * face).sum() / face.sum().clamp_min(1.0)
        outside = (error * (1 - face)).sum() / (1 - face).sum().clamp_min(1.0)
        return inside + self.background * outside


class L1:
    """Unweighted twin of the face-weighted L1: mean |error| over all pixels."""

    def __call__(self, step: Step) -> Tensor:
        return over_people(step, lambda p: (step.rec[p] - step.target[p]).abs().mean())


class Gradient:
    """Multi-scale gradient difference: mean |difference of horizontal and vertical differences| over `levels` octaves.

    A cheap perceptual term without pretrained weights: it asks for edges where the target has edges (after Mathieu et
    al. 2016).
    """

    def __init__(self, levels: Count = 3):
        self.levels = levels

    def __call__(self, step: Step) -> Tensor:
        return over_people(step, lambda p: self.of(step.rec[p] - step.target[p]))

    def of(self, error: Tensor) -> Tensor:
        """Error picture (B, 3, H, W) -> scalar; differencing is linear, so it is done once, on the error."""
        total = error.new_zeros(())
        for level in range(self.levels):
            if level:
                error = nn.functional.avg_pool2d(error, 2)
            total = total + error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        return total / self.levels


class Structural:
    """DSSIM: (1 - SSIM) / 2 over uniform windows of `window` pixels, in [0, 1] (Wang et al. 2004, not Gaussian).

    Windows are taken every `stride` pixels. Their means are products with banded matrices: on a CPU a quarter of the
    time of a pooling layer.
    """

    def __init__(self, window: Count = 7, stride: Count = 2):
        self.window, self.stride = window, stride

    def __call__(self, step: Step) -> Tensor:
        return over_people(step, lambda p: self.of(step.rec[p], step.target[p]))

    def of(self, x: Tensor, y: Tensor) -> Tensor:
        """Two pictures (B, 3, H, W) in [0, 1] -> scalar."""
        c1, c2 = 0.01**2, 0.03**2
        with torch.no_grad():  # the target's share of the work needs no graph
            my, yy = self._means(torch.cat([y, y * y])).chunk(2)
        mx, xx, xy = self._means(torch.cat([x, x * x, x * y])).chunk(3)
        mxy, mxx, myy = mx * my, mx * mx, my * my
        ssim = (2 * mxy + c1) * (2 * (xy - mxy) + c2) / ((mxx + myy + c1) * (xx - mxx + yy - myy + c2))
        return (1 - ssim.mean()) / 2

    def _means(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, h, w): the mean of every window."""
        rows, cols = (self._band(n, x.device) for n in x.shape[-2:])
        return rows @ x.contiguous() @ cols.T

    def _band(self, n: int, device: torch.device) -> Tensor:
        start = torch.arange(0, n - self.window + 1, self.stride, device=device)[:, None]
        at = torch.arange(n, device=device)[None]
        return ((at >= start) & (at < start + self.window)).float() / self.window


class KL:
    """KL(q || N(0, I)) averaged over latent elements, in nats an element.

    `free_bits`: elements under this many nats cost nothing more (Kingma et al. 2016). `ramp`: the fraction of the run
    over which the term grows linearly from 0 to its weight.
    """

    def __init__(self, free_bits: Factor = 0.0, ramp: Ramp = 0.0):
        self.free_bits, self.ramp = free_bits, ramp

    def __call__(self, step: Step) -> Tensor:
        scale = min(1.0, (step.number + 1) / (self.ramp * step.total)) if self.ramp > 0 else 1.0
        return scale * over_people(step, lambda p: self.of(step.mu[p], step.logvar[p]))

    def of(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """Mean and log-variance (B, C, h, w) -> scalar."""
        nats = 0.5 * (mu.square() + logvar.exp() - 1.0 - logvar)
        if self.free_bits > 0:
            nats = nats.mean(dim=0).clamp_min(self.free_bits)
        return nats.mean()


class LatentStatistics:
    """Statistical latent L2: MSE of the batch means of z_src and z_dst plus of their variances by place (C, h, w)."""

    def __call__(self, step: Step) -> Tensor:
        a, b = (step.z[p] for p in ("src", "dst"))
        means = (a.mean(dim=0) - b.mean(dim=0)).square().mean()
        if len(a) < 2:
            return means
        return means + (a.var(dim=0) - b.var(dim=0)).square().mean()


class LatentPositional:
    """Positional latent L2, the known-bad twin: MSE of z_src[i] against z_dst[i], two pictures that share only i."""

    def __call__(self, step: Step) -> Tensor:
        return (step.z["src"] - step.z["dst"]).square().mean()


class Mask:
    """Learned mask: the predicted matte against the target's alpha, by `kind`: L1 or binary cross-entropy.

    Needs a variant that predicts a mask beside RGB; ValueError for one that does not.
    """

    def __init__(self, kind: Literal["l1", "bce"] = "l1"):
        self.kind = kind

    def bind(self, model: Swapper, size: int) -> None:
        """Looks whether the model has a mask: a decoding of zeros, without a trace."""
        weight, training = next(model.parameters()), model.training
        with torch.no_grad(), torch.random.fork_rng(), torch.device(weight.device):
            _, mask = model.eval().decode_with_mask(torch.zeros(1, *model.latent_shape), model.people[0])
        model.train(training)
        if mask is None:
            raise ValueError("the model predicts no mask: choose a variant's mask option, or leave the loss mask out")

    def __call__(self, step: Step) -> Tensor:
        return over_people(step, lambda p: self.of(step.mask[p], step.alpha[p]))

    def of(self, mask: Tensor | None, alpha: Tensor) -> Tensor:
        """Two mattes (B, 1, H, W) in [0, 1] -> scalar."""
        assert mask is not None
        if self.kind == "l1":
            return (mask - alpha).abs().mean()
        return nn.functional.binary_cross_entropy(mask.clamp(1e-6, 1 - 1e-6), alpha)


LOSSES = {
    "face_l1": FaceL1,
    "l1": L1,
    "gradient": Gradient,
    "dssim": Structural,
    "kl": KL,
    "latent_statistics": LatentStatistics,
    "latent_positional": LatentPositional,
    "mask": Mask,
}
