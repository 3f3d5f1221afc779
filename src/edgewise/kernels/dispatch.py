"""One place decides which backend computes a contraction."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from edgewise.basis import Basis
from edgewise.kernels.reference import ReferenceBackend


class Backend(Protocol):
    """An implementation of the three contractions, without derivative rules: those are the same for all."""

    @property
    def name(self) -> str:
        """What `edgewise info` calls it."""
        ...

    def why_not(self, basis: Basis, x: Tensor, order: int) -> str | None:
        """The reason why this backend cannot serve a call, or None if it can."""
        ...

    def apply(self, x: Tensor, c: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """See `edgewise.kernels.apply`."""
        ...

    def pullback(self, x: Tensor, c: Tensor, g: Tensor, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """See `edgewise.kernels.pullback`."""
        ...

    def coefficient_gradient(
        self, x: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> Tensor:
        """See `edgewise.kernels.coefficient_gradient`."""
        ...


BACKENDS: tuple[Backend, ...] = (ReferenceBackend(),)


def select(basis: Basis, x: Tensor, order: int) -> Backend:
    """The first backend that can serve the call; the reference, which is last, always can."""
    return next(backend for backend in BACKENDS if backend.why_not(basis, x, order) is None)
