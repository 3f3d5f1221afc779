"""Derivative and vectorisation rules of the three contractions, stated once.

With A (apply), P (pullback) and C (coefficient gradient) at derivative order n, the derivative of each in any argument
is another of the three at order n or n + 1. The rules take the three as arguments, so that they serve both the
autograd functions used eagerly and the custom operators seen by the compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Contraction = Callable[..., Tensor]


@dataclass(frozen=True)
class Contractions:
    """The three, each taking (three tensors, grid, basis, backend, order) in the order of `reference`.

    `gradients` takes (x, c, g, v, grid, basis, backend, order): the pullback at order + 1 and the coefficient gradient.
    """

    apply: Contraction
    pullback: Contraction
    coefficient_gradient: Contraction
    gradients: Callable[..., tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, apply: Contraction, pullback: Contraction, coefficient_gradient: Contraction) -> Contractions:
        """With `gradients` made of the other two, so that it can be differentiated as they can."""

        def gradients(x: Tensor, c: Tensor, g: Tensor, v: Tensor | None, *rest: Any) -> tuple[Tensor, Tensor]:
            *others, order = rest
            return pullback(x, c, g, *others, order + 1), coefficient_gradient(x, g, v, *rest)

        return cls(apply, pullback, coefficient_gradient, gradients)


def apply_gradients(k: Contractions, inputs: tuple[Any, ...], need: list[bool], grad: Tensor) -> tuple[Any, ...]:
    """∂A/∂(x, c, v) against `grad` (B, O)."""
    x, c, v, *rest, order = inputs
    along_x = along_c = along_v = None
    if need[0] and need[1]:
        along_x, along_c = k.gradients(x, c, grad, v, *rest, order)
    elif need[0]:
        along_x = k.pullback(x, c, grad, *rest, order + 1)
    elif need[1]:
        along_c = k.coefficient_gradient(x, grad, v, *rest, order)
    if along_x is not None:
        along_x = _times(along_x, v)
    if need[2]:
        along_v = k.pullback(x, c, grad, *rest, order)
    return along_x, along_c, along_v, None, None, None, None


def pullback_gradients(k: Contractions, inputs: tuple[Any, ...], need: list[bool], grad: Tensor) -> tuple[Any, ...]:
    """∂P/∂(x, c, g) against `grad` (B, I)."""
    x, c, g, *rest, order = inputs
    along_x = along_c = along_g = None
    if need[0]:
        along_x = grad * k.pullback(x, c, g, *rest, order + 1)
    if need[1]:
        along_c = k.coefficient_gradient(x, g, grad, *rest, order)
    if need[2]:
        along_g = k.apply(x, c, grad, *rest, order)
    return along_x, along_c, along_g, None, None, None, None


def coefficient_gradients(k: Contractions, inputs: tuple[Any, ...], need: list[bool], grad: Tensor) -> tuple[Any, ...]:
    """∂C/∂(x, g, v) against `grad` (I, M, O)."""
    x, g, v, *rest, order = inputs
    along_x = along_g = along_v = None
    if need[0]:
        along_x = _times(k.pullback(x, grad, g, *rest, order + 1), v)
    if need[1]:
        along_g = k.apply(x, grad, v, *rest, order)
    if need[2]:
        along_v = k.pullback(x, grad, g, *rest, order)
    return along_x, along_g, along_v, None, None, None, None


def apply_tangent(k: Contractions, inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tensor:
    """The directional derivative of A along (ẋ, ċ, v̇)."""
    x, c, v, *rest, order = inputs
    dx, dc, dv = tangents
    terms = []
    if dx is not None:
        terms.append(k.apply(x, c, _times(dx, v), *rest, order + 1))
    if dc is not None:
        terms.append(k.apply(x, dc, v, *rest, order))
    if dv is not None:
        terms.append(k.apply(x, c, dv, *rest, order))
    return _sum(terms)


def pullback_tangent(k: Contractions, inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tensor:
    """The directional derivative of P along (ẋ, ċ, ġ)."""
    x, c, g, *rest, order = inputs
    dx, dc, dg = tangents
    terms = []
    if dx is not None:
        terms.append(dx * k.pullback(x, c, g, *rest, order + 1))
    if dc is not None:
        terms.append(k.pullback(x, dc, g, *rest, order))
    if dg is not None:
        terms.append(k.pullback(x, c, dg, *rest, order))
    return _sum(terms)


def coefficient_tangent(k: Contractions, inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tensor:
    """The directional derivative of C along (ẋ, ġ, v̇)."""
    x, g, v, *rest, order = inputs
    dx, dg, dv = tangents
    terms = []
    if dx is not None:
        terms.append(k.coefficient_gradient(x, g, _times(dx, v), *rest, order + 1))
    if dg is not None:
        terms.append(k.coefficient_gradient(x, dg, v, *rest, order))
    if dv is not None:
        terms.append(k.coefficient_gradient(x, g, dv, *rest, order))
    return _sum(terms)


def vectorise(
    contraction: Contraction, shares_coefficients: bool, size: int, in_dims: tuple[Any, ...], inputs: tuple[Any, ...]
) -> tuple[Tensor, int]:
    """The rule of `vmap`.

    Args:
        contraction: the operation.
        shares_coefficients: its second tensor is the coefficients, which may be the same for all.
        size: the length of the mapped dimension.
        in_dims: the mapped dimension of each input, None where it is shared.
        inputs: three tensors, grid, basis, backend, order.

    Returns:
        The result and its mapped dimension, 0.

    Raises:
        NotImplementedError: the grid is mapped.
    """
    if in_dims[3] is not None:
        raise NotImplementedError("vmap over a layer's grid is not supported; stack layers of one grid instead")
    tensors = [
        tensor if tensor is None or dim is None else tensor.movedim(dim, 0)
        for tensor, dim in zip(inputs[:3], in_dims[:3], strict=True)
    ]
    mapped = [dim is not None for dim in in_dims[:3]]
    if shares_coefficients and not mapped[1] and inputs[1].dim() == 3:
        # One set of coefficients: the mapped dimension is only more samples.
        folded = [
            tensor
            if tensor is None or position == 1
            else (tensor if mapped[position] else tensor.expand(size, *tensor.shape)).flatten(0, -2)
            for position, tensor in enumerate(tensors)
        ]
        samples = inputs[0].movedim(in_dims[0], 0).shape[1:-1] if mapped[0] else inputs[0].shape[:-1]
        result = contraction(*folded, *inputs[3:])
        return result.unflatten(0, (size, *samples)), 0
    expanded = [
        tensor if tensor is None or mapped[position] else tensor.expand(size, *tensor.shape)
        for position, tensor in enumerate(tensors)
    ]
    return contraction(*expanded, *inputs[3:]), 0


def _times(tensor: Tensor, weight: Tensor | None) -> Tensor:
    return tensor if weight is None else tensor * weight


def _sum(terms: list[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = torch.add(total, term)
    return total
