"""Reading and writing one EXR image, with every check that the library leaves to its caller.

The library raises nothing for a damaged file (it hands back zero parts, or no channels), writes wrong pixels for arrays
that are not contiguous, and trusts any size in a header. Here each of these is an error with a reason.
This module imports no torch: the decoding processes (`harness.data.decode`) start in a tenth of a second.
"""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import OpenEXR

from harness.data.image_file import BadImage, check_file

Alpha = Literal["premultiplied", "straight"]
MAX_PIXELS = 1 << 26  # 8192 x 8192, far above any face crop; read from the header before a pixel is decoded
# What the library's Python side raises on its way through a header of nonsense.
UNFORESEEN = (ValueError, TypeError, RuntimeError, LookupError, AttributeError, ArithmeticError)
FLAT = (OpenEXR.scanlineimage, OpenEXR.tiledimage)


class Image(NamedTuple):
    """`pixels`: (4, H, W) float32, linear premultiplied RGBA; `notes`: what was assumed on the way, if anything."""

    pixels: np.ndarray
    notes: tuple[str, ...]


def read_exr(path: Path | str, max_pixels: int = MAX_PIXELS, alpha: Alpha = "premultiplied") -> np.ndarray:
    """(4, H, W) float32 linear premultiplied RGBA of a flat, single-part EXR. Raises BadImage. See `read_image`."""
    return read_image(path, max_pixels, alpha).pixels


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS, alpha: Alpha = "premultiplied") -> Image:
    """Read and check one EXR file; H, W are those of its display window. Only regular files are opened.

    `alpha` is the convention of the *file*: EXR's own is premultiplied (associated); "straight" files are multiplied
    here, and nothing is ever divided by alpha. A file without A has a full matte and a note; a data window smaller than
    the display window is set on transparent black. Alpha outside [0, 1] is clipped, with a note.
    Raises BadImage: unreadable, damaged, more than one part, deep, no R, G, B, subsampled or integer channels, more
    than `max_pixels` pixels by its header, or a value that is not finite. Not thread-safe (the library prints what it
    finds on sys.stdout, which is captured); decode many files through `harness.data.decode`.
    """
    check_file(path)
    try:
        return _read(path, max_pixels, alpha)
    except UNFORESEEN as error:
        raise BadImage(path, f"damaged: {error}") from error


def _read(path: Path | str, max_pixels: int, alpha: Alpha) -> Image:
    header = _header(path)
    x0, y0, width, height = _window(path, header, "dataWindow", max_pixels)
    dx0, dy0, full_width, full_height = _window(path, header, "displayWindow", max_pixels)
    tiles = header.get("tiles")
    if tiles is not None and tiles.xSize * tiles.ySize > max_pixels:
        raise BadImage(path, f"its header claims tiles of {tiles.xSize} x {tiles.ySize} pixels")

    file, said = _open(path, header_only=False)
    if not file.parts:
        raise BadImage(path, "damaged: its pixels cannot be decoded" + (f" ({said})" if said else ""))
    planes = _planes(path, file.channels(), (height, width))
    notes = []
    rgba = np.empty((4, height, width), np.float32)
    for i, name in enumerate("RGB"):
        rgba[i] = planes[name]
    if "A" in planes:
        rgba[3] = planes["A"]
    else:
        rgba[3] = 1.0
        notes.append("no A channel: a full matte is assumed")
    if not np.isfinite(rgba).all():
        raise BadImage(path, f"{np.count_nonzero(~np.isfinite(rgba))} values are not finite")
    if rgba[3].min() < 0.0 or rgba[3].max() > 1.0:
        notes.append(f"alpha in [{rgba[3].min():.3g}, {rgba[3].max():.3g}] is clipped to [0, 1]")
        np.clip(rgba[3], 0.0, 1.0, out=rgba[3])
    if alpha == "straight":
        rgba[:3] *= rgba[3]
    if (x0, y0, width, height) != (dx0, dy0, full_width, full_height):
        rgba = _on_display_window(path, rgba, (y0 - dy0, x0 - dx0), (full_height, full_width))
        notes.append("its data window differs from its display window: placed on transparent black")
    return Image(rgba, tuple(notes))


