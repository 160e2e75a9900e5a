"""Pictures for training and checking the recognisers: rendered once into a pool, degraded afresh at every step.

The recognisers read the blurry outputs of autoencoders, so they train on blurred, rescaled, noisy, tinted and gridded
pictures, and the regressor also on mixtures of two people in one pose, which is what a leaking decoder paints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from harness.data import faces
from harness.data.encoding import to_display
from harness.data.faces import LANDMARKS, POSE, POSE_INDEX
from models.recognise import SIZE

MIRRORED = ("yaw", "roll", "gaze_x", "shift_x", "light_azimuth")  # the factors that change sign in a mirror
SIBLING = 0.3  # siblings differ by this share of the difference of strangers
SHRUNK = (16, 24, 32, 48)  # sides that pictures are taken down to and up again


@dataclass
class Pool:
    """Rendered pictures with what they show. People are in rows of `each` pictures, one after another."""

    images: Tensor  # (N, 3, 64, 64) uint8 display sRGB, on black
    poses: Tensor  # (N, P)
    landmarks: Tensor  # (N, L, 2) fractions of the frame
    people: Tensor  # (N,) int64: whose picture
    identities: Tensor  # (N, I)

    def __len__(self) -> int:
        return len(self.images)

    def pictures(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """(n, 3, 64, 64) float32 in [0, 1]."""
        return self.images[rows].float() / 255


def render_pool(
    identities: Tensor, poses: Tensor, supersample: int = 2, progress: Callable[[int, int], None] | None = None
) -> Pool:
    """Person k, identities (n, I), in the poses k (n, m, P): n * m pictures. progress(done, of) as they come."""
    count, each = poses.shape[:2]
    whole, flat = identities.repeat_interleave(each, 0), poses.flatten(0, 1)
    images = torch.empty(count * each, 3, SIZE, SIZE, dtype=torch.uint8)
    points = torch.empty(count * each, len(LANDMARKS), 2)
    for start in range(0, len(flat), 128):
        part = slice(start, start + 128)
        shown = faces.render(whole[part], flat[part], SIZE, supersample, regions=False)
        images[part] = (to_display(shown.rgba[:, :3]) * 255).round().to(torch.uint8)
        points[part] = shown.landmarks
        if progress:
            progress(min(start + 128, len(flat)), len(flat))
    return Pool(images, flat, points, torch.arange(count).repeat_interleave(each), whole)


def people_pool(
    split: str,
    people: int,
    each: int,
    seed: int,
    supersample: int = 2,
    *,
    shared_poses: bool = False,
    siblings: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Pool:
    """`people` identities of a split, each in `each` random poses; shared_poses: persons 2k and 2k+1 in the same.

    siblings: person 2k+1 is drawn to 2k, as alike as the nearest evaluation pair, so that small differences count.

    The identities are the first of the split's stream whatever the seed, so that splits stay disjoint; the seed draws
    the poses.
    """
    identities = faces.sample_identities(people, faces.identity_split(split))
    if siblings:
        identities[1::2] = torch.lerp(identities[0::2], identities[1::2], SIBLING)
    draws = people // 2 if shared_poses else people
    rng = torch.Generator().manual_seed(int(hashlib.sha256(f"recognise/{split}/{seed}".encode()).hexdigest()[:15], 16))
    poses = faces.sample_poses(draws * each, rng).reshape(draws, each, len(POSE))
    return render_pool(identities, poses.repeat_interleave(2, 0) if shared_poses else poses, supersample, progress)


def mirror(images: Tensor, poses: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same faces in a mirror: pictures (B, 3, H, W), poses (B, P) and landmarks (B, L, 2) of the mirrored heads."""
    sign = torch.ones(len(POSE))
    sign[[POSE_INDEX[name] for name in MIRRORED]] = -1
    swapped = {"left": "right", "right": "left"}
    twins = [LANDMARKS.index("_".join(swapped.get(part, part) for part in name.split("_"))) for name in LANDMARKS]
    points = landmarks[:, twins].clone()
    points[..., 0] = 1 - points[..., 0]
    return images.flip(-1), poses * sign, points


