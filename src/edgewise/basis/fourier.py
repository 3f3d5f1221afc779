"""Trigonometric functions whose period is the length of the domain."""

from __future__ import annotations

import math
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
        """Values of the order-th derivatives anywhere, periodic; shape (..., I, M). See `Basis.values`."""
        low, high = grid[:, 0], grid[:, -1]
        frequency = 2 * math.pi / (high - low)
        harmonics = torch.arange(1, self.terms + 1, dtype=x.dtype, device=x.device)
        angle = ((x - low) * frequency).unsqueeze(-1) * harmonics
        # Differentiating turns (cos, sin) by a quarter each time; exact for every order.
        turned = (angle.cos(), angle.sin(), -angle.cos(), -angle.sin())
        cosine, sine = turned[-order % 4], turned[(1 - order) % 4]
        scale = (frequency.unsqueeze(-1) * harmonics) ** order
        # 0·x keeps NaN where the input is NaN.
        constant = (x * 0.0 + (1.0 if order == 0 else 0.0)).unsqueeze(-1)
        return torch.cat([constant, cosine * scale, sine * scale], dim=-1)

    def with_degree(self, degree: int) -> Fourier:
        """Harmonics up to `degree`."""
        return replace(self, terms=degree)
