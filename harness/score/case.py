"""The evaluation set as the metrics see it: fixed pictures, what is known of them, and a model's answers to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from harness.data.encoding import to_display, to_linear
from harness.data.faces import (
    FREE,
    LANDMARKS,
    POSE,
    REGIONS,
    Looseness,
    identity_split,
    pose_range,
    render,
    sample_identities,
    sample_poses,
)
from harness.data.imported import crop_factor
from harness.data.store import FaceStore
from harness.score import recognisers, weights
from harness.score.pictures import encoded, evaluation_images, outputs
from harness.spec import Spec
from metrics.case import Case
from models.swapper import PEOPLE, Swapper


def reference_case(spec: Spec, store: FaceStore, device: torch.device, features: dict[str, Any] | None = None) -> Case:
    """The evaluation set without a model: its outputs are copies of the inputs, in sRGB display encoding.

    `features`: what is already known of these very pictures; more is added to it.
    """
    seen = evaluation_images(store, spec, device)
    images = {p: _display(x[:, :3], spec.data.encoding) for p, x in seen.items()}
    factors = tuple(factor.name for factor in POSE)
    truth = store.truth and store.eval_pose is not None
    size, loose = spec.data.size, Looseness(**store.loose) if store.loose else FREE
    return Case(
        images=images,
        alpha={p: x[:, 3:] for p, x in seen.items()},
        swap={"src->dst": images["src"], "dst->src": images["dst"]},
        rec=images,
        matched=store.truth,
        landmarks={p: torch.as_tensor(x) for p, x in store.eval_landmarks.items()} if store.eval_landmarks else None,
        landmark_names=LANDMARKS if store.eval_landmarks else (),
        pose=torch.as_tensor(store.eval_pose) if truth else None,
        pose_names=factors if truth else (),
        identity={p: torch.as_tensor(x) for p, x in store.identity.items()} if store.identity else None,
        regressor=recognisers.regressor(device) if store.synthetic else weights.face_finder(device),
        embedder=recognisers.embedder(device, "judge") if store.synthetic else _recogniser(store, device),
        perceptual=weights.perceptual(device),
        distractors=(lambda: distractors(size, loose).to(device)) if store.synthetic else None,
        crowd=(lambda: crowd(size, loose)) if store.synthetic else None,
        render=_renderer(store, size, device) if truth else None,
        regions=_regions(store, size, device) if truth else None,
        fixed={} if features is None else features,
    )


def _recogniser(store: FaceStore, device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """The recogniser of photographs, shown as much around the face as it was trained on where the import says it."""
    net, factor = weights.face_embedder(device), crop_factor(store.folder)
    if net is None or factor is None or factor <= net.template_crop:
        return net

    def read(images: Tensor) -> Tensor:
        side = images.shape[-1]
        edge = round(side * (1 - net.template_crop / factor) / 2)
        return net(images[..., edge : side - edge, edge : side - edge])

    return read


def _renderer(store: FaceStore, size: int, device: torch.device) -> Callable[[str, Tensor], Tensor]:
    """(person, pose (B, P)) -> his true pictures (B, 3, size, size) in sRGB."""
    people = {p: torch.as_tensor(x) for p, x in (store.identity or {}).items()}

    def pictures(person: str, pose: Tensor) -> Tensor:
        shown = render(people[person].expand(len(pose), -1), pose, size, regions=False)
        return to_display(shown.rgba[:, :3], "srgb").to(device)

    return pictures


def _regions(store: FaceStore, size: int, device: torch.device) -> Callable[[str], dict[str, Tensor]]:
    """person -> {region: (M, size, size)} of the evaluation pictures: which share of a pixel shows it."""
    people, poses = (store.identity or {}), torch.as_tensor(store.eval_pose)

    def shares(person: str) -> dict[str, Tensor]:
        shown = render(torch.as_tensor(people[person]).expand(len(poses), -1), poses, size).regions
        return dict(zip(REGIONS, shown.to(device).unbind(1), strict=True))

    return shares


def build_case(
    model: Swapper, spec: Spec, store: FaceStore, device: torch.device, features: dict[str, Any] | None = None
) -> Case:
    """Everything the metrics may ask for, in sRGB display encoding whatever the model was trained on."""
    encoding = spec.data.encoding

    def display(x: Tensor) -> Tensor:
        return _display(x, encoding)

    def native(x: Tensor) -> Tensor:
        return x if encoding == "srgb" else to_display(to_linear(x, "srgb"), encoding)

    seen = evaluation_images(store, spec, device)
    with torch.no_grad():
        latents = {p: encoded(model, seen[p][:, :3], spec.score.batch) for p in PEOPLE}
        rec, swap = outputs(model, seen, spec.score.batch, latents)
    return replace(
        reference_case(spec, store, device, features),
        swap={d: display(x) for d, x in swap.items()},
        rec={p: display(x) for p, x in rec.items()},
        mu={p: latent.mu for p, latent in latents.items()},
        logvar={p: latent.logvar for p, latent in latents.items()} if model.sample else None,
        decode=lambda z, person: display(model.decode(z, person)),
        encode=lambda x: encoded(model, native(x), spec.score.batch).mu,
        # What a latent equal in every cell paints is the upsampler's doing only if the decoders start from the cells.
        modules=model.person_decoders() if model.cellwise else None,
        **_styles(model, display),
    )


def _styles(model: Swapper, display: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """What a style-based swapper offers beyond `decode`; empty for others."""
    if not hasattr(model, "mix"):
        return {}
    style: Any = model
    return {
        "mapped": style.mapped,
        "decode_mapped": lambda w, person: display(style.decode_mapped(w, person)),
        "mix": lambda a, b, person, depth: display(style.mix(a, b, person, depth)),
        "style_layers": style.layers,
    }


def _display(x: Tensor, encoding: Literal["srgb", "linear"]) -> Tensor:
    return x if encoding == "srgb" else to_display(to_linear(x.clamp(0, 1), encoding), "srgb")


def distractors(size: int, loose: Looseness, count: int = 64) -> Tensor:
    """A picture each of `count` people of the judging split, (count, 3, size, size) in sRGB: a crowd for retrieval.

    As loosely aligned as the faces that are scored.
    """
    rng = identity_split("judge")
    poses = sample_poses(count, rng, "interior", loose)
    shown = render(sample_identities(count, rng), poses, size, regions=False)
    return to_display(shown.rgba[:, :3], "srgb")


def crowd(size: int, loose: Looseness, count: int = 200) -> tuple[Tensor, Tensor]:
    """`count` people of the judging split, one frontal pose: sRGB (count, 3, size, size), factors (count, I)."""
    people = sample_identities(count, identity_split("judge"))
    # The pose of rest, or as near to it as a factor's range allows; zoom and light keep their middle.
    low, high = pose_range(loose)
    rest = torch.where((low < 0) & (high > 0), 0.0, (low + high) / 2)
    shown = render(people, rest.expand(count, -1), size, supersample=1, regions=False)
    return to_display(shown.rgba[:, :3], "srgb").clone(), people
