"""Face sets on disk: making the built-in one, checking a folder, and a contact sheet of it.

Layout: `src/*.exr` and `dst/*.exr` (training); the built-in set also has `eval/src` and `eval/dst`, where equal names
mean equal poses, and `manifest.json` with every factor, landmark and SHA-256.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.decode import decode_files
from harness.data.exr import Alpha, BadImage, read_exr, write_exr
from harness.data.listing import list_folder
from harness.errors import UsageError
from harness.files import file_sha256, hash_of

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    import torch

SCHEMA_VERSION = 2  # from this one on a manifest carries its hash
PIXELS_AT_ONCE = 1 << 20  # samples rendered together: bounds the renderer's memory at every size
Progress = Callable[[str, int, int], None]  # (stage, done, total)


def make_faceset(
    folder: Path,
    *,
    pair: str | int,
    frames: int,
    eval_frames: int,
    size: int,
    seed: int,
    distance: tuple[float, float] | None = None,
    loose: Mapping[str, float] | None = None,
    half: bool = True,
    supersample: int = 2,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Render the built-in face set into the new folder `folder` and return its manifest.

    pair: "near", "mid", "far", or the number of a random pair, its two people `distance` (low, high) apart; `loose`:
    what differs from `faces.ALIGNED`; `frames` training images of each person, `eval_frames` matched poses, `size`
    pixels a side, `supersample` samples along a pixel's side, half or float EXR; rendered on `device`, cpu or cuda. All
    or nothing: the set is built beside `folder` and renamed. Raises UsageError when `folder` exists, the pair is
    unknown or nobody is so far apart.
    """
    import torch

    from harness.data import faces
    from harness.data.frames import plan

    if not isinstance(pair, int) and pair not in faces.PAIRS:
        raise UsageError(f"unknown pair {pair!r}: one of {', '.join(faces.PAIRS)}, or a number")
    folder = Path(folder)
    if folder.exists():
        raise UsageError(f"{folder} exists already: choose a new folder, or delete it first")
    loose = faces.ALIGNED._replace(**(loose or {}))._asdict()
    distance = (distance or faces.DISTANCE) if isinstance(pair, int) else None
    try:
        blocks = plan(pair, frames, eval_frames, seed, distance or faces.DISTANCE, faces.Looseness(**loose))
    except ValueError as error:
        raise UsageError(str(error)) from None
    batch = max(1, min(64, PIXELS_AT_ONCE // (size * supersample) ** 2))
    total, entries = sum(len(block.poses) for block in blocks), []
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for block in blocks:
                (temporary / block.folder).mkdir(parents=True)
                for start in range(0, len(block.poses), batch):
                    poses = block.poses[start : start + batch]
                    with torch.inference_mode():
                        identity = block.identity.expand(len(poses), -1).to(device)
                        picture = faces.render(identity, poses.to(device), size, supersample)
                    rgba, landmarks = picture.rgba.cpu().numpy(), picture.landmarks.cpu()
                    names = [f"{block.folder}/{start + i:05d}.exr" for i in range(len(poses))]
                    jobs = [pool.submit(_write, temporary / n, x, half) for n, x in zip(names, rgba, strict=True)]
                    for i, job in enumerate(jobs):
                        entries.append(
                            {
                                "file": names[i],
                                "person": block.person,
                                "split": block.split,
                                "region": block.regions[start + i],
                                "pose": _rounded(poses[i]),
                                "landmarks": _rounded(landmarks[i]),
                                "sha256": job.result(),
                            }
                        )
                    if progress is not None:
                        progress("rendering faces", len(entries), total)
        spec = {
            "pair": pair,
            "distance": distance,
            "loose": loose,
            "frames": frames,
            "eval_frames": eval_frames,
            "size": size,
            "seed": seed,
        }
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "kind": "builtin",
            "synthetic": True,
            "alpha": "premultiplied",
            "spec": {**spec, "half": half, "supersample": supersample},
            "rendered_on": device,
            "identity_names": [factor.name for factor in faces.IDENTITY],
            "pose_names": [factor.name for factor in faces.POSE],
            "landmark_names": list(faces.LANDMARKS),
            "identity": {block.person: _rounded(block.identity) for block in blocks},
            "frames": entries,
        }
        content = json.dumps({**manifest, "sha256": hash_of(manifest)})
        (temporary / "manifest.json").write_text(content, encoding="utf-8")
        try:
            temporary.rename(folder)
        except OSError as error:
            raise UsageError(f"{folder} appeared while its faces were rendered: nothing was replaced") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


@dataclass(frozen=True)
class FolderReport:
    """What `check_folder` found: readable images a subfolder, bad files, files read with an assumption, image sizes."""

    folder: Path
    good: dict[str, int]
    bad: list[tuple[str, str]]
    notes: list[tuple[str, str]]
    sizes: dict[str, int]
    synthetic: bool

    @property
    def ok(self) -> bool:
        """Both people have readable images and no file is bad."""
        return not self.bad and self.good.get("src", 0) > 0 and self.good.get("dst", 0) > 0


def check_folder(folder: Path, *, alpha: Alpha = "premultiplied", progress: Progress | None = None) -> FolderReport:
    """Decode every image of a face folder (and compare with the manifest's hashes, where there is one).

    Raises UsageError when the folder or its src/ or dst/ is missing, or its manifest cannot be used.
    """
    listing = list_folder(Path(folder))
    members = listing.members()
    with tempfile.TemporaryDirectory() as scratch:  # each image shrunk to one pixel: all checks, no space
        told = None if progress is None else lambda done, total: progress("checking images", done, total)
        outcomes = decode_files([job for _, job in members], Path(scratch) / "pixels", 1, alpha, progress=told)
    report = FolderReport(listing.folder, dict.fromkeys(listing.groups, 0), [], [], {}, listing.manifest is not None)
    for (group, job), outcome in zip(members, outcomes, strict=True):
        name = listing.name(job)
        if outcome.reason is not None or outcome.side is None:
            report.bad.append((name, outcome.reason or "unknown"))
            continue
        report.good[group] += 1
        report.notes.extend((name, note) for note in outcome.notes)
        height, width = outcome.side
        report.sizes[f"{width} x {height}"] = report.sizes.get(f"{width} x {height}", 0) + 1
    return report


def preview_sheet(
    folder: Path, out_png: Path, *, columns: int = 12, tile: int = 96, alpha: Alpha = "premultiplied"
) -> None:
    """Write a contact sheet (PNG, sRGB on black): a labelled block of two rows of evenly chosen frames a subfolder.

    In the evaluation blocks of the built-in set, equal places are equal poses. Bad files leave an empty place.
    Raises UsageError as `check_folder`, and when no image is readable.
    """
    from PIL import Image, ImageDraw, ImageFont

    listing = list_folder(Path(folder))
    chosen = {}
    for group, jobs in listing.groups.items():
        picks = {round(i * (len(jobs) - 1) / (2 * columns - 1)) for i in range(2 * columns)} if jobs else set()
        chosen[group] = [_tile(jobs[i].path, tile, alpha) for i in sorted(picks)]
    if not any(image is not None for images in chosen.values() for image in images):
        raise UsageError(f"{folder}: no image is readable; `harness data check` names the reasons")

    gap, margin, label = 6, 24, 30
    height = sum(label + -(-len(v) // columns) * (tile + gap) + gap for v in chosen.values() if v)
    sheet = Image.new("RGB", (2 * margin + columns * (tile + gap) - gap, height + 2 * margin), (17, 18, 22))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    y = margin
    for group, images in chosen.items():
        if not images:
            continue
        text = f"{group}   {len(listing.groups[group])} {'matched poses' if '/' in group else 'training images'}"
        pen.text((margin, y), text + (", synthetic" if listing.manifest else ""), (200, 203, 210), font=font)
        y += label
        for i, image in enumerate(images):
            if image is not None:
                sheet.paste(image, (margin + i % columns * (tile + gap), y + i // columns * (tile + gap)))
        y += -(-len(images) // columns) * (tile + gap) + gap
    Path(out_png).parent.mkdir(parents=True, exist_ok=True)
    sheet.save(out_png)


def _tile(path: str, tile: int, alpha: Alpha) -> PIL.Image.Image | None:
    """The middle square of an image as an sRGB tile on black; None for a bad file."""
    import torch
    from PIL import Image

    from harness.data.encoding import to_display

    try:
        pixels = torch.from_numpy(read_exr(path, alpha=alpha)[:3])
    except BadImage:
        return None
    side = min(pixels.shape[1:])
    top, left = ((n - side) // 2 for n in pixels.shape[1:])
    display = to_display(pixels[:, top : top + side, left : left + side]).mul(255).round().byte()
    return Image.fromarray(display.permute(1, 2, 0).numpy()).resize((tile, tile), Image.Resampling.LANCZOS)


def _write(path: Path, rgba: np.ndarray, half: bool) -> str:
    """Write one image; the SHA-256 of what arrived on the disk."""
    write_exr(path, rgba, half)
    return file_sha256(path)


def _rounded(values: torch.Tensor) -> list[Any]:
    """Nested lists with six significant digits: far below a pixel, and half the manifest."""
    return json.loads(json.dumps(values.tolist()), parse_float=lambda text: float(f"{float(text):.6g}"))
