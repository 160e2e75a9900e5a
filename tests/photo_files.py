"""Photographs and a video for tests, made from the built-in faces: turned, on backgrounds, as JPG and MP4."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from harness.data import faces
from harness.data.encoding import to_display
from harness.data.frames import plan

SIZE = (300, 360)  # rows and columns of a photograph


def background(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8 of smooth colours."""
    small = rng.uniform(40, 220, (4, 5, 3)).astype(np.float32)
    return cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def portraits(person: str, count: int, seed: int = 0, turned: float = 12.0, pair: str = "near") -> list[np.ndarray]:
    """`count` photographs (H, W, 3) uint8 of a built-in person, each head turned by up to `turned` degrees."""
    rng = np.random.default_rng([seed, person == "src"])
    block = next(b for b in plan(pair, max(count, 2), 2, seed) if b.folder == person)
    rgba = faces.render(block.identity.expand(count, -1), block.poses[:count], 224, 1).rgba
    rgb = to_display(rgba[:, :3] / rgba[:, 3:].clamp_min(1e-4))
    bytes_ = (torch.cat([rgb, rgba[:, 3:]], 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    made = []
    for pixels in bytes_:
        photograph = Image.fromarray(background(rng))
        head = Image.fromarray(np.ascontiguousarray(pixels), "RGBA").rotate(rng.uniform(-turned, turned), Image.BICUBIC)
        place = tuple(int(rng.integers(0, n - 224)) for n in SIZE[::-1])
        photograph.paste(head, place, head)
        made.append(np.array(photograph))
    return made


def write_jpgs(folder: Path, pictures: Iterable[np.ndarray], faceless: int = 0) -> Path:
    """IMG_0.jpg and on, then `faceless` pictures of background only."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(folder / f"IMG_{i}.jpg", quality=92)
    for i in range(faceless):
        Image.fromarray(background(np.random.default_rng(100 + i))).save(folder / f"wall {i}.jpg")
    return folder


def write_video(
    path: Path, pictures: Iterable[np.ndarray], rate: int = 10, sound: bool = False, rotation: int = 0
) -> Path:
    """An H.264 video of equally large pictures; `sound`: a tone of the same length; `rotation`: of its display."""
    import av

    pictures = list(pictures)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        video.height, video.width, video.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        if rotation:
            video.set_display_rotation(rotation)
        tone = container.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for pixels in pictures:
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        container.mux(video.encode())
        if tone is not None:
            samples = np.sin(np.arange(16_000 * len(pictures) // rate) / 6).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            container.mux(tone.encode(frame))
            container.mux(tone.encode())
    return path


def album(place: Path) -> None:
    """Photographs of two people, two of nobody, and a clip of the first with sound, as docs/own_faces.md has them."""
    write_jpgs(place / "anna", portraits("src", 20, turned=20.0), faceless=2)
    write_jpgs(place / "bert", portraits("dst", 20, turned=20.0))
    write_video(place / "clip.mp4", portraits("src", 12, seed=5), sound=True)


if __name__ == "__main__":
    album(Path(sys.argv[1]))
