"""One place decides which backend computes a contraction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from edgewise.basis import Basis
from edgewise.errors import OptionError
from edgewise.kernels.cpu import CpuBackend
from edgewise.kernels.reference import ReferenceBackend


class Backend(Protocol):
    """An implementation of the three contractions, without derivative rules: those are the same for all."""

    @property
    def name(self) -> str:
        """What `edgewise info` calls it."""
        ...

    @property
    def tolerances(self) -> Mapping[torch.dtype, float]:
        """By type, how far a result may lie from the exact one, relative to the sum of its terms' magnitudes."""
        ...

    def why_not(self, basis: Basis, order: int, tensors: Sequence[Tensor | None]) -> str | None:
        """The reason why this backend cannot serve a call with these tensors, x first; None if it can."""
        ...

    def apply(self, x: Tensor, c: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """See `edgewise.kernels.apply`."""
        ...

    def apply_with_base(self, x: Tensor, c: Tensor, e: Tensor, w: Tensor, grid: Tensor, basis: Basis) -> Tensor:
        """See `edgewise.kernels.apply_with_base`."""
        ...

    def pullback(self, x: Tensor, c: Tensor, g: Tensor, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """See `edgewise.kernels.pullback`."""
        ...

    def coefficient_gradient(
        self, x: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> Tensor:
        """See `edgewise.kernels.coefficient_gradient`."""
        ...

    def gradients(
        self, x: Tensor, c: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> tuple[Tensor, Tensor]:
        """The pullback at order + 1 and the coefficient gradient at this order: what `apply` needs going backward."""
        ...


BACKENDS: tuple[Backend, ...] = (CpuBackend(), ReferenceBackend())


def select(basis: Basis, order: int, tensors: Sequence[Tensor | None], name: str | None = None) -> Backend:
    """The backend that serves a call.

    Args:
        basis: the function family.
        order: the derivative's order.
        tensors: those of the call, the inputs x first.
        name: the backend to use; the first that can serve the call if None. The reference, which is last, always can.

    Returns:
        The backend.

    Raises:
        OptionError: there is no backend of that name, or it cannot serve the call; the message says why.
    """
    if name is None:
        return next(backend for backend in BACKENDS if backend.why_not(basis, order, tensors) is None)
    for backend in BACKENDS:
        if backend.name == name:
            reason = backend.why_not(basis, order, tensors)
            if reason is not None:
                raise OptionError(f"the backend {name!r} cannot serve this call: {reason}")
            return backend
    raise OptionError(f"unknown backend {name!r}; use {', '.join(repr(backend.name) for backend in BACKENDS)}")
