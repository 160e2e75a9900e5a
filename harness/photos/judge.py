"""One picture -> an aligned crop with its matte, or the reason why it is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.photos import align, light, matte, quality
from harness.photos.picture import SUFFIXES, BadPicture, Picture, read_picture
from harness.photos.settings import Settings
from models.photographs import Face, FaceFinder

Embed = Callable[[np.ndarray], np.ndarray]  # (N, S, S, 3) uint8 sRGB crops -> (N, E) unit vectors
FACE_CROP, FACE_SIZE = 1.2, 160  # what a recogniser is shown


class LeftOut(Exception):
    """A picture that is not taken; its text is the reason. `place`: the face that was looked at, where there is one."""

    def __init__(self, reason: str, face: Face | None = None) -> None:
        super().__init__(reason)
        self.face = face


@dataclass(frozen=True)
class Crop:
    """`pixels`: (S, S, 4) float32 linear premultiplied RGBA. `look`: of `quality`. `facts`: for the manifest."""

    pixels: np.ndarray
    look: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)


class Judge:
    """Crops faces by `settings`. `embed` and `like` (a unit vector) tell one person from others."""

    def __init__(self, settings: Settings, finder: FaceFinder, embed: Embed | None = None) -> None:
        self.settings, self.finder, self.embed = settings, finder, embed
        self.like = self._person(settings.like) if settings.like is not None else None

    def __call__(self, picture: Picture, mask: Path | None = None) -> Crop:
        """The crop of one picture. Raises LeftOut."""
        return self._aligned(picture, mask) if self.settings.align == "mtcnn" else self._as_it_is(picture, mask)

    def _person(self, path: Path) -> np.ndarray:
        """The embedding of the largest face of a picture. BadPicture when there is none."""
        assert self.embed is not None
        picture = read_picture(path)
        faces = self.finder.faces(light.shown(picture))
        if not faces:
            raise BadPicture("shows no face to be like")
        return self.embed(self._small(light.shown(picture), faces[:1]))[0]

    def _small(self, pixels: np.ndarray, faces: list[Face]) -> np.ndarray:
        target = align.template(FACE_CROP, FACE_SIZE)
        return np.stack([align.cut_bytes(pixels, align.similarity(f.landmarks, target), FACE_SIZE) for f in faces])

    def _chosen(self, pixels: np.ndarray) -> tuple[Face, int]:
        """The face to take, and how many there are. Raises LeftOut."""
        faces = self.finder.faces(pixels)
        if not faces:
            raise LeftOut("no face found")
        sure = [face for face in faces if face.confidence >= self.settings.confidence]
        if not sure:
            best = max(face.confidence for face in faces)
            raise LeftOut(f"no sure face: confidence {best:.3f}, under {self.settings.confidence:g}", faces[0])
        if self.like is None:
            return sure[0], len(faces)
        assert self.embed is not None
        cosines = self.embed(self._small(pixels, sure)) @ self.like
        best = int(cosines.argmax())
        if cosines[best] < self.settings.alike:
            assert self.settings.like is not None
            why = f"nobody like {self.settings.like.name}: cosine {cosines[best]:.2f}, under {self.settings.alike:g}"
            raise LeftOut(why, sure[best])
        return sure[best], len(faces)

    def _aligned(self, picture: Picture, mask: Path | None) -> Crop:
        pixels, size = light.shown(picture), self.settings.side
        face, count = self._chosen(pixels)
        face = self.finder.steadied(pixels, face)
        try:
            matrix = align.similarity(face.landmarks, align.template(self.settings.crop, size))
        except ValueError as error:
            raise LeftOut(f"its landmarks cannot be used: {error}", face) from None
        span = size / align.scale_of(matrix)
        smallest = self.settings.smallest if self.settings.smallest is not None else size / 2
        if span < smallest:
            raise LeftOut(f"too small: its crop spans {span:.0f} pixels, under {smallest:.0f}", face)
        rows, columns = align.region(matrix, size, picture.pixels.shape[:2])
        there = align.shifted(matrix, rows, columns)
        drawn = align.warp(light.linear(picture, rows, columns), there, (size, size))
        points = align.moved(face.landmarks, matrix)
        facts = {
            "confidence": round(face.confidence, 4), "faces": count, "landmarks": np.round(face.landmarks, 2).tolist(),
            "matrix": np.round(matrix, 6).tolist(), "span": round(span, 1),
        }  # fmt: skip
        given = _mask(mask, picture)
        if given is not None:
            given = align.warp(given[rows, columns, None], there, (size, size))[..., 0]
        try:
            return self._finished(drawn, facts, given, picture.alpha is not None, points)
        except LeftOut as left:
            raise LeftOut(str(left), face) from None

    def _as_it_is(self, picture: Picture, mask: Path | None) -> Crop:
        height, width = picture.pixels.shape[:2]
        side = min(height, width)
        size = self.settings.size or side
        if side < size:
            raise LeftOut(f"too small: {width} x {height} pixels, under {size}")
        top, left = (height - side) // 2, (width - side) // 2
        rows, columns = slice(top, top + side), slice(left, left + side)
        drawn, given = light.linear(picture, rows, columns), _mask(mask, picture)
        given = None if given is None else np.ascontiguousarray(given[rows, columns])
        if side > size:
            whole = np.array([[size / side, 0.0, 0.0], [0.0, size / side, 0.0]])
            drawn = align.warp(drawn, whole, (size, size))
            given = None if given is None else align.warp(given[..., None], whole, (size, size))[..., 0]
        points, facts = None, {"confidence": None, "faces": None, "landmarks": None, "matrix": None, "span": side}
        if picture.alpha is None and given is None:
            bytes_ = light.display_bytes(drawn[..., :3])
            faces = self.finder.faces(bytes_)
            points = self.finder.steadied(bytes_, faces[0]).landmarks if faces else None
        return self._finished(drawn, facts, given, picture.alpha is not None, points)

    def _finished(
        self, drawn: np.ndarray, facts: dict[str, Any], mask: np.ndarray | None, alpha: bool, points: np.ndarray | None
    ) -> Crop:
        """The crop with its matte, unless it is blurred. `points`: the landmarks in the crop."""
        middle = quality.grey(light.display_bytes(drawn[..., :3]))
        sharp = quality.sharpness(middle)
        if self.settings.sharpness is not None and sharp < self.settings.sharpness:
            raise LeftOut(f"blurred: sharpness {sharp:.3f}, under {self.settings.sharpness:g}")
        kind = "mask" if mask is not None else "alpha" if alpha else matte.HULL if points is not None else "full"
        if mask is not None:
            drawn[..., 3] *= mask
        elif kind == matte.HULL:
            drawn[..., 3] *= matte.hull(points, len(drawn))  # type: ignore[arg-type]
        if self.settings.background == "black" and kind != "alpha":
            drawn[..., :3] *= drawn[..., 3:]
        facts |= {"matte": kind, "approximate": kind in (matte.HULL, "full"), "sharpness": round(sharp, 4)}
        return Crop(drawn.clip(0, None), quality.look(middle), facts)


def _mask(path: Path | None, picture: Picture) -> np.ndarray | None:
    """(H, W) float32 of a mask's alpha, else of its grey. Raises LeftOut when it does not fit its picture."""
    if path is None:
        return None
    try:
        read = read_picture(path)
    except BadPicture as bad:
        raise LeftOut(f"its mask {path.name} cannot be used: {bad}") from None
    if read.pixels.shape != picture.pixels.shape:
        sizes = [f"{p.pixels.shape[1]} x {p.pixels.shape[0]}" for p in (read, picture)]
        raise LeftOut(f"its mask {path.name} is {sizes[0]}, the picture {sizes[1]}")
    return light.share(read.alpha if read.alpha is not None else read.pixels.max(axis=2))


def mask_of(masks: Path | None, source: Path, frame: int | None) -> Path | None:
    """The file in the folder `masks` for a picture (`NAME.*`) or a frame (`NAME-000012.*`); None when there is none."""
    if masks is None:
        return None
    stem = source.stem if frame is None else f"{source.stem}-{frame:06d}"
    return next((path for suffix in SUFFIXES if (path := masks / f"{stem}{suffix}").is_file()), None)
