"""A look at training while it runs: strips of fixed faces, and the swap and reconstruction error on a few fixed pairs.

Columns: src | src reconstruction | src -> dst swap | dst -> src swap | dst reconstruction | dst.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.data.encoding import to_display
from harness.data.store import FaceStore
from harness.spec import Spec
from models.swapper import PEOPLE, Latent, Swapper

COMPRESSION = 4  # of zlib: a fifth of the time that its highest level takes, for files 3 % larger
PAIRS = 32  # evaluation pairs used for the errors; the full set is scored at the end


def evaluation_images(
    store: FaceStore, spec: Spec, device: torch.device, limit: int | None = None
) -> dict[str, Tensor]:
    """The evaluation pictures of each person as the model sees them: (M, 4, H, W), encoded RGB and alpha."""
    source = store.eval if store.eval is not None else store.heldout
    assert source is not None  # a store has the one or the other
    out = {}
    for person in PEOPLE:
        rgba = torch.from_numpy(np.array(source[person][:limit], dtype=np.float32)).to(device)
        out[person] = torch.cat([to_display(rgba[:, :3], spec.data.encoding), rgba[:, 3:]], dim=1)
    return out


def strip(images: dict[str, Tensor], rec: dict[str, Tensor], swap: dict[str, Tensor], rows: list[int]) -> Tensor:
    """Rows of six pictures, (len(rows), 3, H, 6 * W), from (M, 3, H, W) of each kind."""
    columns = [images["src"], rec["src"], swap["src->dst"], swap["dst->src"], rec["dst"], images["dst"]]
    return torch.cat([column[rows].float().cpu() for column in columns], dim=-1)


def save_png(path: Path, picture: Tensor) -> None:
    """Write (3, H, W) display values in [0, 1] as an 8-bit PNG, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    temporary = path.with_name(f".{path.name}.part")
    Image.fromarray(array).save(temporary, format="PNG", compress_level=COMPRESSION)
    temporary.replace(path)


@torch.no_grad()
def outputs(
    model: Swapper, images: dict[str, Tensor], batch: int = 64, latents: dict[str, Latent] | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Reconstructions by person and swaps by direction, each (M, 3, H, W), in float32, decoded as at test time.

    `latents` of the images, where they are known.
    """
    rec, swap = {}, {}
    for person, other in zip(PEOPLE, reversed(PEOPLE), strict=True):
        latent = encoded(model, images[person][:, :3], batch) if latents is None else latents[person]
        codes = [model.test_code(Latent(*part)) for part in zip(*(t.split(batch) for t in latent), strict=True)]
        rec[person], swap[f"{person}->{other}"] = (
            torch.cat([model.decode(z, painted) for z in codes]) for painted in (person, other)
        )
    return rec, swap


@torch.no_grad()
def encoded(model: Swapper, images: Tensor, batch: int) -> Latent:
    """The latents of pictures (M, 3, H, W), `batch` at a time: a large evaluation set needs no more memory."""
    parts = [model.encode(part.contiguous(memory_format=torch.channels_last)) for part in images.split(batch)]
    return Latent(*(torch.cat(column) for column in zip(*parts, strict=True)))


class Preview:
    """Fixed faces of one trial; `take` writes their strip and returns the errors for the history."""

    def __init__(self, store: FaceStore, spec: Spec, folder: Path, device: torch.device):
        self.images = evaluation_images(store, spec, device, max(PAIRS, spec.score.preview_faces))
        self.rows = list(range(min(spec.score.preview_faces, *(len(x) for x in self.images.values()))))
        self.truth, self.folder, self.count = store.truth, folder, spec.score.previews

    def moments(self, steps: int) -> set[int]:
        """The first step, and `score.previews` moments evenly over the rest."""
        return {1} | {round(steps * k / self.count) for k in range(1, self.count + 1)}

    def take(self, model: Swapper, step: int) -> dict[str, float | None]:
        """Write previews/step-NNNNNN.png; {"swap_error", "rec_error"}: mean |error| over faces (None without truth)."""
        model.eval()
        rec, swap = outputs(model, self.images)
        model.train()
        rgb = {p: x[:, :3] for p, x in self.images.items()}
        rows = strip(rgb, rec, swap, self.rows)
        save_png(self.folder / "previews" / f"step-{step:06d}.png", torch.cat(list(rows), dim=-2))
        face = {p: (x[:, 3:] > 0.9).float() for p, x in self.images.items()}
        errors = [_masked(rec[p], rgb[p], face[p]) for p in PEOPLE]
        swaps = [_masked(swap[f"{a}->{b}"], rgb[b], face[b]) for a, b in (PEOPLE, PEOPLE[::-1])] if self.truth else []
        return {"rec_error": sum(errors) / 2, "swap_error": sum(swaps) / 2 if swaps else None}


def _masked(x: Tensor, truth: Tensor, face: Tensor) -> float:
    return float(((x - truth).abs() * face).sum() / (3 * face.sum()).clamp_min(1.0))
