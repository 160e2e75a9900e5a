"""The training step as it was when speed gates began, in one file: the reference of the timed gates. Never tuned."""

import torch
import torch.nn.functional as F
from torch import nn

PEOPLE = ("src", "dst")


class FrozenStep:
    """One step in bfloat16 autocast, channels last, both people in one encoder pass, one fused Adam."""

    def __init__(self, model: nn.Module, batch: dict[str, torch.Tensor], lr: float = 1.5e-3):
        self.model = model.to(memory_format=torch.channels_last)
        self.batch = batch
        self.optimiser = torch.optim.Adam(model.parameters(), lr=lr, betas=(0.5, 0.999), fused=True)

    def __call__(self) -> None:
        model = self.model.train()
        x = torch.cat([self.batch[p][:, :3] for p in PEOPLE]).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            latent = model.encode(x)
            z = dict(zip(PEOPLE, latent.sample().chunk(2), strict=True))
            rec = {p: model.decode(z[p], p) for p in PEOPLE}
        total = 0.005 * (0.5 * (latent.mu.square() + latent.logvar.exp() - 1 - latent.logvar)).mean()
        a, b = z["src"], z["dst"]
        total = total + 0.05 * (F.mse_loss(a.mean(0), b.mean(0)) + F.mse_loss(a.var(0), b.var(0)))
        for p in PEOPLE:
            total = total + 0.5 * self.pictures(rec[p], self.batch[p][:, :3], self.batch[p][:, 3:])
        total.backward()
        for group in self.model.clip_groups().values():
            nn.utils.clip_grad_norm_(group, 4.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def pictures(self, rec: torch.Tensor, target: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
        error, face = rec - target, (alpha > 0.9).float()
        size = error.abs().mean(dim=1, keepdim=True)
        total = (size * face).sum() / face.sum().clamp_min(1)
        total = total + 0.1 * (size * (1 - face)).sum() / (1 - face).sum().clamp_min(1)
        for level in range(3):
            error = F.avg_pool2d(error, 2) if level else error
            total = total + (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 3
        stack = torch.cat([rec, target, rec * rec, target * target, rec * target]).contiguous()
        n = stack.shape[-1]
        start, at = torch.arange(0, n - 6, 2)[:, None], torch.arange(n)[None]
        band = ((at >= start) & (at < start + 7)).float() / 7
        mx, my, xx, yy, xy = (band @ stack @ band.T).chunk(5)
        c1, c2 = 0.01**2, 0.03**2
        ssim = (2 * mx * my + c1) * (2 * (xy - mx * my) + c2)
        ssim = ssim / ((mx * mx + my * my + c1) * (xx - mx * mx + yy - my * my + c2))
        return total + (1 - ssim.mean()) / 2
