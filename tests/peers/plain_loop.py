"""The plain loop: a face swapper trained as a careful user writes it in an evening. Frozen: the peer of speed claims.

Every sample is decoded from EXR when it is asked for, goes through three OpenCV passes (affine, elastic, crop and
resize) and reaches the network as fp32 NCHW; three Adams, the encoder's with half the rate for the VAE branches;
clipping network by network. It shares the topology and the numbers of a specification with the harness, and nothing
else: where our layers compute the same mathematics in another way, it has torch's own.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from models.bottleneck import Gather, Scatter
from models.upsample import Resize

PEOPLE = ("src", "dst")


class PlainResize(Resize):
    """Resize and convolution, one after the other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(x, scale_factor=self.scale, mode=self.mode))


TORCHS_OWN: dict[type, type] = {Gather: nn.Conv2d, Scatter: nn.ConvTranspose2d, Resize: PlainResize}


def with_torchs_layers(model: nn.Module) -> nn.Module:
    """The same network and weights, computed by torch's own layers."""
    for module in model.modules():
        module.__class__ = TORCHS_OWN.get(type(module), type(module))
    return model


def read_exr(file: Path) -> np.ndarray:
    """(H, W, 4) float32, linear premultiplied RGBA."""
    channels = OpenEXR.File(str(file), separate_channels=True).channels()
    return np.stack([np.asarray(channels[c].pixels, np.float32) for c in "RGBA"], axis=-1)


def to_srgb(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)


