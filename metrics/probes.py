"""Small probes with closed or convex fits, so that a probe's value never depends on how long it was trained."""

from __future__ import annotations

import numpy as np

HIDDEN = 64  # random rectified features of the nonlinear probe
DECAYS = np.array([0.001, 0.01, 0.1, 1.0, 10.0])  # L2 on the readout, per sample; the last all but ignores the input
STRENGTHS = np.logspace(-4, 3, 8)  # of the ridge, in units of the number of samples


def folds_of(count: int, folds: int) -> np.ndarray:
    """(count,) fold of each item, dealt in turn."""
    return np.arange(count) % folds


def principal_components(train: np.ndarray, other: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays (N, D) in the unit-variance principal components of `train` alone: (N, K), K <= dimensions."""
    middle = train.mean(0)
    centred = train - middle
    values, vectors = np.linalg.eigh(centred @ centred.T)  # few samples, many dimensions
    keep = np.argsort(values)[::-1][: min(dimensions, len(train) - 1, train.shape[1])]
    keep = keep[values[keep] > 1e-12 * max(values.max(), 1e-30)]
    scale = np.sqrt(values[keep])
    axes = centred.T @ (vectors[:, keep] / scale)
    spread = scale / np.sqrt(len(train))
    return centred @ axes / spread, (other - middle) @ axes / spread


def _logistic(features: np.ndarray, labels: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """Weights (R, K + 1) of R logistic regressions with intercept, by Newton's method: labels (R, N), decays (R,)."""
    x = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    penalty = np.repeat(decays[:, None], x.shape[1], axis=1)
    penalty[:, -1] = 1e-6
    weights = np.zeros((len(labels), x.shape[1]))
    for _ in range(20):
        chance = 0.5 * (1 + np.tanh(0.5 * weights @ x.T))
        slope = (chance - labels) @ x / len(x) + penalty * weights
        doubt = chance * (1 - chance)
        curvature = x.T @ (doubt[:, :, None] * x) / len(x)
        curvature[:, np.arange(x.shape[1]), np.arange(x.shape[1])] += penalty
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        weights -= step
        if np.abs(step).max() < 1e-4:
            break
    return weights


def _scores(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return weights[:, :-1] @ features.T + weights[:, -1:]


def _bits(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, np.where(labels > 0.5, -scores, scores)) / np.log(2)


def _probe(near: np.ndarray, truth: np.ndarray, halves: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Held-out scores (R, N') of probes for labels (R, N), each with the decay that served one half best for the other.

    Choosing the decay lets a probe ignore its input when there is nothing to read, as V-information asks.
    """
    rows, tried = len(truth), len(DECAYS)
    every, decays = np.repeat(truth, tried, axis=0), np.tile(DECAYS, rows)
    cost = np.zeros(rows * tried)
    for half in (False, True):
        weights = _logistic(near[halves == half], every[:, halves == half], decays)
        cost += _bits(_scores(near[halves != half], weights), every[:, halves != half]).sum(1)
    best = DECAYS[cost.reshape(rows, tried).argmin(1)]
    return _scores(far, _logistic(near, truth, best))


def cross_entropies(
    latents: np.ndarray, labels: np.ndarray, folds: np.ndarray, dimensions: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Held-out bits of a linear and a nonlinear probe, and the linear one's accuracy, for each row of `labels` (R, N).

    latents (N, D); folds (N,), two or more: they also part the training items when a probe's decay is chosen.
    Reduction and scaling are fitted on the training folds alone.
    """
    linear, nonlinear, right = (np.zeros(labels.shape) for _ in range(3))
    rng = np.random.default_rng(seed)
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        near, far = principal_components(latents[train], latents[test], dimensions)
        mix = rng.normal(size=(near.shape[1], HIDDEN)) / np.sqrt(max(near.shape[1], 1))
        shift = rng.normal(size=HIDDEN)
        hidden = [np.concatenate([part, np.maximum(part @ mix + shift, 0)], axis=1) for part in (near, far)]
        # Items of one pose carry the same order within their person, hence land in the same half.
        halves = inner_halves(labels[0, train])
        scores = _probe(near, labels[:, train], halves, far)
        linear[:, test], right[:, test] = _bits(scores, labels[:, test]), (scores > 0) == (labels[:, test] > 0.5)
        nonlinear[:, test] = _bits(_probe(hidden[0], labels[:, train], halves, hidden[1]), labels[:, test])
    return linear.mean(1), nonlinear.mean(1), right.mean(1)


def inner_halves(labels: np.ndarray) -> np.ndarray:
    """(N,) bool: within each class every other item, so that matched items of two classes stay together."""
    halves = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        halves[places[1::2]] = True
    return halves


def ridge(train: np.ndarray, targets: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(T, K) predictions of ridge regressions, each target's strength chosen by leave-one-out on the training items."""
    middle, centre = targets.mean(0), train.mean(0)
    u, s, vt = np.linalg.svd(train - centre, full_matrices=False)
    along = u.T @ (targets - middle)
    best, chosen = np.full(targets.shape[1], np.inf), np.zeros((train.shape[1], targets.shape[1]))
    for strength in STRENGTHS * len(train):
        shrink = s**2 / (s**2 + strength)
        leverage = (u**2 * shrink).sum(1) + 1 / len(train)
        left_out = (targets - middle - u @ (shrink[:, None] * along)) / (1 - leverage)[:, None]
        error = np.square(left_out).mean(0)
        weights = vt.T @ ((s / (s**2 + strength))[:, None] * along)
        chosen = np.where(error < best, weights, chosen)
        best = np.minimum(error, best)
    return (test - centre) @ chosen + middle
