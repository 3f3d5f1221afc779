"""The three contractions that everything is made of, differentiable to any order.

With φ_io(x) = Σ_m c[i,m,o] B_m(x), n the derivative order and v an optional weight per sample and input:

    apply                   y[b,o]   = Σ_i v[b,i] φ_io⁽ⁿ⁾(x[b,i])
    pullback                u[b,i]   = Σ_o g[b,o] φ_io⁽ⁿ⁾(x[b,i])
    coefficient_gradient    C[i,m,o] = Σ_b v[b,i] g[b,o] B_m⁽ⁿ⁾(x[b,i])

Each takes x (B, I), grid (I, K) and a `Basis`, and runs on the first backend of `dispatch` that can serve it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.basis import Basis
from edgewise.kernels import dense, functions, operators
from edgewise.kernels.dispatch import select

__all__ = ["apply", "apply_with_base", "coefficient_gradient", "pullback"]


def apply(
    basis: Basis,
    grid: Tensor,
    x: Tensor,
    c: Tensor,
    *,
    order: int = 0,
    v: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Sums of edge functions, or of their derivatives, over the inputs.

    Args:
        basis: the function family.
        grid: places the functions, shape (I, K).
        x: inputs, shape (B, I).
        c: coefficients, shape (I, M, O).
        order: derivative order n, 0 or more.
        v: optional weights, shape (B, I).
        backend: the backend to use, "cpu" or "reference"; the best that can serve the call if None.

    Returns:
        y of shape (B, O).

    Example:
        >>> import torch
        >>> from edgewise import kernels
        >>> from edgewise.basis import Chebyshev
        >>> ends, x = torch.tensor([[-1.0, 1.0]]), torch.tensor([[0.5]])
        >>> c = torch.tensor([[[0.0], [0.0], [1.0]]])
        >>> kernels.apply(Chebyshev(degree=2), ends, x, c)
        tensor([[-0.5000]])
    """
    if torch.compiler.is_compiling():
        return operators.CONTRACTIONS.apply(x, c, v, grid, basis.key, backend, order)
    if backend is None and _is_dense(basis, x, c, order, v):
        return dense.apply(basis, grid, x, c, order, v)
    return functions.contractions().apply(x, c, v, grid, basis, backend, order)


def apply_with_base(basis: Basis, grid: Tensor, x: Tensor, c: Tensor, e: Tensor, w: Tensor) -> Tensor:
    """Sums of edge functions with a base function, whose values are given: `apply` plus e·w.

    Args:
        basis: the function family.
        grid: places the functions, shape (I, K).
        x: inputs, shape (B, I).
        c: coefficients, shape (I, M, O).
        e: values of the base function at the inputs, shape (B, I).
        w: its weights, shape (I, O).

    Returns:
        y of shape (B, O).
    """
    one_pass = not torch.compiler.is_compiling() and functions.is_plain() and not _is_dense(basis, x, c, 0, None)
    if one_pass:
        return functions.apply_with_base(x, c, e, w, grid, basis)
    return torch.addmm(apply(basis, grid, x, c), e, w)


def pullback(
    basis: Basis, grid: Tensor, x: Tensor, c: Tensor, g: Tensor, *, order: int = 0, backend: str | None = None
) -> Tensor:
    """Weighted sums of edge functions, or of their derivatives, over the outputs.

    Args:
        basis: the function family.
        grid: places the functions, shape (I, K).
        x: inputs, shape (B, I).
        c: coefficients, shape (I, M, O).
        g: weights of the outputs, shape (B, O).
        order: derivative order n, 0 or more.
        backend: the backend to use; the best that can serve the call if None.

    Returns:
        u of shape (B, I).
    """
    if torch.compiler.is_compiling():
        return operators.CONTRACTIONS.pullback(x, c, g, grid, basis.key, backend, order)
    return functions.contractions().pullback(x, c, g, grid, basis, backend, order)


def coefficient_gradient(
    basis: Basis,
    grid: Tensor,
    x: Tensor,
    g: Tensor,
    *,
    order: int = 0,
    v: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Weighted sums of basis functions, or of their derivatives, over the samples.

    Args:
        basis: the function family.
        grid: places the functions, shape (I, K).
        x: inputs, shape (B, I).
        g: weights of the outputs, shape (B, O).
        order: derivative order n, 0 or more.
        v: optional weights, shape (B, I).
        backend: the backend to use, "cpu" or "reference"; the best that can serve the call if None.

    Returns:
        C of shape (I, M, O).
    """
    if torch.compiler.is_compiling():
        return operators.CONTRACTIONS.coefficient_gradient(x, g, v, grid, basis.key, backend, order)
    return functions.contractions().coefficient_gradient(x, g, v, grid, basis, backend, order)


def _is_dense(basis: Basis, x: Tensor, c: Tensor, order: int, v: Tensor | None) -> bool:
    """Whether the dense path is the best: no backend knows better than the reference."""
    return dense.serves(basis, x) and select(basis, order, (x, c, v)).name == "reference"
