"""Trigonometric functions whose period is the length of the domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgewise.basis.basis import Basis
from edgewise.errors import OptionError


@dataclass(frozen=True)
class Fourier(Basis):
    """1, cos kθ and sin kθ for k = 1…terms, with θ = 2π(x − a)/(b − a) on the domain [a, b].

    Outside the domain the functions continue periodically.

    Args:
        terms: number of harmonics, 1 or more.

    Raises:
        OptionError: there are fewer than 1 terms.

    Example:
        >>> from edgewise.basis import Fourier
        >>> Fourier(terms=4).size
        9
    """

    terms: int = 5

    def __post_init__(self) -> None:
        """Check the range."""
        if not (isinstance(self.terms, int) and self.terms >= 1):
            raise OptionError(f"a Fourier basis needs 1 or more terms, got terms={self.terms!r}")
        super().__post_init__()

    @property
    def size(self) -> int:
        """The number of functions, 2·terms + 1."""
        return 2 * self.terms + 1

    def ones(self) -> list[float]:
        """The first function is the constant."""
        return [1.0] + [0.0] * (2 * self.terms)

    def values(self, x: Tensor, grid: Tensor, order: int = 0) -> Tensor:
        """Values of 1, all cosines, all sines; shape (..., I, M). See `Basis.values`."""
        return self._derivatives(x, grid, (order,))[0]

    def values_and_slopes(self, x: Tensor, grid: Tensor, order: int = 0) -> tuple[Tensor, Tensor]:
        """See `Basis.values_and_slopes`."""
        values, slopes = self._derivatives(x, grid, (order, order + 1))
        return values, slopes

    def _derivatives(self, x: Tensor, grid: Tensor, orders: Sequence[int]) -> list[Tensor]:
        low, high = grid[:, 0], grid[:, -1]
        frequency = 2 * math.pi / (high - low)
        angle = (x - low) * frequency
        cosines, sines = [angle.cos()], [angle.sin()]
        for _ in range(self.terms - 1):  # the addition theorem, far cheaper than another cosine
            cosine, sine = cosines[-1], sines[-1]
            cosines.append(cosine * cosines[0] - sine * sines[0])
            sines.append(sine * cosines[0] + cosine * sines[0])
        results = []
        for order in orders:
            factors = [(k * frequency) ** order for k in range(1, self.terms + 1)]
            # Differentiating turns (cos, sin) by a quarter each time; exact for every order.
            turned = ((cosines, 1), (sines, 1), (cosines, -1), (sines, -1))
            rows = [x * 0.0 + (1.0 if order == 0 else 0.0)]  # 0·x keeps NaN where the input is NaN
            for waves, sign in (turned[-order % 4], turned[(1 - order) % 4]):
                rows += [wave * (sign * factor) for wave, factor in zip(waves, factors, strict=True)]
            results.append(torch.stack(rows, dim=-2).mT)
        return results

    def with_degree(self, degree: int) -> Fourier:
        """Harmonics up to `degree`."""
        return replace(self, terms=degree)
