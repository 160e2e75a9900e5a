"""References with known answers: swappers that are exact, trivial or broken in one known way, made from any case.

Each takes a case and returns one with the same pictures and other outputs; most need ground truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, driver_of, target_of
from metrics.lattice import blur, inject_checkerboard
from metrics.readings import EXPRESSIONS


def copy_case(case: Case) -> Case:
    """The swapper that returns its input: perfect pose, no identity. Its reconstructions are exact."""
    return case.with_outputs({way: case.images[driver_of(way)] for way in DIRECTIONS}, case.images)


def oracle_case(case: Case) -> Case:
    """The exact swap. Raises ValueError when the case has no ground truth."""
    return _painted_by_each(case, case.images)


def _painted_by_each(case: Case, painted: Mapping[str, Tensor]) -> Case:
    """Each person's decoder paints the same pictures of them, from whichever face it starts. Needs ground truth."""
    if not case.matched:
        raise ValueError("needs ground truth: src and dst images of this case do not share poses")
    return case.with_outputs({way: painted[target_of(way)] for way in DIRECTIONS}, painted)


def mean_face_case(case: Case) -> Case:
    """The collapsed model: always the person's mean picture, whatever goes in."""
    mean = {person: case.images[person].mean(0, keepdim=True) for person in PEOPLE}
    if case.matched:
        return _painted_by_each(case, {person: mean[person].expand_as(case.images[person]) for person in PEOPLE})

    def paint(person: str, count: int) -> Tensor:
        return mean[person].expand(count, -1, -1, -1)

    return case.with_outputs(
        {way: paint(target_of(way), len(case.images[driver_of(way)])) for way in DIRECTIONS},
        {person: paint(person, len(case.images[person])) for person in PEOPLE},
    )


def blend_case(case: Case, share: float) -> Case:
    """A swap that went `share` of the way from the driver (0) to the truth (1). Needs ground truth."""
    swap = {way: torch.lerp(case.images[driver_of(way)], case.truth(way), share) for way in DIRECTIONS}
    return case.with_outputs(swap, case.images)


def collapse_case(case: Case, share: float) -> Case:
    """From the mean face (0) to the oracle (1). Needs ground truth."""
    mean = mean_face_case(case)
    swap = {way: torch.lerp(mean.swap[way], case.truth(way), share) for way in DIRECTIONS}
    return case.with_outputs(swap, case.images)


def blurred_case(case: Case, sigma: float) -> Case:
    """The oracle and the exact reconstructions, blurred by a Gaussian of `sigma` pixels. Needs ground truth."""
    return _painted_by_each(case, {person: blur(case.images[person], sigma) for person in PEOPLE})


def checkerboard_case(case: Case, level: int, rms: float) -> Case:
    """The oracle plus a checkerboard of known level and rms (fraction of the range), everywhere. Needs ground truth."""
    return _painted_by_each(case, {person: inject_checkerboard(case.images[person], level, rms) for person in PEOPLE})


