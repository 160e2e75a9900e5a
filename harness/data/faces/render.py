"""The renderer: layers of a head composited by depth, lit once, averaged down."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from harness.data.faces import beard, colour, hair
from harness.data.faces.anatomy import Anatomy, Columns, measure
from harness.data.faces.geometry import BEHIND, View, about, ellipsoid, normal, pixel_view
from harness.data.faces.landmarks import EAR_Z, project
from harness.data.faces.layer import Layer
from harness.data.faces.light import illuminate
from harness.data.faces.skin import face
from harness.data.faces.wear import CAP_FROM, GLASSES_FROM, arms, cap, glasses
from harness.data.factors import IDENTITY, POSE, REGIONS

CHUNK_RAYS = 1 << 17  # rays worked on at once: half a megabyte a plane stays in the processor's cache


class Render(NamedTuple):
    """What `render` returns; B pictures of H x W pixels."""

    rgba: Tensor  # (B, 4, H, W) linear RGB in [0, 1], premultiplied by the alpha in [0, 1] of the head's matte
    landmarks: Tensor  # (B, L, 2) fractions of the frame, x right, y down
    visible: Tensor  # (B, L) bool: not behind the skin or the nose (hair, glasses and cap are not considered)
    regions: Tensor  # (B, R, H, W) in [0, 1]; sums to alpha over R


def render(identity: Tensor, pose: Tensor, size: int, supersample: int = 2, *, regions: bool = True) -> Render:
    """Pictures of identities (B, I) in poses (B, P), on their device; deterministic, without gradients.

    size: pixels of a side; supersample: rays of a pixel along a side, averaged; regions: False leaves R = 0, faster.
    Raises ValueError where shapes do not match the factors.
    """
    if identity.shape != (len(pose), len(IDENTITY)) or pose.shape != (len(identity), len(POSE)):
        raise ValueError(
            f"render wants identities (B, {len(IDENTITY)}) and poses (B, {len(POSE)}),"
            f" not {tuple(identity.shape)} and {tuple(pose.shape)}"
        )
    if size < 1 or supersample < 1:
        raise ValueError(f"size and supersample must be at least 1, not {size} and {supersample}")
    count = len(identity)
    step = max(1, CHUNK_RAYS // (size * supersample) ** 2)
    kinds = len(REGIONS) if regions else 0
    device = identity.device
    rgba = torch.empty(count, 4, size, size, device=device)
    masks = torch.empty(count, kinds, size, size, device=device)
    points, seen = [], []
    with torch.inference_mode():
        for start in range(0, count, step):
            part = slice(start, start + step)
            columns = Columns(identity[part].float(), pose[part].float())
            anatomy = measure(columns)
            view = pixel_view(columns, size * supersample)
            colours, shares = _compose(view, columns, anatomy, regions)
            rgba[part] = avg_pool2d(colours, supersample)
            if regions:
                masks[part] = avg_pool2d(shares, supersample)
            at, visible = project(view, columns, anatomy)
            points.append(at)
            seen.append(visible)
    return Render(rgba, torch.cat(points).clone(), torch.cat(seen).clone(), masks)


def _layers(view: View, c: Columns, a: Anatomy) -> list[Layer]:
    # What nobody in the chunk has is left out: its cover would be zero everywhere.
    outside, inside = hair.front(view, c, a)
    layers = [hair.back(view, c, a), inside]
    over = [outside]
    if _anyone(c, "hair_length", hair.CURTAIN_FROM):
        outside, inside = hair.curtain(view, c, a)
        layers.append(inside)
        over.append(outside)
    if _anyone(c, "hair_bun", hair.BUN_FROM):
        layers.append(hair.bun(view, c, a))
    layers += [face(view, c, a), *(_ear(view, c, a, side) for side in (-1.0, 1.0))]
    if _anyone(c, "beard", beard.MASS_FROM):
        layers.append(beard.mass(view, c, a))
    layers += over
    if _anyone(c, "glasses", GLASSES_FROM):
        layers += [glasses(view, c, a), *arms(view, c, a)]
    if _anyone(c, "cap", CAP_FROM):
        layers += cap(view, c, a)
    return layers


def _anyone(c: Columns, trait: str, above: float) -> bool:
    return bool((c.trait(trait) > above).any())


def _ear(view: View, c: Columns, a: Anatomy, side: float) -> Layer:
    nil = torch.zeros_like(a.ear_r)
    depth, edge = ellipsoid(
        view,
        (side * a.ear_x, a.ear_y, nil + EAR_Z),
        (a.ear_r * 0.62, a.ear_r, 0.06 + 0.3 * a.ear_r),
        about(2, nil - side * 0.22),
    )
    x, y = view.local(0, depth) * side - a.ear_x, view.local(1, depth) - a.ear_y
    inner = 1 - ((x + 0.01) / (a.ear_r * 0.36)) ** 2 - (y / (a.ear_r * 0.62)) ** 2
    paint = colour.Paint(colour.skin(c), x)
    base = colour.skin(c)
    paint.over(inner.clamp(0, 0.6), (base[0] * 0.62, base[1] * 0.42, base[2] * 0.42))
    return Layer(depth, view.cover(edge), paint.planes, normal(view, depth - 0.03 * inner.clamp(min=0)), 0.1, "ears")


def _compose(view: View, c: Columns, a: Anatomy, regions: bool) -> tuple[Tensor, Tensor]:
    layers = _layers(view, c, a)
    like = layers[0].depth
    # Premultiplied planes: three of albedo, two of the normal, one of gloss, and alpha; with the depth in front.
    planes = [torch.zeros_like(like) for _ in range(7)]
    front = torch.full_like(like, BEHIND)
    shown: list[Tensor] = []
    for layer in layers:
        ahead = ((layer.depth - front) / 0.02 + 0.5).clamp_(0, 1)
        weight = layer.cover * ahead
        gloss = layer.gloss if isinstance(layer.gloss, Tensor) else torch.full_like(like, layer.gloss)
        values = (*layer.albedo, *layer.normal, gloss.expand_as(like), torch.ones_like(like))
        for plane, value in zip(planes, values, strict=True):
            plane.lerp_(value, weight)
        front.lerp_(layer.depth, weight)
        shown.append(weight)
    alpha = planes[6].clamp_(0, 1)
    colours = illuminate(view, c, planes, alpha)
    if not regions:
        return colours, colours[:, :0]
    shares = torch.zeros(len(like), len(REGIONS), *like.shape[1:], device=like.device)
    left = torch.ones_like(like)
    for layer, weight in zip(reversed(layers), reversed(shown), strict=True):
        rest = left * weight
        left = left - rest
        for name, mask in layer.parts.items():
            share = rest * mask
            shares[:, REGIONS.index(name)] += share
            rest = rest - share
        shares[:, REGIONS.index(layer.region)] += rest
    return colours, shares
