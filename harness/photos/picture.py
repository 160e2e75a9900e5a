"""Reading one picture as it is meant to be seen: upright, in sRGB or linear light, with its alpha where it has one.

Pillow decodes, OpenCV where Pillow would lose bits. Runs in a child process (`harness.photos.reader`): a file that
crashes its decoder takes nothing else with it. What other tools put into a picture beside its pixels is never opened.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".exr")
MAX_PIXELS = 1 << 27  # 134 megapixels, above every camera; read from the header before a pixel is decoded
ORIENTATION = 0x0112  # the EXIF tag


class BadPicture(Exception):
    """A file that is no usable picture or video. Its text is the reason, written for the person who must act."""


class Picture(NamedTuple):
    """`pixels`: (H, W, 3), upright: uint8 or uint16 sRGB, or float32 linear light, premultiplied by `alpha`.

    `alpha`: (H, W) of the same type, None without one. `notes`: what was assumed or lost on the way.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    @property
    def encoding(self) -> Literal["srgb", "linear"]:
        return "linear" if self.pixels.dtype == np.float32 else "srgb"


def read_picture(path: Path | str) -> Picture:
    """One picture of `SUFFIXES`. Raises BadPicture: damaged, too large by its header, or of a kind that is not read."""
    if Path(path).suffix.lower() == ".exr":
        return _exr(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata and large pictures; the size is checked here
            return _photograph(path)
    except BadPicture:
        raise
    except MemoryError:
        raise BadPicture("needs more memory than there is") from None
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        raise BadPicture(_reason(error)) from None


def _reason(error: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not a picture that can be read: another format, or damaged at its beginning"
    if isinstance(error, Image.DecompressionBombError):
        return f"its header claims more than the allowed {MAX_PIXELS:,} pixels"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    return f"damaged: {str(error) or type(error).__name__}"


def _exr(path: Path | str) -> Picture:
    from harness.data.exr import BadImage, read_image

    try:
        pixels, notes = read_image(path)
    except BadImage as bad:
        raise BadPicture(bad.reason) from None
    rgb = np.ascontiguousarray(pixels[:3].transpose(1, 2, 0))
    full = bool((pixels[3] >= 1.0).all())
    return Picture(rgb, None if full else np.ascontiguousarray(pixels[3]), notes)


def _photograph(path: Path | str) -> Picture:
    from PIL import Image

    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BadPicture(f"its header claims {width} x {height} pixels, more than the allowed {MAX_PIXELS:,}")
        if image.mode == "F" or _float_tiff(image):
            raise BadPicture("holds floating-point values, whose encoding is unknown: save it as EXR")
        if _deep(image):
            return _sixteen_bits(path, image)
        image.load()
        return _eight_bits(image)


def _float_tiff(image: Any) -> bool:
    return image.format == "TIFF" and 3 in np.atleast_1d(image.tag_v2.get(339, 1))  # SampleFormat: IEEE float


def _deep(image: Any) -> bool:
    """Whether the file holds 16 bits a channel, of which Pillow keeps 8."""
    if image.mode.startswith("I"):
        return True
    if image.format == "TIFF":
        return max(np.atleast_1d(image.tag_v2.get(258, 8))) > 8  # BitsPerSample
    return image.format == "PNG" and "16" in str(image.tile[0].args if image.tile else "")


def _sixteen_bits(path: Path | str, image: Any) -> Picture:
    """Through OpenCV, which keeps all bits and knows neither orientation nor colour profile."""
    import cv2

    read = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if read is None or read.dtype != np.uint16:
        raise BadPicture("damaged, or of a 16-bit kind that is not read: save it with 8 bits or as EXR")
    notes = ("its colour profile is not applied to 16-bit pictures",) if image.info.get("icc_profile") else ()
    read = _upright(read[..., None] if read.ndim == 2 else read, image.getexif().get(ORIENTATION, 1))
    if read.shape[2] < 3:  # grey, or grey and alpha
        grey, alpha = read[..., 0], read[..., 1] if read.shape[2] == 2 else None
        return Picture(np.repeat(grey[..., None], 3, axis=2), alpha, notes)
    alpha = np.ascontiguousarray(read[..., 3]) if read.shape[2] == 4 else None
    return Picture(np.ascontiguousarray(read[..., 2::-1]), alpha, notes)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The eight orientations of EXIF: (H, W, C) -> upright."""
    if orientation in (2, 4, 5, 7):  # mirrored
        pixels = pixels[:, ::-1]
    turns = {3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}.get(orientation, 0)
    return np.ascontiguousarray(np.rot90(pixels, turns))


def _eight_bits(image: Any) -> Picture:
    from PIL import ImageOps

    profile, notes = image.info.get("icc_profile"), []
    image = ImageOps.exif_transpose(image)
    if image.mode == "P" or "transparency" in image.info:
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    alpha = np.array(image.getchannel("A")) if image.mode in ("RGBA", "LA", "PA") else None
    if profile:
        image, note = _to_srgb(image, profile)
        notes += [note] if note else []
    elif image.mode == "CMYK":
        notes.append("CMYK without a colour profile: its colours are approximate")
    pixels = np.array(image.convert("RGB"))
    if alpha is not None and alpha.min() == 255:
        alpha = None
    return Picture(pixels, alpha, tuple(notes))


def _to_srgb(image: Any, profile: bytes) -> tuple[Any, str]:
    """The picture in sRGB by its own colour profile (phones save Display P3), and a note when that is not possible."""
    from PIL import Image, ImageCms

    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return image, ""
        if image.mode in ("RGBA", "LA"):
            image = image.convert(image.mode[:-1])
        changed = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert isinstance(changed, Image.Image)
        return changed, ""
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        return image, f"its colour profile cannot be used ({error}): taken for sRGB"