def noise(size: int, octaves: int, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """(2, size, size) smooth noise with largest magnitude 1: octaves of blurred white noise, enlarged."""
    total = np.zeros((2, size, size), np.float32)
    for octave in range(1, octaves + 1):
        points = 2**octave + 1
        for axis in (0, 1):
            white = rng.uniform(-1, 1, (points, points)).astype(np.float32)
            smooth = cv2.GaussianBlur(white, (0, 0), sigma)
            smooth /= smooth.std() + 1e-8
            total[axis] += 0.5 ** (octave - 1) * cv2.resize(smooth, (size, size), interpolation=cv2.INTER_CUBIC)
    return total / (np.abs(total).max() + 1e-8)


class Faces(Dataset):
    """One person's pictures, augmented anew at every visit: (3, S, S) in sRGB and (1, S, S) alpha, float32."""

    def __init__(self, folder: Path, augment, seed: int):
        self.files = sorted(Path(folder).glob("*.exr"))
        self.augment = augment
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.distort(read_exr(self.files[index]))
        rgb, alpha = to_srgb(image[..., :3]), np.clip(image[..., 3:], 0, 1)
        to_tensor = lambda x: torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1), np.float32))  # noqa: E731
        return to_tensor(rgb), to_tensor(alpha)

    def distort(self, image: np.ndarray) -> np.ndarray:
        a, rng, size = self.augment, self.rng, len(image)
        if rng.random() < a.probability:  # rotate, shift, mirror
            centre = ((size - 1) / 2, (size - 1) / 2)
            matrix = cv2.getRotationMatrix2D(centre, rng.uniform(-a.rotate, a.rotate), 1.0)
            matrix[:, 2] += rng.uniform(-a.shift, a.shift, 2) * size
            image = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            if rng.random() < a.flip:
                image = np.ascontiguousarray(image[:, ::-1])
        if rng.random() < a.probability:  # elastic
            dx, dy = noise(size, a.warp_octaves, a.warp_sigma, rng) * (rng.uniform(*a.warp) * a.warp_amplitude * size)
            x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
            image = cv2.remap(image, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if rng.random() < a.probability:  # crop the middle and enlarge it
            kept = round(size * rng.uniform(*a.zoom))
            start = (size - kept) // 2
            crop = image[start : start + kept, start : start + kept]
            image = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
        return image


def endless(loader: DataLoader) -> Iterator:
    while True:
        yield from loader


def face_l1(rec, target, alpha):
    error = (rec - target).abs().mean(dim=1, keepdim=True)
    face = (alpha > 0.9).float()
    inside = (error * face).sum() / face.sum().clamp(min=1)
    outside = (error * (1 - face)).sum() / (1 - face).sum().clamp(min=1)
    return inside + 0.1 * outside


def gradient(rec, target, levels=3):
    total = 0.0
    for level in range(levels):
        if level:
            rec, target = F.avg_pool2d(rec, 2), F.avg_pool2d(target, 2)
        total = total + (rec.diff(dim=-1) - target.diff(dim=-1)).abs().mean()
        total = total + (rec.diff(dim=-2) - target.diff(dim=-2)).abs().mean()
    return total / levels


def dssim(x, y, window=7, stride=2):
    c1, c2 = 0.01**2, 0.03**2
    mx, my = F.avg_pool2d(x, window, stride), F.avg_pool2d(y, window, stride)
    vx = F.avg_pool2d(x * x, window, stride) - mx * mx
    vy = F.avg_pool2d(y * y, window, stride) - my * my
    cov = F.avg_pool2d(x * y, window, stride) - mx * my
    ssim = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return (1 - ssim.mean()) / 2


def kl(mu, logvar):
    return (0.5 * (mu**2 + logvar.exp() - 1 - logvar)).mean()


def statistical_l2(a, b):
    return F.mse_loss(a.mean(0), b.mean(0)) + F.mse_loss(a.var(0), b.var(0))


class PlainLoop:
    """`step()` is one step over both people. `autocast`: bfloat16 autocast around the networks, the second arm.

    `folder` holds src/*.exr and dst/*.exr; `spec` gives batch, rates, loss weights and augmentation. `use_lpips` adds
    the lpips package's VGG distance (its weights must be there).
    """

    def __init__(self, model, folder, spec, steps, seed=0, autocast=False, device="cpu", workers=0, use_lpips=False):
        self.model, self.spec, self.steps, self.autocast, self.device = model.to(device), spec, steps, autocast, device
        optim = spec.optim
        self.batches = {}
        for k, person in enumerate(PEOPLE):
            faces = Faces(Path(folder) / person, spec.data.augment, seed + k)
            shuffle = RandomSampler(faces, generator=torch.Generator().manual_seed(seed + k))
            loader = DataLoader(faces, optim.batch, sampler=shuffle, num_workers=workers, drop_last=True)
            self.batches[person] = endless(loader)
        self.encoder = [*model.encoder.parameters(), *model.head.parameters()]
        rates = [
            {"params": list(model.encoder.parameters()), "lr": optim.lr},
            {"params": list(model.head.parameters()), "lr": optim.lr * optim.vae_lr},
        ]
        self.optimisers = [torch.optim.Adam(rates, betas=optim.betas)]
        for person in PEOPLE:
            self.optimisers.append(torch.optim.Adam(model.decoders[person].parameters(), optim.lr, betas=optim.betas))
        self.schedules = [torch.optim.lr_scheduler.LambdaLR(o, self.rate) for o in self.optimisers]
        self.lpips = None
        if use_lpips:
            import lpips

            self.lpips = lpips.LPIPS(net="vgg", verbose=False).to(device)
        self.number = 0

    def rate(self, step: int) -> float:
        optim = self.spec.optim
        if step < optim.warmup:
            return (step + 1) / optim.warmup
        if optim.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - optim.warmup) / max(1, self.steps - optim.warmup)))

    def step(self) -> float:
        weights = {name: term.weight for name, term in self.spec.loss.items()}
        self.model.train()
        total, latents = 0.0, {}
        faces = {person: [x.to(self.device) for x in next(self.batches[person])] for person in PEOPLE}
        cast = torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.autocast)
        with cast:  # both people at once: batch norm must see them together, or what it learns holds for neither
            both = self.model.encode(torch.cat([faces[person][0] for person in PEOPLE]))
        for person, mu, logvar in zip(PEOPLE, both.mu.chunk(2), both.logvar.chunk(2), strict=True):
            (image, alpha), latent = faces[person], type(both)(mu, logvar)
            with cast:
                z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
                rec = self.model.decode(z, person)
            latents[person] = z
            terms = {
                "face_l1": lambda rec=rec, image=image, alpha=alpha: face_l1(rec, image, alpha),
                "gradient": lambda rec=rec, image=image: gradient(rec, image),
                "dssim": lambda rec=rec, image=image: dssim(rec, image),
                "kl": lambda latent=latent: kl(latent.mu, latent.logvar),
                "lpips": lambda rec=rec, image=image: self.lpips(2 * rec - 1, 2 * image - 1).mean(),
            }
            total = total + sum(weights[name] * term() for name, term in terms.items() if weights.get(name)) / 2
        total = total + weights.get("latent_statistics", 0.0) * statistical_l2(latents["src"], latents["dst"])
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        total.backward()
        for group in (self.encoder, *(list(self.model.decoders[p].parameters()) for p in PEOPLE)):
            nn.utils.clip_grad_norm_(group, self.spec.optim.clip)
        for optimiser, schedule in zip(self.optimisers, self.schedules, strict=True):
            optimiser.step()
            schedule.step()
        self.number += 1
        value = total.item()
        if not math.isfinite(value):
            raise RuntimeError(f"the loss is {value} at step {self.number}")
        return value
