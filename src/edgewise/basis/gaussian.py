"""Gaussian bumps at equally spaced centres, and the constant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from edgewise.basis.basis import Basis, continue_linearly
from edgewise.errors import OptionError

_FEWEST_CENTERS = 2


@dataclass(frozen=True)
class Gaussian(Basis):
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

    def values(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """Values by Hermite polynomials; shape (..., I, M). See `Basis.values`."""
        return continue_linearly(partial(self._inside, grid=grid), x, grid, order)

    def _inside(self, x: Tensor, order: int, *, grid: Tensor) -> Tensor:
        low, high = grid[:, 0], grid[:, -1]
        spacing = ((high - low) / (self.centers - 1)).unsqueeze(-1)
        steps = torch.arange(self.centers, dtype=x.dtype, device=x.device)
        bumps = gaussian_derivative((x - low).unsqueeze(-1) / spacing - steps, order) / spacing**order
        constant = (x * 0.0 + (1.0 if order == 0 else 0.0)).unsqueeze(-1)
        return torch.cat([constant, bumps], dim=-1)

    def with_grid(self, grid: int) -> Gaussian:
        """Centres at the ends of `grid` intervals."""
        return replace(self, centers=grid + 1)


def gaussian_derivative(z: Tensor, order: int) -> Tensor:
    """The order-th derivative of exp(−z²/2), which is (−1)ⁿ He_n(z) exp(−z²/2).

    Args:
        z: any shape.
        order: n, 0 or more.

    Returns:
        The values, of the shape of z.
    """
    before, hermite = torch.zeros_like(z), torch.ones_like(z)
    for n in range(order):
        before, hermite = hermite, z * hermite - n * before
    return (-1) ** order * hermite * torch.exp(-z * z / 2)
