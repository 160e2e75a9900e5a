"""How much of the person is in the latent: variance share, usable bits, factor by factor, rate, and whether it is used.

Latents are (M, ...) arrays or tensors of posterior means; "matched" latents share pose, expression and light by index.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metrics.case import DIRECTIONS, PEOPLE, Case, Evaluator, as_values, driver_of, target_of
from metrics.identity import errors
from metrics.info import MetricInfo
from metrics.probes import cross_entropies, folds_of, gaussian, gram, predicted

FOLDS = 4
PERMUTATIONS = 8
SATURATED = 0.99
ACTIVE_VARIANCE = 0.01  # of a unit's posterior mean over the data (Burda, Grosse, Salakhutdinov 2016)


def _flat(latents: Tensor | np.ndarray) -> np.ndarray:
    array = latents.detach().cpu().numpy() if isinstance(latents, Tensor) else np.asarray(latents)
    return array.reshape(len(array), -1).astype(np.float64)


def identity_variance_share(src: Tensor | np.ndarray, dst: Tensor | np.ndarray) -> float:
    """eta^2: the identity's share of the variance of matched latents (M, ...); lower is better.

    With delta_i = src_i - dst_i, the squared distance of the persons' means is estimated from products of different
    pairs only, <delta_i, delta_j> over i != j: the mean over all splits in halves of <mean half 1, mean half 2>. So it
    is unbiased at zero leakage, and slightly negative values are kept. A quarter of it is the variance between two
    balanced persons; the pooled variance within the persons completes the denominator. Raises ValueError for fewer
    than two pairs or unequal counts.
    """
    a, b = _flat(src), _flat(dst)
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"needs two or more matched pairs, got {len(a)} src and {len(b)} dst latents")
    delta, count = a - b, len(a)
    total = delta.sum(0)
    between = (total @ total - np.square(delta).sum()) / (count * (count - 1)) / 4
    within = (a.var(0, ddof=1).sum() + b.var(0, ddof=1).sum()) / 2
    return float(between / (between + within)) if between + within > 0 else float("nan")


class Bits(NamedTuple):
    """`linear`, `nonlinear`: usable bits after the permutation control; `accuracy` of the linear probe."""

    linear: float
    nonlinear: float
    accuracy: float


def identity_bits(src: Tensor | np.ndarray, dst: Tensor | np.ndarray, seed: int = 0, matched: bool = True) -> Bits:
    """V-information (Xu et al. 2020) of the latents (M, ...), (N, ...) about src/dst: H - test cross-entropy.

    The linear probe is a ridge on all dimensions with a logistic readout, so that identity of low variance counts and
    latents of any size compare; the nonlinear one may use a Gaussian kernel instead. The value of the same probe on
    permuted labels (swapped within matched pairs) is taken off, which cancels the cost of overfitting: no information
    reads 0, full information 1 bit or slightly more. Matched pairs never straddle training and test folds.
    """
    a, b = _flat(src), _flat(dst)
    labels = np.repeat([0.0, 1.0], [len(a), len(b)])
    folds = np.concatenate([folds_of(len(a), FOLDS), folds_of(len(b), FOLDS)])
    rng = np.random.default_rng(seed)
    rows = [labels]
    for _ in range(PERMUTATIONS):
        if matched:
            flip = rng.random(len(a)) < 0.5
            rows.append(np.where(np.concatenate([flip, flip]), 1 - labels, labels))
        else:
            rows.append(rng.permutation(labels))
    products = gram(np.concatenate([a, b]))
    (linear, nonlinear), right = cross_entropies([products, gaussian(products)], np.stack(rows), folds)
    # The entropy H is common to the labels and their permutations and cancels.
    return Bits(
        linear=float(linear[1:].mean() - linear[0]),
        nonlinear=float(nonlinear[1:].mean() - nonlinear[0]),
        accuracy=float(right[0, 0]),
    )


def factor_r2(latents: Tensor | np.ndarray, factors: Tensor | np.ndarray) -> np.ndarray:
    """(K,) cross-validated R^2 of a linear readout of each factor (N, K) from latents (N, ...) of many identities.

    Says which factor leaks (hair? glasses?). A ridge on all dimensions, its strength chosen inside the training folds;
    no information reads 0 or slightly less, NaN a factor that does not vary. Row order must be free of structure:
    whole identities should not repeat.
    """
    y = _flat(factors).T
    predictions = predicted(gram(_flat(latents)), y, folds_of(y.shape[1], 5))
    total = np.square(y - y.mean(1, keepdims=True)).sum(1)
    return np.where(total > 1e-12, 1 - np.square(y - predictions).sum(1) / np.maximum(total, 1e-12), np.nan)


def kl_nats(mu: Tensor, logvar: Tensor) -> Tensor:
    """(B,) KL(N(mu, exp(logvar)) || N(0, 1)) summed over the latent, in nats.

    A certified upper bound on the mutual information of image and latent only when decoding samples the latent.
    """
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).flatten(1).sum(1)


def active_units(mu: Tensor) -> int:
    """How many of the latent's values vary by more than 0.01 (variance of mu (B, ...) over the images)."""
    return int((mu.flatten(1).var(0) > ACTIVE_VARIANCE).sum())


