"""The Mexican-hat wavelet at dyadic scales, and the constant."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from edgewise.basis.basis import Basis, continue_linearly
from edgewise.basis.gaussian import gaussian_derivative
from edgewise.errors import OptionError


@dataclass(frozen=True)
class MexicanHat(Basis):
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

    def values(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """Values of all levels, coarse to fine; shape (..., I, M). See `Basis.values`."""
        return continue_linearly(partial(self._inside, grid=grid), x, grid, order)

    def _inside(self, x: Tensor, order: int, *, grid: Tensor) -> Tensor:
        low, high = grid[:, 0], grid[:, -1]
        columns = [(x * 0.0 + (1.0 if order == 0 else 0.0)).unsqueeze(-1)]
        for level in range(self.scales):
            half_cell = ((high - low) / 2 ** (level + 1)).unsqueeze(-1)
            steps = 2.0 * torch.arange(2**level + 1, dtype=x.dtype, device=x.device)
            z = (x - low).unsqueeze(-1) / half_cell - steps
            # ψ is minus the second derivative of the Gaussian.
            columns.append(-gaussian_derivative(z, order + 2) / half_cell**order)
        return torch.cat(columns, dim=-1)

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
