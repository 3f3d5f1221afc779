"""The dense path of `apply`: keep the values of the basis, and leave the rest to one matrix product.

While a layer is small, computing the basis again in the backward pass costs more than remembering its values. The one
piece of its own is `evaluate`, the values of a basis as a function of x that is closed under differentiation:
∂B⁽ⁿ⁾/∂x = B⁽ⁿ⁺¹⁾.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import _set_fwd_grad_enabled, unpack_dual

from edgewise.basis import Basis

MOST_VALUES = 2**18  # of the basis, that are worth remembering


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, grid: Tensor, basis: Basis, order: int) -> Tensor:
        return basis.values(x, grid, order)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        x, grid, ctx.basis, ctx.order = inputs
        ctx.save_for_backward(x, grid)
        ctx.save_for_forward(x, grid)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, grid = ctx.saved_tensors
        return (grads[0] * evaluate(ctx.basis, grid, x, ctx.order + 1)).sum(-1), None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        with _set_fwd_grad_enabled(True):  # see functions.py
            x, grid = (unpack_dual(saved).primal for saved in ctx.saved_tensors)
            return tangents[0].unsqueeze(-1) * evaluate(ctx.basis, grid, x, ctx.order + 1)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        del info
        x, *rest = inputs
        if in_dims[1] is not None:
            raise NotImplementedError("vmap over a layer's grid is not supported; stack layers of one grid instead")
        return _Evaluate.apply(x.movedim(in_dims[0], 0), *rest), 0


def evaluate(basis: Basis, grid: Tensor, x: Tensor, order: int = 0) -> Tensor:
    """Values of the order-th derivatives of a basis, differentiable by x to any order.

    Args:
        basis: the function family.
        grid: places the functions, shape (I, K).
        x: inputs, shape (..., I).
        order: derivative order, 0 or more.

    Returns:
        Values of shape (..., I, M).
    """
    transformed = torch._C._are_functorch_transforms_active()
    if transformed or (torch.is_grad_enabled() and x.requires_grad):
        return _Evaluate.apply(x, grid, basis, order)
    return basis.values(x, grid, order)


def serves(basis: Basis, x: Tensor) -> bool:
    """The cost rule: somebody differentiates, and the values are few."""
    return torch.is_grad_enabled() and x.numel() * basis.size <= MOST_VALUES


def apply(basis: Basis, grid: Tensor, x: Tensor, c: Tensor, order: int, v: Tensor | None) -> Tensor:
    """See `edgewise.kernels.apply`."""
    values = evaluate(basis, grid, x, order)
    if v is not None:
        values = values * v.unsqueeze(-1)
    return values.flatten(-2) @ c.flatten(-3, -2)
