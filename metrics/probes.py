"""Small probes with closed fits on all dimensions, so that a probe's value depends neither on training nor on a cut.

Everything is dual: N items are compared by their Gram matrix (N, N), so the latent's size costs one product.
"""

from __future__ import annotations

import numpy as np

STRENGTHS = np.logspace(-6, 2, 9)  # of the ridge, in units of the Gram matrix's mean eigenvalue
LEAST_GAIN = 1.0  # nats that a slope must save on the training items to be used (Akaike's price of one parameter)
SLOPE_DECAY = 1e-3  # L2 on a calibration's slope: a separable fold would drive it to infinity


def folds_of(count: int, folds: int) -> np.ndarray:
    """(count,) fold of each item, dealt in turn."""
    return np.arange(count) % folds


def gram(items: np.ndarray) -> np.ndarray:
    """(N, N) inner products of items (N, D), their mean removed."""
    centred = items - items.mean(0)
    return centred @ centred.T


def gaussian(products: np.ndarray) -> np.ndarray:
    """(N, N) Gaussian kernel of the distances behind a Gram matrix, its width their median, scaled like the matrix."""
    size = np.diag(products)
    square = np.maximum(size[:, None] + size[None] - 2 * products, 0)
    middle = np.median(square[np.triu_indices(len(square), 1)])
    return np.exp(-square / max(middle, 1e-30)) * max(size.mean(), 1e-30)


def _centred(products: np.ndarray, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrices (train, train) and (test, train) as seen from the mean of the training items."""
    near, far = products[np.ix_(train, train)], products[np.ix_(test, train)]
    mean = near.mean(0)
    return near - mean - mean[:, None] + mean.mean(), far - mean - far.mean(1, keepdims=True) + mean.mean()


def ridge(products: np.ndarray, targets: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """(S, R, test) kernel ridge predictions of targets (R, N) at every strength, fitted on the training items."""
    near, far = _centred(products, train, test)
    middle = targets[:, train].mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(near)
    values = np.maximum(values, 0)
    strengths = STRENGTHS * max(values.mean(), 1e-30)
    along = (targets[:, train] - middle) @ vectors
    weights = along / (values + strengths[:, None, None])
    return weights @ (far @ vectors).T + middle


def predicted(products: np.ndarray, targets: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(R, N) held-out predictions of targets (R, N); each strength is chosen by inner folds of the training items."""
    found = np.zeros(targets.shape)
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        inner = _inner(products, targets, folds, train)
        best = np.square(inner - targets[:, train]).mean(2).argmin(0)
        found[:, test] = ridge(products, targets, train, test)[best, np.arange(len(targets))]
    return found


def _inner(products: np.ndarray, targets: np.ndarray, folds: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(S, R, train) predictions of the training items, each by the other folds among them."""
    found = np.zeros((len(STRENGTHS), len(targets), len(train)))
    for fold in np.unique(folds[train]):
        held = folds[train] == fold
        found[..., held] = ridge(products, targets, train[~held], train[held])
    return found


def _calibrated(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(R,) slope (0 where it does not pay) and offset of logistic regressions of labels (R, N) on one score each."""
    scale = scores.std(1) + 1e-12
    x = scores / scale[:, None]
    slope, offset = np.zeros((2, len(x)))
    for _ in range(30):
        chance = 0.5 * (1 + np.tanh(0.5 * (slope[:, None] * x + offset[:, None])))
        miss, doubt = chance - labels, chance * (1 - chance) + 1e-9
        down = np.stack([(miss * x).mean(1) + SLOPE_DECAY * slope, miss.mean(1)])
        xx, xo, oo = (doubt * x * x).mean(1) + SLOPE_DECAY, (doubt * x).mean(1), doubt.mean(1) + 1e-6
        step = np.stack([oo * down[0] - xo * down[1], xx * down[1] - xo * down[0]]) / (xx * oo - xo**2)
        slope, offset = slope - step[0].clip(-5, 5), offset - step[1].clip(-5, 5)
        if np.abs(step).max() < 1e-4:
            break
    gain = _nats(0 * x + offset[:, None], labels) - _nats(slope[:, None] * x + offset[:, None], labels)
    return np.where((slope > 0) & (gain > LEAST_GAIN), slope, 0.0) / scale, offset


def _nats(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(R,) cross-entropy of logits (R, N), summed over the items."""
    return np.logaddexp(0, np.where(labels > 0.5, -scores, scores)).sum(1)


def cross_entropies(kernels: list[np.ndarray], labels: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Held-out bits and accuracy of the probes that may use the first k of K kernels: (K, R), (K, R).

    A probe is a kernel ridge with a logistic readout of the labels (R, N) in {0, 1}. Kernel and strength are those that
    serve the inner folds best, so it may ignore its input when there is nothing to read, as V-information asks.
    folds (N,): three or more.
    """
    bits, right = np.zeros((2, len(kernels), *labels.shape))
    targets, rows = 2 * labels - 1, np.arange(len(labels))
    for fold in np.unique(folds):
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        inner = np.concatenate([_inner(kernel, targets, folds, train) for kernel in kernels])
        outer = np.concatenate([ridge(kernel, targets, train, test) for kernel in kernels])
        error, known = np.square(inner - targets[:, train]).mean(2), labels[:, test] > 0.5
        for k in range(len(kernels)):
            best = error[: (k + 1) * len(STRENGTHS)].argmin(0)
            slope, offset = _calibrated(inner[best, rows], labels[:, train])
            scores = slope[:, None] * outer[best, rows] + offset[:, None]
            bits[k][:, test] = np.logaddexp(0, np.where(known, -scores, scores)) / np.log(2)
            right[k][:, test] = (scores > 0) == known
    return bits.mean(2), right.mean(2)