def wrong_pose_case(case: Case, share: float) -> Case:
    """The oracle, but with the given share of pictures showing another pose of the set. Needs ground truth."""
    order = torch.arange(case.count)
    wrong = round(share * case.count)
    order[:wrong] = (order[:wrong] + case.count // 2) % case.count
    return _painted_by_each(case, {person: case.images[person][order] for person in PEOPLE})


def latent_case(case: Case, strength: float, seed: int = 0) -> Case:
    """Latents (M, 16, 3, 3) of a known leak: a pose part common to both persons, +-strength times the identity's."""
    generator = torch.Generator().manual_seed(seed)
    pose = torch.randn(case.count, 16, 3, 3, generator=generator)
    identity = torch.randn(16, 3, 3, generator=generator)
    identity = identity * (identity.numel() ** 0.5 / identity.norm())
    made = replace(oracle_case(case), mu={"src": pose + strength * identity, "dst": pose - strength * identity})
    made.logvar = {person: torch.zeros_like(pose) for person in PEOPLE}
    return made


def faint_identity_case(case: Case) -> Case:
    """Latents (M, 16, 3, 3) of unit variance whose first value tells the person exactly, by a fiftieth of that."""
    made = latent_case(case, 0.0)
    assert made.mu is not None
    mu = {"src": made.mu["src"].clone(), "dst": made.mu["dst"].clone()}
    for person, value in (("src", 0.02), ("dst", -0.02)):
        mu[person][:, 0, 0, 0] = value
    return replace(made, mu=mu)


def soft_blend_case(case: Case, share: float) -> Case:
    made = blend_case(case, share)
    return case.with_outputs(made.swap, {person: blur(case.images[person], 1.0) for person in PEOPLE})


def blurring_copier(case: Case, sigma: float) -> Case:
    return replace(copy_case(case), encode=lambda images: images, decode=lambda z, person: blur(z, sigma))


def factor_leak(case: Case, strength: float) -> Case:
    """An encoder whose latents (N, 64) are unit noise plus a random mix of the crowd's standardised factors."""
    made = oracle_case(case)
    if case.crowd is None:
        return made
    factors = case.remember("crowd", case.crowd, fixed=True)[1].float().cpu()
    factors = (factors - factors.mean(0)) / factors.std(0).clamp_min(1e-6)
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(factors.shape[1], 64, generator=generator)
    noise = torch.randn(len(factors), 64, generator=generator)
    return replace(made, encode=lambda images: strength * factors @ mix + noise, decode=lambda z, person: z)


def linear_decoder(case: Case, scale: float) -> Case:
    made = replace(oracle_case(case), mu=dict(case.images), encode=lambda images: images)
    made.decode = lambda z, person: 0.5 + scale * z
    return made


def ghost_case(case: Case) -> Case:
    """Driver and truth half and half, as a double exposure. Needs ground truth."""
    return blend_case(case, 0.5)


def blurred_copy_case(case: Case, sigma: float = 2.0) -> Case:
    """The driver, blurred; its reconstructions are blurred as well."""
    blurred = {person: blur(case.images[person], sigma) for person in PEOPLE}
    return case.with_outputs({way: blurred[driver_of(way)] for way in DIRECTIONS}, blurred)


def half_face_case(case: Case) -> Case:
    """The truth on the left half of the picture, the driver on the right. Needs ground truth."""
    middle = case.images["src"].shape[-1] // 2

    def paste(way: str) -> Tensor:
        return torch.cat([case.truth(way)[..., :middle], case.images[driver_of(way)][..., middle:]], dim=-1)

    return case.with_outputs({way: paste(way) for way in DIRECTIONS}, case.images)


def other_pose_case(case: Case) -> Case:
    """The right person in another picture's pose and expression, everywhere. Needs ground truth."""
    return wrong_pose_case(case, 1.0)


def poor_reconstruction_case(case: Case) -> Case:
    """Exact swaps, and reconstructions that show the other person. Needs ground truth."""
    return case.with_outputs(
        {way: case.truth(way) for way in DIRECTIONS},
        {person: case.images[other] for person, other in zip(PEOPLE, reversed(PEOPLE), strict=True)},
    )


def frozen_expression_case(case: Case) -> Case:
    """The right person in the right pose, with the average expression on every picture. Needs the renderer."""
    if case.render is None or case.pose is None:
        raise ValueError("needs the renderer: nobody else paints a face with another expression")
    columns = [case.pose_names.index(name) for name in EXPRESSIONS if name in case.pose_names]
    pose = case.pose.clone()
    pose[:, columns] = pose[:, columns].mean(0)
    return case.with_outputs({way: case.render(target_of(way), pose) for way in DIRECTIONS}, case.images)


RENDERED = frozenset({"frozen_expression"})  # controls that are painted anew: they cost seconds
CONTROLS: Mapping[str, Callable[[Case], Case]] = {
    "oracle": oracle_case,
    "copy": copy_case,
    "mean_face": mean_face_case,
    "ghost": ghost_case,
    "blurred_copy": blurred_copy_case,
    "half_face": half_face_case,
    "other_pose": other_pose_case,
    "poor_reconstruction": poor_reconstruction_case,
    "frozen_expression": frozen_expression_case,
    "faint_identity": faint_identity_case,
}
