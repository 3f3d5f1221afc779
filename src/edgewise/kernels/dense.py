"""The dense path of `apply`: keep the values of the basis and their slopes, and leave the rest to one matrix product.

It is for bases of which most functions differ from zero everywhere, where no backend knows better. The one piece of its
own is `evaluate`, the values of a basis as a function of x that is closed under differentiation: ∂B⁽ⁿ⁾/∂x = B⁽ⁿ⁺¹⁾. The
slopes come with the values, so that going backward computes nothing again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import _set_fwd_grad_enabled, unpack_dual

from edgewise.basis import Basis

MOST_VALUES = 2**26  # of the basis, that are remembered; beyond, they are computed again


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, grid: Tensor, basis: Basis, order: int) -> tuple[Tensor, Tensor]:
        return basis.values_and_slopes(x, grid, order)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, grid, ctx.basis, ctx.order = inputs
        _, slopes = output
        ctx.mark_non_differentiable(slopes)
        ctx.save_for_backward(x, grid, slopes)
        ctx.save_for_forward(x, grid)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, grid, slopes = ctx.saved_tensors
        if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
            slopes = evaluate(ctx.basis, grid, x, ctx.order + 1)  # someone may differentiate again
        return (grads[0] * slopes).sum(-1), None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor, None]:
        with _set_fwd_grad_enabled(True):  # see functions.py
            x, grid = (unpack_dual(saved).primal for saved in ctx.saved_tensors)
            return tangents[0].unsqueeze(-1) * evaluate(ctx.basis, grid, x, ctx.order + 1), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        del info
        x, *rest = inputs
        if in_dims[1] is not None:
            raise NotImplementedError("vmap over a layer's grid is not supported; stack layers of one grid instead")
        return _Evaluate.apply(x.movedim(in_dims[0], 0), *rest), (0, 0)


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
        return _Evaluate.apply(x, grid, basis, order)[0]
    return basis.values(x, grid, order)


def serves(basis: Basis, x: Tensor) -> bool:
    """The cost rule: somebody differentiates, and the values fit well into memory."""
    return torch.is_grad_enabled() and x.numel() * basis.size <= MOST_VALUES


def apply(basis: Basis, grid: Tensor, x: Tensor, c: Tensor, order: int, v: Tensor | None) -> Tensor:
    """See `edgewise.kernels.apply`."""
    values = evaluate(basis, grid, x, order)
    if v is not None:
        values = values * v.unsqueeze(-1)
    # Function by function, as bases lay out their values.
    return values.mT.flatten(-2) @ c.transpose(-3, -2).flatten(-3, -2)