def degrade(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """Pictures (B, 3, 64, 64) in [0, 1] as a weak autoencoder would paint them; each picture draws its own faults.

    Half are blurred (Gaussian, sigma up to 2 pixels), a third taken down and up again (to 16-48 pixels); in a fifth
    a soft disc keeps its sharpness (a blended face); gain and gamma of each channel, noise, and a checkerboard of
    period 2 or 4 pixels. strength scales all of it; 0 returns the pictures.
    """
    count = len(images)

    def draw(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator)

    sigma = (draw() * 2 * strength).where(draw() < 0.5, torch.zeros(count))
    chosen = torch.randint(len(SHRUNK), (count,), generator=generator) + 1
    chosen = chosen.where(draw() < strength / 3, torch.zeros(count, dtype=torch.long))
    # Blur and rescaling are linear and separable: one 64 x 64 matrix on the rows, and the same on the columns.
    linear = _rescalings()[chosen] @ _blurs(sigma)
    out = linear[:, None] @ images @ linear[:, None].mT
    out = torch.lerp(out, images, _discs(draw(4)) * (draw() < 0.2)[:, None, None, None])
    gain, gamma = 1 + 0.2 * strength * (draw(3, 1, 1) - 0.5), 1 + 0.2 * strength * (draw(1, 1, 1) - 0.5)
    out = out.clamp(1e-4, 1) ** gamma * gain
    out = out + 0.03 * strength * draw(1, 1, 1) * torch.randn(images.shape, generator=generator)
    grid = 0.05 * strength * draw() * (draw() < 0.3)
    return (out + _grids(draw(), draw(3)) * grid[:, None, None, None]).clamp(0, 1)


def _blurs(sigma: Tensor) -> Tensor:
    """(B,) pixels -> (B, 64, 64): rows are Gaussians, normalised inside the frame; the identity for 0."""
    place = torch.arange(SIZE)
    square = (place[:, None] - place).float() ** 2
    weight = torch.exp(-square / (2 * sigma.clamp(min=1e-2)[:, None, None] ** 2))
    return weight / weight.sum(-1, keepdim=True)


def _rescalings() -> Tensor:
    """(1 + len(SHRUNK), 64, 64): the identity, then down to each side of `SHRUNK` and up again."""
    eye = torch.eye(SIZE)
    matrices = [eye]
    for side in SHRUNK:
        low = interpolate(eye[None, None], (side, SIZE), mode="bilinear", antialias=True)
        matrices.append(interpolate(low, (SIZE, SIZE), mode="bilinear")[0, 0])
    return torch.stack(matrices)


def _discs(draws: Tensor) -> Tensor:
    """(B, 4) in [0, 1] -> (B, 1, 64, 64) soft discs somewhere about the middle."""
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    cx, cy, radius, edge = (draws * torch.tensor([0.4, 0.4, 0.3, 0.1]) + torch.tensor([0.3, 0.3, 0.1, 0.02])).unbind(1)
    away = ((x - cx[:, None, None]) ** 2 + (y - cy[:, None, None]) ** 2).sqrt()
    return torch.sigmoid((radius[:, None, None] - away) / edge[:, None, None])[:, None]


def _grids(kind: Tensor, channels: Tensor) -> Tensor:
    """(B,), (B, 3) in [0, 1] -> (B, 3, 64, 64) checkerboards, columns or rows of +-1, of period 2 or 4, by channel."""
    place = torch.arange(SIZE)
    waves = []
    for period in (2, 4):
        wave = 1.0 - 2 * ((place // (period // 2)) % 2).float()
        waves += [wave[:, None] * wave, wave[:, None].expand(SIZE, SIZE), wave.expand(SIZE, SIZE)]
    pick = (kind * len(waves)).long().clamp(max=len(waves) - 1)
    return torch.stack(waves)[pick][:, None] * (0.5 + 0.5 * channels)[:, :, None, None]


def renderer_hash() -> str:
    """SHA-256 of the renderer's source files: which looks a recogniser was trained on."""
    folder = Path(faces.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
