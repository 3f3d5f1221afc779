"""The contractions as `torch.library` operators: the path that `torch.compile` sees, opaque and differentiable.

Operators take no Python objects, so the basis travels as its key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from edgewise.basis import basis_from_key
from edgewise.kernels import rules
from edgewise.kernels.dispatch import select


@torch.library.custom_op("edgewise::apply", mutates_args=())
def _apply(x: Tensor, c: Tensor, v: Tensor | None, grid: Tensor, basis: str, backend: str | None, order: int) -> Tensor:
    family = basis_from_key(basis)
    return select(family, order, (x, c, v), backend).apply(x, c, v, grid, family, order)


@torch.library.custom_op("edgewise::pullback", mutates_args=())
def _pullback(x: Tensor, c: Tensor, g: Tensor, grid: Tensor, basis: str, backend: str | None, order: int) -> Tensor:
    family = basis_from_key(basis)
    return select(family, order, (x, c, g), backend).pullback(x, c, g, grid, family, order)


@torch.library.custom_op("edgewise::coefficient_gradient", mutates_args=())
def _coefficient_gradient(
    x: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: str, backend: str | None, order: int
) -> Tensor:
    family = basis_from_key(basis)
    return select(family, order, (x, g, v), backend).coefficient_gradient(x, g, v, grid, family, order)


CONTRACTIONS = rules.Contractions.of(_apply, _pullback, _coefficient_gradient)


@_apply.register_fake
def _(x: Tensor, c: Tensor, v: Tensor | None, grid: Tensor, basis: str, backend: str | None, order: int) -> Tensor:
    del v, grid, basis, backend, order
    return x.new_empty((*x.shape[:-1], c.shape[-1]))


@_pullback.register_fake
def _(x: Tensor, c: Tensor, g: Tensor, grid: Tensor, basis: str, backend: str | None, order: int) -> Tensor:
    del c, g, grid, basis, backend, order
    return x.new_empty(x.shape)


@_coefficient_gradient.register_fake
def _(x: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: str, backend: str | None, order: int) -> Tensor:
    del v, grid, backend, order
    return x.new_empty((*x.shape[:-2], x.shape[-1], basis_from_key(basis).size, g.shape[-1]))


def _register(operator: Any, gradients: Callable[..., tuple[Any, ...]], shares_coefficients: bool) -> None:
    def remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs[:4])
        ctx.rest = inputs[4:]

    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return gradients(CONTRACTIONS, (*ctx.saved_tensors, *ctx.rest), ctx.needs_input_grad, grad)

    def vectorise(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        return rules.vectorise(operator, shares_coefficients, info.batch_size, in_dims, inputs)

    operator.register_autograd(backward, setup_context=remember)
    operator.register_vmap(vectorise)


_register(_apply, rules.apply_gradients, True)
_register(_pullback, rules.pullback_gradients, True)
_register(_coefficient_gradient, rules.coefficient_gradients, False)