def without_mean_shift(mu: dict[str, Tensor], driver: str, target: str) -> Tensor:
    """The driver's latents (M, ...), moved so that their mean is the target's: the mean then tells nothing."""
    return mu[driver] - mu[driver].mean(0, keepdim=True) + mu[target].mean(0, keepdim=True)


def _leakage(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    assert case.mu is not None
    mu = {person: case.mu[person].float() for person in PEOPLE}
    share = float("nan")
    if case.matched and case.count > 1:
        share = identity_variance_share(mu["src"], mu["dst"])
    else:
        case.note("identity_variance_share", "needs ground truth: two latents or more of the same poses")
    yield "identity_variance_share", np.array([share])
    bits = identity_bits(mu["src"], mu["dst"], matched=case.matched)
    yield "identity_bits", np.array([bits.linear])
    yield "identity_bits_nonlinear", np.array([bits.nonlinear])
    yield "probe_accuracy", np.array([bits.accuracy])
    if bits.accuracy >= SATURATED:
        case.note("probe_accuracy", "saturated: it no longer tells models apart; read identity_variance_share")
    if case.logvar is None:
        for name in ("kl_nats", "kl_per_cell"):
            case.note(name, "the latent has no variance: nothing bounds its rate")
            yield name, np.full(1, np.nan)
    else:
        logvar = case.logvar
        rate = np.concatenate([as_values(kl_nats(mu[p], logvar[p].float())) for p in PEOPLE])
        cells = int(np.prod(mu["src"].shape[2:]))
        yield "kl_nats", rate
        yield "kl_per_cell", rate / cells
    yield "active_units", np.array([float(active_units(torch.cat([mu[p] for p in PEOPLE])))])


def _mean_shift(case: Case) -> Iterator[tuple[str, np.ndarray]]:
    assert case.mu is not None and case.decode is not None
    mu = dict(case.mu)
    with torch.no_grad():
        moved = {
            way: case.decode(without_mean_shift(mu, driver_of(way), target_of(way)), target_of(way))
            for way in DIRECTIONS
        }
    before, after = errors(case).gap, errors(case, moved).gap
    for name in ("leak_gap_no_shift", "leak_used"):
        if before.reason:
            case.note(name, before.reason)
    yield "leak_gap_no_shift", np.array([after.value])
    yield "leak_used", np.array([before.value - after.value])


EVALUATORS = {
    "leakage": Evaluator(
        _leakage,
        (
            MetricInfo(
                "identity_variance_share",
                "lower",
                "",
                0.0,
                "share of the latent's variance that is the person (eta^2), unbiased at zero, comparable across sizes",
                title="Identity share of the latent",
                decimals=3,
                ladder="latent",
                ends=(0.8, 0.0),
                bounds=(None, 1.0),
            ),
            MetricInfo(
                "identity_bits",
                "lower",
                "bits",
                0.0,
                "bits about src/dst that a linear probe on all dimensions can use, permuted labels taken off",
                title="Usable identity",
                decimals=3,
                ladder="latent",
                ends=(1.0, 0.0),
                controls={"faint_identity": (0.8, 1.2)},
            ),
            MetricInfo(
                "identity_bits_nonlinear",
                "lower",
                "bits",
                0.0,
                "the same for a small nonlinear probe",
                title="Usable identity, nonlinear probe",
                decimals=3,
                ladder="latent",
                ends=(1.0, 0.0),
            ),
            MetricInfo(
                "probe_accuracy",
                "none",
                "",
                0.5,
                "footnote: accuracy of the linear src/dst probe; saturates",
                title="Probe accuracy",
                decimals=3,
                ladder="latent",
                ends=(1.0, 0.5),
                bounds=(0.0, 1.0),
            ),
            MetricInfo(
                "kl_nats",
                "none",
                "nats",
                None,
                "rate: KL of the posterior to N(0, 1), summed over the latent",
                title="KL",
                decimals=1,
                bounds=(0.0, None),
            ),
            MetricInfo(
                "kl_per_cell",
                "none",
                "nats",
                None,
                "the rate over the number of spatial cells",
                title="KL per cell",
                decimals=2,
                bounds=(0.0, None),
            ),
            MetricInfo(
                "active_units",
                "none",
                "",
                None,
                "latent values that vary over the images at all",
                title="Active units",
                decimals=0,
                bounds=(0.0, None),
            ),
        ),
        frozenset({"latent"}),
    ),
    "mean_shift": Evaluator(
        _mean_shift,
        (
            MetricInfo(
                "leak_gap_no_shift",
                "lower",
                "",
                0.0,
                "the leak gap after the persons' mean latents were made equal before decoding",
                title="Leak gap without mean shift",
                decimals=3,
            ),
            MetricInfo(
                "leak_used",
                "lower",
                "",
                0.0,
                "leak gap that vanishes with the mean shift: the identity in the latent's mean that the decoder uses",
                title="Leak that the decoder uses",
                decimals=3,
            ),
        ),
        frozenset({"truth", "latent", "model"}),
    ),
}
