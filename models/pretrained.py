"""Files of other people's weights: which they are, where they lie, and how one is opened.

None is shipped, and none is fetched unless it is asked for (`harness weights get NAME --yes`); a user may put each in
its place (`harness weights add FILE`). Loading is strict: the
published hash, every key and every shape. torchvision writes the first digits of a file's SHA-256 into its name.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

FACE_EMBEDDERS = ("arcface", "arcface_onnx", "vggface2", "casia")  # the first that is there scores photographs
HUB, PLAIN = "hub/checkpoints", "checkpoints"  # torchvision's folder under TORCH_HOME, and facenet-pytorch's
TORCHVISION = "torchvision (its pretrained ImageNet models)"
FACENET = "facenet-pytorch (the files of its release 2.2.9 on GitHub)"
OWN = "your own: no publisher's address is known here"
SITES = {  # where the publishers keep their files
    TORCHVISION: "https://download.pytorch.org/models",
    FACENET: "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9",
}


class BadWeights(RuntimeError):
    """A file of weights is not what its name says: damaged, of another network, or with keys too few or too many."""


class MissingWeights(BadWeights):
    """A file of weights is not there. `file`: its name; `where`: the folder it belongs into; `how`: what to do."""

    def __init__(self, file: str, where: Path, how: str) -> None:
        super().__init__(f"the weights {file} are missing from {where}. {how}")
        self.file, self.where, self.how = file, where, how


@dataclass(frozen=True)
class Pretrained:
    """One file. `prefix`: the published first digits of its SHA-256, None where none are known; `mib`: about."""

    name: str
    file: str
    folder: str
    origin: str
    mib: int
    prefix: str | None
    purpose: str

    @property
    def address(self) -> str | None:
        """Where its publisher keeps it; None for a file of the user's own."""
        return f"{SITES[self.origin]}/{self.file}" if self.origin in SITES else None

    @property
    def path(self) -> Path:
        """Where it is looked for, under the TORCH_HOME of this moment."""
        return torch_home() / self.folder / self.file

    @property
    def record(self) -> Path:
        """The full SHA-256 that was noted when the file was added, as `sha256sum -c` reads it."""
        return self.path.with_name(f"{self.file}.sha256")

    @property
    def hash_text(self) -> str:
        """What is known of its hash, in words."""
        return f"SHA-256 {self.prefix}..." if self.prefix else "no hash known: recorded at add"

    def missing(self) -> MissingWeights:
        """The error that says what to get, and where to put it."""
        how = (
            f"Get {self.file} of {self.origin} (about {self.mib} MiB, {self.hash_text}), then: harness weights add "
            f"{self.file}; `harness weights` lists them all"
        )
        how = f"`harness weights get {self.name} --yes` fetches it. Or: {how}" if self.prefix and self.address else how
        return MissingWeights(self.file, self.path.parent, how)


FILES: dict[str, Pretrained] = {
    one.name: one
    for one in (
        Pretrained("vgg", "vgg16-397923af.pth", HUB, TORCHVISION, 528, "397923af", "LPIPS as a loss"),
        Pretrained("alex", "alexnet-owt-7be5be79.pth", HUB, TORCHVISION, 233, "7be5be79", "LPIPS as a metric"),
        Pretrained("squeeze", "squeezenet1_1-b8a52dc0.pth", HUB, TORCHVISION, 5, "b8a52dc0", "LPIPS, the smallest"),
        Pretrained(
            "vggface2", "20180402-114759-vggface2.pt", PLAIN, FACENET, 107, None, "identity in photographs (VGGFace2)"
        ),
        Pretrained(
            "casia", "20180408-102900-casia-webface.pt", PLAIN, FACENET, 111, None, "identity in photographs (CASIA)"
        ),
        Pretrained("arcface", "arcface.safetensors", PLAIN, OWN, 170, None, "identity in photographs (IResNet)"),
        Pretrained("arcface_onnx", "arcface.onnx", PLAIN, OWN, 170, None, "identity in photographs (ONNX)"),
    )
}


def torch_home() -> Path:
    """torch's cache folder: TORCH_HOME, else XDG_CACHE_HOME/torch, else ~/.cache/torch."""
    cache = os.getenv("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.getenv("TORCH_HOME") or os.path.join(cache, "torch")).expanduser()


def present(name: str) -> bool:
    """Whether the file is in its place; it is not opened."""
    return FILES[name].path.is_file()


def verify(name: str) -> str:
    """The SHA-256 of a file in its place. MissingWeights; BadWeights when it is not the published or recorded one."""
    known = FILES[name]
    if not known.path.is_file():
        raise known.missing()
    found = sha256(known.path)
    expected = known.prefix or ""
    if known.record.is_file():
        expected = known.record.read_text(encoding="ascii", errors="replace").split(" ")[0].strip()
    if not (found.startswith(expected) and found.startswith(known.prefix or "")):
        raise BadWeights(f"{known.path}: damaged: its SHA-256 is {found}, expected {expected}. {known.missing().how}")
    return found


def sha256(path: Path) -> str:
    """SHA-256 of a file; read again only when its size or time of change differ."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(path: Path, expected: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors of a file, none but those of `expected` {key: shape}, on the CPU. Raises BadWeights.

    Only tensors are unpickled. Files are mapped, not copied. Counters of batch normalisation may be absent: older files
    have none.
    """
    import torch  # seconds, which a look for files need not wait for

    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).split("\n")[0][:200]
        raise BadWeights(f"{path}: not a readable file of weights: {first}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BadWeights(f"{path}: holds something else than a table of tensors")
    wanted = {key for key in expected if not key.endswith("num_batches_tracked")}
    lacking, foreign = sorted(wanted - state.keys()), sorted(state.keys() - expected.keys())
    if lacking or foreign:
        raise BadWeights(f"{path}: of another network: lacks {_some(lacking)}, has unknown {_some(foreign)}")
    for key, value in state.items():
        if tuple(value.shape) != tuple(expected[key]):
            raise BadWeights(f"{path}: {key} has shape {tuple(value.shape)}, expected {tuple(expected[key])}")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise BadWeights(f"{path}: {key} holds numbers that are not finite")
    return state


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