def write_exr(path: Path | str, rgba: np.ndarray, half: bool = True) -> None:
    """Write (4, H, W) linear premultiplied RGBA as a ZIP-compressed scanline EXR, half or float, atomically.

    ZIP because its checksum betrays nearly every flipped bit, which PIZ and no compression do not.
    Raises ValueError for another shape, values that are not finite, or values that half floats cannot hold.
    """
    path = Path(path)
    array = np.asarray(rgba)
    if array.ndim != 3 or array.shape[0] != 4:
        raise ValueError(f"expected RGBA of shape (4, H, W), got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("values that are not finite cannot be written")
    if half and np.abs(array).max(initial=0.0) > np.finfo(np.float16).max:
        raise ValueError(f"values above {np.finfo(np.float16).max:g} need half=False")
    # The library silently writes wrong pixels for arrays that are not contiguous.
    planes = {c: np.ascontiguousarray(array[i], np.float16 if half else np.float32) for i, c in enumerate("RGBA")}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        OpenEXR.File(header, planes).write(os.fspath(temporary))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _open(path: Path | str, header_only: bool) -> tuple[Any, str]:
    """The opened file and what the library said about it (it prints instead of raising)."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            file = OpenEXR.File(os.fspath(path), separate_channels=True, header_only=header_only, num_threads=0)
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        if not os.path.exists(path):
            raise BadImage(path, "no such file") from error
        if os.path.getsize(path) == 0:
            raise BadImage(path, "empty file") from error
        reason = "damaged" if OpenEXR.isOpenExrFile(os.fspath(path)) else "not an EXR file"
        raise BadImage(path, f"{reason}: {error}") from error
    return file, said.getvalue().strip().rpartition(" - ")[2]


def _header(path: Path | str) -> dict[str, Any]:
    """The header of a file that has one flat part; pixels are not touched."""
    file, _ = _open(path, header_only=True)
    if not file.parts:
        raise BadImage(path, "damaged: no readable part")
    if len(file.parts) > 1:
        raise BadImage(path, f"has {len(file.parts)} parts, expected one: export each image to its own file")
    header: dict[str, Any] = file.header()
    if header.get("type", OpenEXR.scanlineimage) not in FLAT:
        raise BadImage(path, "is a deep image: flatten it first")
    names = {channel.name for channel in header.get("channels", ())}
    if not names >= set("RGB"):
        raise BadImage(path, f"needs channels R, G, B (and A), has {', '.join(sorted(names)) or 'none'}")
    return header


def _window(path: Path | str, header: dict[str, Any], name: str, max_pixels: int) -> tuple[int, int, int, int]:
    """(x, y, width, height) of a window of the header, checked against `max_pixels`."""
    if name not in header:
        raise BadImage(path, f"damaged: its header has no {name}")
    (x0, y0), (x1, y1) = ((int(v) for v in corner) for corner in header[name])
    width, height = x1 - x0 + 1, y1 - y0 + 1
    if width < 1 or height < 1:
        raise BadImage(path, f"its header claims a {name} of {width} x {height} pixels")
    if width * height > max_pixels:
        raise BadImage(path, f"its header claims {width} x {height} pixels, more than the allowed {max_pixels:,}")
    return x0, y0, width, height


def _planes(path: Path | str, channels: dict[str, Any], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The arrays of R, G, B and A (where there is one), each of `shape` and of a float type."""
    planes = {}
    for name in "RGBA":
        pixels = channels[name].pixels if name in channels else None
        if pixels is None:
            if name != "A" or name in channels:
                raise BadImage(path, f"damaged: channel {name} has no pixels")
            continue
        if pixels.dtype not in (np.float16, np.float32):
            raise BadImage(path, f"channel {name} holds {pixels.dtype} values, expected half or float")
        if pixels.shape != shape:
            raise BadImage(path, f"channel {name} is {pixels.shape[::-1]}, expected {shape[::-1]} (subsampled?)")
        planes[name] = pixels
    return planes


def _on_display_window(
    path: Path | str, rgba: np.ndarray, offset: tuple[int, int], shape: tuple[int, int]
) -> np.ndarray:
    """`rgba` at `offset` (rows, columns) on transparent black of `shape`; what lies outside is cut."""
    (oy, ox), (height, width) = offset, shape
    top, left = max(oy, 0), max(ox, 0)
    bottom, right = min(oy + rgba.shape[1], height), min(ox + rgba.shape[2], width)
    if bottom <= top or right <= left:
        raise BadImage(path, "its data window lies outside its display window")
    canvas = np.zeros((4, height, width), np.float32)
    canvas[:, top:bottom, left:right] = rgba[:, top - oy : bottom - oy, left - ox : right - ox]
    return canvas
