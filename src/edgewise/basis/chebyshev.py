"""Chebyshev polynomials of the first kind, scaled to the domain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from edgewise.basis.basis import Basis, continue_linearly
from edgewise.errors import OptionError


@dataclass(frozen=True)
class Chebyshev(Basis):
    """T_0, …, T_degree on the domain: spectral accuracy for smooth functions.

    Args:
        degree: polynomial degree, 1 or more.

    Raises:
        OptionError: the degree is below 1.

    Example:
        >>> from edgewise.basis import Chebyshev
        >>> Chebyshev(degree=8).size
        9
    """

    degree: int = 8

    def __post_init__(self) -> None:
        """Check the range."""
        if not (isinstance(self.degree, int) and self.degree >= 1):
            raise OptionError(f"a Chebyshev basis needs a degree of 1 or more, got degree={self.degree!r}")
        super().__post_init__()

    @property
    def size(self) -> int:
        """The number of polynomials, degree + 1."""
        return self.degree + 1

    def ones(self) -> list[float]:
        """T_0 is the constant."""
        return [1.0] + [0.0] * self.degree

    def values(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """Values by the three-term recurrence, differentiated `order` times; shape (..., I, M). See `Basis.values`."""
        return continue_linearly(partial(self._inside, grid=grid), x, grid, order)

    def _inside(self, x: Tensor, order: int, *, grid: Tensor) -> Tensor:
        low, high = grid[:, 0], grid[:, -1]
        u = (2 * x - low - high) / (high - low)
        lower = None
        for n in range(order + 1):
            lower = _recurrence(u, self.degree, n, lower)
        assert lower is not None
        return torch.stack(lower, dim=-1) * (2 / (high - low)).unsqueeze(-1) ** order

    def with_degree(self, degree: int) -> Chebyshev:
        """Polynomials up to another degree."""
        return replace(self, degree=degree)


def _recurrence(u: Tensor, degree: int, order: int, lower: list[Tensor] | None) -> list[Tensor]:
    """T_k⁽ⁿ⁾ for k = 0…degree: T_{k+1}⁽ⁿ⁾ = 2u T_k⁽ⁿ⁾ + 2n T_k⁽ⁿ⁻¹⁾ − T_{k−1}⁽ⁿ⁾."""
    zero = u * 0.0
    first = u if order == 0 else (zero + 1.0 if order == 1 else zero)
    rows = [zero + 1.0 if order == 0 else zero, first]
    for k in range(1, degree):
        following = 2 * u * rows[k] - rows[k - 1]
        if lower is not None:
            following = following + 2 * order * lower[k]
        rows.append(following)
    return rows
