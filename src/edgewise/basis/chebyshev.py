"""Chebyshev polynomials of the first kind, scaled to the domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgewise.basis.basis import ContinuedBasis
from edgewise.errors import OptionError


@dataclass(frozen=True)
class Chebyshev(ContinuedBasis):
    """T_0, …, T_degree on the domain: spectral accuracy for smooth functions.

    Args:
        degree: polynomial degree, 1 or more.
        reach: how far beyond the domain they stay polynomials, as a share of its width, 0 or more; from there on they
            are straight lines.

    Raises:
        OptionError: the degree is below 1, or the reach negative or not finite.

    Example:
        >>> from edgewise.basis import Chebyshev
        >>> Chebyshev(degree=8).size
        9
    """

    degree: int = 8
    reach: float = 0.0

    def __post_init__(self) -> None:
        """Check the range."""
        if not (isinstance(self.degree, int) and self.degree >= 1):
            raise OptionError(f"a Chebyshev basis needs a degree of 1 or more, got degree={self.degree!r}")
        if not 0 <= self.reach < math.inf:
            raise OptionError(f"the reach is a share of the domain's width, 0 or more, got reach={self.reach!r}")
        super().__post_init__()

    @property
    def size(self) -> int:
        """The number of polynomials, degree + 1."""
        return self.degree + 1

    def ones(self) -> list[float]:
        """T_0 is the constant."""
        return [1.0] + [0.0] * self.degree

    def limits(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """See `ContinuedBasis.limits`: `reach` beyond the domain."""
        low, high = grid[:, 0], grid[:, -1]
        beyond = self.reach * (high - low)
        return low - beyond, high + beyond

    def inside(self, x: Tensor, grid: Tensor, orders: Sequence[int]) -> list[Tensor]:
        """T_0 … T_degree by their recurrence, and their derivatives by the derivatives of it."""
        low, high = grid[:, 0], grid[:, -1]
        u = (2 * x - low - high) / (high - low)
        scale = (2 / (high - low)).unsqueeze(-1)
        rows, results = None, []
        for order in range(max(orders) + 1):
            rows = _recurrence(u, self.degree, order, rows)
            if order in orders:
                # Laid out function by function: writing neighbours is what takes the time.
                values = torch.stack(rows, dim=-2).mT
                results.append(values if order == 0 else values * scale**order)
        return results

    def with_degree(self, degree: int) -> Chebyshev:
        """Polynomials up to another degree."""
        return replace(self, degree=degree)


def _recurrence(u: Tensor, degree: int, order: int, lower: list[Tensor] | None) -> list[Tensor]:
    """T_k⁽ⁿ⁾ for k = 0…degree: T_{k+1}⁽ⁿ⁾ = 2u T_k⁽ⁿ⁾ + 2n T_k⁽ⁿ⁻¹⁾ − T_{k−1}⁽ⁿ⁾."""
    zero, twice = u * 0.0, 2 * u
    first = u if order == 0 else (zero + 1.0 if order == 1 else zero)
    rows = [zero + 1.0 if order == 0 else zero, first]
    for k in range(1, degree):
        following = twice * rows[k] - rows[k - 1]
        if lower is not None:
            following = torch.add(following, lower[k], alpha=2 * order)
        rows.append(following)
    return rows
