"""Small face folders for tests: every image is one flat colour that tells which it is."""

from pathlib import Path

import numpy as np

from harness.data.exr import write_exr


def colour(person: str, index: int) -> tuple[float, float, float, float]:
    """Linear premultiplied RGBA of image `index` of a person; exact in half floats."""
    return (index / 256, 0.25 if person == "src" else 0.75, 0.5, 1.0)


def index_of(image: np.ndarray) -> int:
    """Which image a (4, S, S) array shows."""
    return round(float(image[0].mean()) * 256)


def write_folder(folder: Path, src: int = 20, dst: int = 20, size: int = 16) -> Path:
    """`src` and `dst` images of `size` pixels in folder/src and folder/dst, named 000.exr and on."""
    for person, count in (("src", src), ("dst", dst)):
        (folder / person).mkdir(parents=True)
        for i in range(count):
            pixels = np.ones((4, size, size), np.float32) * np.array(colour(person, i), np.float32)[:, None, None]
            write_exr(folder / person / f"{i:03d}.exr", pixels)
    return folder
