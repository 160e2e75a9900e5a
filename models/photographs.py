"""Recognisers of photographs: facenet-pytorch's identity embedder, and MTCNN's face, five landmarks and pose.

They are not for the built-in faces, which have readers of their own. MTCNN's weights are part of the package; the
embedder's file is the user's to bring (`harness weights`). Both want display-encoded pictures.
"""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from models import pretrained

CLASSES = {"vggface2": 8631, "casia": 10575}  # people of the training set: the logits are in the file, and unused
FACE = 160  # pixels of a side that the embedder was trained on
DETECTABLE = 75  # pixels of a side under which MTCNN fails
UPSCALED = 160  # pixels of a side to which smaller pictures are brought
LOOKS = (120, 160, 220)  # pixels of a side of the looks that steady landmarks
MIRRORED = (1, 0, 2, 4, 3)  # the landmarks of a mirrored face
SEARCHED = 1200  # pixels of the longest side in which faces are looked for
POSE = ("yaw", "pitch", "roll")  # degrees: to the picture's right, up, clockwise
# The landmarks of a mean head in mm from the tip of the nose: x right, y down, z to the viewer.
HEAD = np.array([[-31.5, -36, -30], [31.5, -36, -30], [0, 0, 0], [-26, 37, -24], [26, 37, -24]])
LANDMARKS = ("eye_left", "eye_right", "nose", "mouth_left", "mouth_right")


@functools.cache
def shapes(name: Literal["vggface2", "casia"]) -> dict[str, tuple[int, ...]]:
    """{key: shape} of the whole file."""
    found = {key: tuple(value.shape) for key, value in _network().state_dict().items()}
    return found | {"logits.weight": (CLASSES[name], 512), "logits.bias": (CLASSES[name],)}


def _network() -> nn.Module:
    """InceptionResnetV1 without memory for its weights."""
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    with torch.device("meta"):
        return InceptionResnetV1()


class FaceNet(nn.Module):
    """InceptionResnetV1: display pictures of faces (B, 3, H, W) in [0, 1] -> (B, 512) unit vectors (after FaceNet).

    The whole frame is taken for the face, resized to 160 pixels. Frozen, float32, always in eval. `weights_sha256` is
    the file's. Raises MissingWeights, BadWeights.
    """

    template_crop = 1.2  # about the crop factor of what it was trained on

    def __init__(self, name: Literal["vggface2", "casia"] = "vggface2") -> None:
        super().__init__()
        self.name = f"facenet-{name}"
        self.weights_sha256 = pretrained.verify(name)
        state = pretrained.read(pretrained.FILES[name].path, shapes(name))
        self.net = _network()
        own = {key: value.clone() for key, value in state.items() if not key.startswith("logits.")}
        counters = {key for key in shapes(name) if key.endswith("num_batches_tracked")}
        own |= {key: torch.zeros((), dtype=torch.long) for key in counters - own.keys()}
        self.net.load_state_dict(own, assign=True)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Stays in eval, whatever a parent asks for."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        found = []
        for part in images.float().split(32):
            if part.shape[-2:] != (FACE, FACE):
                part = interpolate(part, (FACE, FACE), mode="bilinear", align_corners=False, antialias=True)
            found.append(self.net((part.clamp(0, 1) * 255 - 127.5) / 128))
        return torch.cat(found) if found else images.new_zeros(0, 512)


def pose_of(landmarks: np.ndarray) -> np.ndarray:
    """(B, 5, 2) landmarks of faces, in pixels or in fractions of a square -> (B, 3) yaw, pitch, roll in degrees.

    The rotation of HEAD whose scaled orthographic view is nearest. On the built-in faces yaw follows the true one with
    a gain of 0.84 to 1.14 and r of 0.97 to 0.99, pitch with r of 0.54 to 0.73 and an offset of its own for each person:
    good for comparing two pictures of one face. NaN for NaN.
    """
    out = np.full((len(landmarks), 3), np.nan)
    head = HEAD - HEAD.mean(0)
    for row, points in zip(out, landmarks, strict=True):
        if not np.isfinite(points).all():
            continue
        affine = (points - points.mean(0)).T @ np.linalg.pinv(head.T)
        left, _, right = np.linalg.svd(affine, full_matrices=False)
        x, y = left @ right
        z = np.cross(x, y)
        row[:] = np.degrees([np.arctan2(x[2], z[2]), np.arcsin(np.clip(-y[2], -1, 1)), np.arctan2(y[0], x[0])])
    return out


