"""Training batches, stateless in the step: shuffled, augmented and encoded on the device.

Each person has an endless list of samples: epoch after epoch, each a fresh shuffle of his images with every image
`repeat` times in it. Step s takes samples s * batch ... (s + 1) * batch - 1. The two people's shuffles come from
different streams, so no src image keeps meeting a dst image; with `pairing: fixed` they share one, so that image i of
src always meets image i of dst (of a shorter list: i modulo its length). Nothing but (seed, step) decides a batch:
variants of one seed see the same batches, and resuming needs no state.
"""

from __future__ import annotations

import numpy as np
import torch

from harness.data import augment
from harness.data.encoding import to_display
from harness.data.store import FaceStore
from harness.data.streams import generator
from harness.spec import DataSpec

PEOPLE = ("src", "dst")
RESIDENT_SHARE = 0.25  # of the accelerator's free memory that images may take

Batch = dict[str, tuple[torch.Tensor, torch.Tensor]]


class BatchSource:
    """Batches of a store's training images on `device`.

    `resident`: keep all images on the device; None: when they fit in a quarter of its free memory (always on the CPU,
    where the memory map is used as it is).
    """

    def __init__(
        self,
        store: FaceStore,
        data: DataSpec,
        batch: int,
        seed: int,
        device: torch.device | str,
        resident: bool | None = None,
    ) -> None:
        self.data, self.batch, self.seed, self.device = data, batch, seed, torch.device(device)
        self.images = {person: torch.from_numpy(np.asarray(store.people[person])) for person in PEOPLE}
        if self.device.type == "cuda":
            if resident is None:
                wanted = sum(images.nbytes for images in self.images.values())
                resident = wanted < RESIDENT_SHARE * torch.cuda.mem_get_info(self.device)[0]
            if resident:
                self.images = {person: images.to(self.device) for person, images in self.images.items()}
        self._orders: dict[str, tuple[int, torch.Tensor]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which the person with more images is seen `repeat` times; rounded up."""
        return -(-max(map(len, self.images.values())) * self.data.repeat // self.batch)

    def at(self, step: int) -> Batch:
        """The batch of `step`: {"src": (input, target), "dst": ...}, each (B, 4, S, S) float32 on the device:

        RGB in the data's encoding, in [0, 1], composited on black, then alpha in [0, 1]. With `target: warped` the
        target is the input tensor itself.
        """
        return {person: self._person(person, step) for person in PEOPLE}

    def indices(self, person: str, step: int) -> torch.Tensor:
        """(B,) which of a person's images `step` shows; int64 on the CPU."""
        count = len(self.images[person])
        fixed = self.data.pairing == "fixed"
        longest = max(map(len, self.images.values())) if fixed else count
        length = longest * self.data.repeat
        first, taken, parts = step * self.batch, 0, []
        while taken < self.batch:  # a batch may end one epoch and begin the next
            epoch, offset = divmod(first + taken, length)
            part = self._order("both" if fixed else person, epoch, length)[offset : offset + self.batch - taken]
            parts.append(part)
            taken += len(part)
        return torch.cat(parts) % longest % count

    def _order(self, whose: str, epoch: int, length: int) -> torch.Tensor:
        cached = self._orders.get(whose)
        if cached is None or cached[0] != epoch:
            cached = (epoch, torch.randperm(length, generator=generator(self.seed, f"data/order/{whose}", epoch)))
            self._orders[whose] = cached
        return cached[1]

    def _person(self, person: str, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = self.images[person]
        chosen = images[augment.to_device(self.indices(person, step), images.device)]
        chosen = augment.to_device(chosen, self.device)
        spec = self.data.augment
        draws = augment.draw(self.batch, spec, generator(self.seed, f"data/augment/{person}", step)).to(self.device)
        pictures = augment.apply(chosen.float(), draws, spec, self.data.target)
        shown = [self._display(picture) for picture in (pictures if pictures[0] is not pictures[1] else pictures[:1])]
        return shown[0], shown[-1]

    def _display(self, rgba: torch.Tensor) -> torch.Tensor:
        """Linear premultiplied RGBA -> encoded RGB and alpha, in place of a concatenation."""
        out = torch.empty_like(rgba)
        out[:, :3] = to_display(rgba[:, :3], self.data.encoding)
        out[:, 3] = rgba[:, 3].clamp(0.0, 1.0)
        return out
