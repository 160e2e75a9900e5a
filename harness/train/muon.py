"""Muon: momentum whose matrices are brought near orthogonal (Jordan et al. 2024, kellerjordan.github.io/posts/muon)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

EPS = 1e-7
MARGIN = 1.01  # rounding to bfloat16 must not leave a singular value above 1
# Odd polynomials a x + b x^3 + c x^5, one an iteration. Each is the best uniform approximation of 1 on the interval
# that the one before it leaves of [0.01, 1] (Amsel et al. 2025, "The Polar Express", arXiv:2505.16932, section 3).
# Three bring singular values of at least a hundredth of the Frobenius norm into [0.73, 1.27]; Muon's usual five leave
# [0.68, 1.2].
POLYNOMIALS = (
    (8.0934, -23.6204, 17.4462),
    (3.6366, -2.7219, 0.5365),
    (2.6613, -1.9772, 0.4526),
)
SMALLEST = 0.01


def orthogonal(x: Tensor, polynomials: Sequence[tuple[float, float, float]] = POLYNOMIALS) -> Tensor:
    """A matrix (m, n) with the singular vectors of `x` and singular values near 1, in bfloat16 throughout."""
    y = x.to(torch.bfloat16)
    y = y.T if x.shape[0] > x.shape[1] else y
    y = y / (y.norm() * MARGIN).clamp(min=EPS)
    for a, b, c in polynomials:
        gram = y @ y.T
        y = torch.addmm(y, torch.addmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return y.T if x.shape[0] > x.shape[1] else y


def orthogonal_by_gram(x: Tensor, polynomials: Sequence[tuple[float, float, float]] = POLYNOMIALS) -> Tensor:
    """The same in float32, with two products of the large matrix instead of six.

    Each iteration multiplies the matrix by a polynomial of its Gram matrix; all of them commute, so they can be
    multiplied together on the small side first (Amsel et al., appendix F; Zhang et al. 2026, "Gram Newton-Schulz",
    dao-lab.ai/blog). The Gram matrix holds squares of singular values: bfloat16 has too few digits for them.
    """
    y = x.T if x.shape[0] > x.shape[1] else x
    gram = y @ y.T
    square = gram.trace().clamp(min=EPS**2)
    gram = gram / square
    product = factor = _polynomial(gram, polynomials[0])
    for polynomial in polynomials[1:]:
        gram = factor @ gram @ factor
        factor = _polynomial(gram, polynomial)
        product = factor @ product
    y = (product / square.sqrt()) @ y
    return y.T if x.shape[0] > x.shape[1] else y


def _polynomial(gram: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """What an iteration multiplies the matrix of this Gram matrix by."""
    a, b, c = coefficients
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor


class Muon(torch.optim.Optimizer):
    """Moves matrices and convolutions (O, I, kh, kw), each as a matrix (O, everything else), by their momentum
    (Nesterov's) made orthogonal. Biases and norms belong to another optimiser.

    A step's length is `lr` times sqrt(max(1, rows / columns)), so that outputs change alike whatever the shape.
    `precision`: in what it is made orthogonal, "bf16" or "fp32".
    """

    def __init__(self, params: Iterable[Any], lr: float, momentum: float = 0.9, precision: str = "fp32"):
        super().__init__(params, {"lr": lr, "momentum": momentum})
        self.orthogonal = orthogonal if precision == "bf16" else orthogonal_by_gram

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step from the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, as_matrix(weight.grad, weight), group["lr"], group["momentum"])

    def _move(self, weight: Tensor, gradient: Tensor, lr: float, momentum: float) -> None:
        matrix = as_matrix(weight, weight, shared=True)
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - momentum)
        update = self.orthogonal(gradient.lerp(state["momentum"], momentum))
        rows, columns = matrix.shape
        matrix.add_(update, alpha=-lr * math.sqrt(max(1.0, rows / columns)))


def as_matrix(x: Tensor, weight: Tensor, shared: bool = False) -> Tensor:
    """`x`, a weight or its gradient, as (O, everything else) in the order in which `weight` lies in memory.

    `shared`: a view, or a RuntimeError where the layout of `x` allows none.
    """
    channels_last = weight.ndim == 4 and not weight.is_contiguous()
    x = x.permute(0, 2, 3, 1) if channels_last else x
    return x.view(len(x), -1) if shared else x.reshape(len(x), -1)
