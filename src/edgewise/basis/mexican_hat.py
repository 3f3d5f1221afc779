"""The Mexican-hat wavelet at dyadic scales, and the constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgewise.basis.basis import ContinuedBasis
from edgewise.basis.gaussian import constant, gaussian_derivatives
from edgewise.errors import OptionError


@dataclass(frozen=True)
class MexicanHat(ContinuedBasis):
    """1 and ψ(z) = (1 − z²)·exp(−z²/2) at dyadic scales.

    Level j = 0…scales − 1 has 2^j + 1 wavelets, centred at the ends of 2^j equal cells of the domain; z is the
    distance from the centre in units of half a cell.

    Args:
        scales: number of levels, 1 or more.

    Raises:
        OptionError: there is no level.

    Example:
        >>> from edgewise.basis import MexicanHat
        >>> MexicanHat(scales=3).size
        11
    """

    scales: int = 3

    def __post_init__(self) -> None:
        """Check the range."""
        if not (isinstance(self.scales, int) and self.scales >= 1):
            raise OptionError(f"a Mexican-hat basis needs 1 or more scales, got scales={self.scales!r}")
        super().__post_init__()

    @property
    def size(self) -> int:
        """The number of functions, 2^scales + scales."""
        return 2**self.scales + self.scales

    def ones(self) -> list[float]:
        """The first function is the constant."""
        return [1.0] + [0.0] * (self.size - 1)

    def inside(self, x: Tensor, grid: Tensor, orders: Sequence[int]) -> list[Tensor]:
        """All levels, coarse to fine, after the constant."""
        low, high = grid[:, 0], grid[:, -1]
        columns = [[constant(x, order)] for order in orders]
        for level in range(self.scales):
            half_cell = ((high - low) / 2 ** (level + 1)).unsqueeze(-1)
            steps = 2.0 * torch.arange(2**level + 1, dtype=x.dtype, device=x.device)
            z = (x - low).unsqueeze(-1) / half_cell - steps
            # ψ is minus the second derivative of the Gaussian.
            hats = gaussian_derivatives(z, [order + 2 for order in orders])
            for own, order, hat in zip(columns, orders, hats, strict=True):
                own.append(-hat / half_cell**order)
        return [torch.cat(own, dim=-1) for own in columns]

    def with_grid(self, grid: int) -> MexicanHat:
        """Levels down to `grid` cells.

        Returns:
            The basis.

        Raises:
            OptionError: the number of cells is no power of two.
        """
        if grid < 1 or grid & (grid - 1):
            raise OptionError(f"a Mexican-hat basis has a power of two of cells at its finest level, got grid={grid}")
        return replace(self, scales=grid.bit_length())