class Face(NamedTuple):
    """A face in a picture. `box`: (4,) left, top, right, bottom; `landmarks`: (5, 2), x right, y down; pixels."""

    box: np.ndarray
    confidence: float
    landmarks: np.ndarray

    @property
    def area(self) -> float:
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))


class FaceFinder:
    """MTCNN (Zhang et al. 2016) on display pictures (B, 3, H, W) in [0, 1] of any size, offline.

    Gives {"landmarks": (B, 5, 2) in fractions of the frame, x right, y down, "found": (B,) 1 or 0, "pose": (B, 3)
    degrees of POSE}; NaN where there is no face. One picture at a time: a faceless one in a batch makes the package
    raise.
    """

    pose_names = POSE
    landmark_names = LANDMARKS

    def __init__(self, device: torch.device | str = "cpu") -> None:
        from facenet_pytorch.models.mtcnn import MTCNN

        self.net = MTCNN(device=torch.device(device), select_largest=True).eval().requires_grad_(False)

    def faces(self, pixels: np.ndarray) -> list[Face]:
        """The faces of a picture (H, W, 3) uint8 of any size, the largest first.

        Larger pictures are searched at SEARCHED pixels: faces under a sixtieth of the longest side are not looked for.
        """
        import cv2

        height, width = pixels.shape[:2]
        scale = min(SEARCHED / max(height, width), max(1.0, UPSCALED / min(height, width)))
        if scale != 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            pixels = cv2.resize(pixels, size, interpolation=kind)
        boxes, confidences, points = self.net.detect(np.ascontiguousarray(pixels), landmarks=True)
        if boxes is None:
            return []
        there = np.array([width / pixels.shape[1], height / pixels.shape[0]])
        found = [
            Face(np.asarray(box, float) * np.tile(there, 2), float(confidence), np.asarray(five, float) * there)
            for box, confidence, five in zip(boxes, confidences, points, strict=True)
        ]
        return sorted(found, key=lambda face: -face.area)

    def steadied(self, pixels: np.ndarray, face: Face) -> Face:
        """The same face with landmarks that move less: the median of looks at LOOKS sizes, each mirrored as well.

        One look at a picture and at a smaller copy of it differ by 6 % of the eye distance, this by 2.5 % (built-in
        faces).
        """
        import cv2

        middle = (face.box[:2] + face.box[2:]) / 2
        half = 0.9 * max(face.box[2] - face.box[0], face.box[3] - face.box[1])
        seen = []
        for side in LOOKS:
            scale = side / (2 * half)
            matrix = np.hstack([np.eye(2) * scale, (side / 2 - scale * middle)[:, None]])
            view = cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_AREA)
            for flipped in (False, True):
                turned = np.ascontiguousarray(view[:, ::-1]) if flipped else view
                boxes, _, points = self.net.detect(turned, landmarks=True)
                if boxes is None:
                    continue
                distance = np.abs((boxes[:, :2] + boxes[:, 2:]) / 2 - side / 2).sum(axis=1)
                five = np.asarray(points[int(distance.argmin())], float)
                five = np.stack([side - five[:, 0], five[:, 1]], axis=1)[list(MIRRORED)] if flipped else five
                seen.append((five - matrix[:, 2]) / scale)
        return face._replace(landmarks=np.median(seen, axis=0)) if seen else face

    @torch.no_grad()
    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        points = torch.full((len(images), len(LANDMARKS), 2), float("nan"))
        for k, image in enumerate(images.float()):
            if min(image.shape[-2:]) < DETECTABLE:
                scale = UPSCALED / min(image.shape[-2:])
                image = interpolate(image[None], scale_factor=scale, mode="bicubic", align_corners=False)[0]
            pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
            _, _, found = self.net.detect(pixels, landmarks=True)
            if found is not None and len(found):
                height, width = pixels.shape[:2]
                points[k] = torch.as_tensor(found[0].astype("float32")) / torch.tensor([width, height])
        points = points.to(images.device)
        return {
            "landmarks": points,
            "found": torch.isfinite(points).all(dim=2).all(dim=1).float(),
            "pose": torch.as_tensor(pose_of(points.cpu().double().numpy()), dtype=torch.float32).to(images.device),
        }
