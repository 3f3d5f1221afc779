"""The contractions as autograd functions: the eager path, with backward, forward-mode and vmap rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.forward_ad import _set_fwd_grad_enabled, unpack_dual

from edgewise.basis import Basis
from edgewise.kernels import rules
from edgewise.kernels.dispatch import select

_REPEATED = 4  # dimensions of coefficients that are mapped over samples


def _computed(operation: str) -> Callable[..., Any]:
    """One contraction on the backend that serves the call, without any derivative."""

    def compute(*inputs: Any) -> Any:
        *given, basis, backend, order = inputs
        return getattr(select(basis, order, given[:-1], backend), operation)(*given, basis, order)

    return _once_for_all(operation, compute) if operation != "coefficient_gradient" else compute


def _once_for_all(operation: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """The same, and quick where all samples have one set of coefficients, repeated to tell their gradients apart."""

    def compute_once(*inputs: Any) -> Any:
        x, c, *others = inputs
        if c.dim() != _REPEATED or c.stride(0) != 0:
            return compute(*inputs)
        *tensors, grid, basis, backend, order = others
        if operation == "gradients":
            pulled = _COMPUTED.pullback(x, c, tensors[0], grid, basis, backend, order + 1)
            return pulled, _COMPUTED.coefficient_gradient(x, *tensors, grid, basis, backend, order)
        flat = [None if tensor is None else tensor.flatten(0, 1) for tensor in (x, *tensors)]
        result = compute(flat[0], c[0], *flat[1:], grid, basis, backend, order)
        return result.unflatten(0, x.shape[:2])

    return compute_once


def _function(
    operation: str,
    gradients: Callable[..., tuple[Any, ...]],
    tangent: Callable[..., Tensor],
    shares_coefficients: bool,
) -> type[torch.autograd.Function]:
    """An autograd function for one contraction from its rules."""
    computed = _computed(operation)

    class Contraction(torch.autograd.Function):
        @staticmethod
        def forward(*inputs: Any) -> Tensor:
            return computed(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
            del output
            ctx.save_for_backward(*inputs[:4])
            ctx.save_for_forward(*inputs[:4])
            ctx.rest = inputs[4:]

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
            return gradients(contractions(), (*ctx.saved_tensors, *ctx.rest), ctx.needs_input_grad, grads[0])

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Tensor:
            # PyTorch turns forward mode off in here, and nested `jacfwd` would silently be zero. So it is turned on
            # for the outer levels; at the present one the saved tensors are stripped of their tangents.
            with _set_fwd_grad_enabled(True):
                primals = [None if saved is None else unpack_dual(saved).primal for saved in ctx.saved_tensors]
                return tangent(CONTRACTIONS, (*primals, *ctx.rest), tangents[:3])

        @staticmethod
        def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
            return rules.vectorise(Contraction.apply, shares_coefficients, info.batch_size, in_dims, inputs)

    Contraction.__name__ = Contraction.__qualname__ = operation
    return Contraction


_Apply = _function("apply", rules.apply_gradients, rules.apply_tangent, True)
_Pullback = _function("pullback", rules.pullback_gradients, rules.pullback_tangent, True)
_CoefficientGradient = _function("coefficient_gradient", rules.coefficient_gradients, rules.coefficient_tangent, False)

CONTRACTIONS = rules.Contractions.of(_Apply.apply, _Pullback.apply, _CoefficientGradient.apply)
_COMPUTED = rules.Contractions(*map(_computed, ("apply", "pullback", "coefficient_gradient", "gradients")))


class _ApplyWithBase(torch.autograd.Function):
    """`apply` and the base branch in one pass over the samples; only for plain reverse mode, of any order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, c: Tensor, e: Tensor, w: Tensor, grid: Tensor, basis: Basis) -> Tensor:
        ctx.save_for_backward(x, c, e, w, grid)
        ctx.basis = basis
        return select(basis, 0, (x, c, e, w)).apply_with_base(x, c, e, w, grid, basis)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, c, e, w, grid = ctx.saved_tensors
        (grad,), need = grads, ctx.needs_input_grad
        inputs = (x, c, None, grid, ctx.basis, None, 0)
        along_x, along_c, *_ = rules.apply_gradients(contractions(), inputs, [need[0], need[1], False], grad)
        along_e = grad @ w.T if need[2] else None
        along_w = e.T @ grad if need[3] else None
        return along_x, along_c, along_e, along_w, None, None


apply_with_base = _ApplyWithBase.apply


def is_plain() -> bool:
    """Whether neither a transform of `torch.func` nor forward mode is at work."""
    return not torch._C._are_functorch_transforms_active() and forward_ad._current_level < 0


def contractions() -> rules.Contractions:
    """The contractions to call now: where nobody differentiates, without autograd's overhead."""
    if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
        return CONTRACTIONS
    return _COMPUTED
