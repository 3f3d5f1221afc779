"""Gaussian bumps at equally spaced centres, and the constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgewise.basis.basis import ContinuedBasis
from edgewise.errors import OptionError

_FEWEST_CENTERS = 2


@dataclass(frozen=True)
class Gaussian(ContinuedBasis):
    """1 and exp(−z²/2) with z = (x − centre)/spacing: radial basis functions on one axis.

    Args:
        centers: number of centres, 2 or more, equally spaced over the domain.

    Raises:
        OptionError: there are fewer than 2 centres.

    Example:
        >>> from edgewise.basis import Gaussian
        >>> Gaussian(centers=6).size
        7
    """

    centers: int = 8

    def __post_init__(self) -> None:
        """Check the range."""
        if not (isinstance(self.centers, int) and self.centers >= _FEWEST_CENTERS):
            raise OptionError(f"a Gaussian basis needs 2 or more centers, got centers={self.centers!r}")
        super().__post_init__()

    @property
    def size(self) -> int:
        """The number of functions, centers + 1."""
        return self.centers + 1

    def ones(self) -> list[float]:
        """The first function is the constant."""
        return [1.0] + [0.0] * self.centers

    def inside(self, x: Tensor, grid: Tensor, orders: Sequence[int]) -> list[Tensor]:
        """The constant, and the bumps' derivatives by Hermite polynomials."""
        low, high = grid[:, 0], grid[:, -1]
        spacing = ((high - low) / (self.centers - 1)).unsqueeze(-1)
        steps = torch.arange(self.centers, dtype=x.dtype, device=x.device)
        bumps = gaussian_derivatives((x - low).unsqueeze(-1) / spacing - steps, orders)
        return [
            torch.cat([constant(x, order), bump / spacing**order], dim=-1)
            for order, bump in zip(orders, bumps, strict=True)
        ]

    def with_grid(self, grid: int) -> Gaussian:
        """Centres at the ends of `grid` intervals."""
        return replace(self, centers=grid + 1)


def gaussian_derivatives(z: Tensor, orders: Sequence[int]) -> list[Tensor]:
    """Derivatives of exp(−z²/2), which are (−1)ⁿ He_n(z) exp(−z²/2).

    Args:
        z: any shape.
        orders: n, each 0 or more, increasing.

    Returns:
        For each order the values, of the shape of z.
    """
    bell = torch.exp(-z * z / 2)
    before, signed = torch.zeros_like(z), bell
    results = []
    for n in range(max(orders) + 1):
        if n in orders:
            results.append(signed)
        before, signed = signed, -(z * signed + n * before)
    return results


def constant(x: Tensor, order: int) -> Tensor:
    """The constant function 1 as a column (..., 1), or its derivatives, which are 0; NaN where x is."""
    return (x * 0.0 + (1.0 if order == 0 else 0.0)).unsqueeze(-1)
