"""How a network that is trained by second-order methods starts: near zero, and different from node to node."""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.basis import Basis
from edgewise.network.layer import linear_coefficients

HIDDEN_DOMAIN = (-1.0, 1.0)  # of the edges behind the first layer, until their grids follow the values
_NOISE = 0.1  # standard deviation of the coefficients


def small_random_coefficients(
    basis: Basis, grid: Tensor, nodes: tuple[int, ...], generator: torch.Generator | None
) -> Tensor:
    """Coefficients of small random functions: near zero all nodes are alike, and none is stuck outside its grid.

    The factors of a product start as random straight lines instead: where all are near 0, none has a gradient.

    Args:
        basis: function family of the edges.
        grid: its grid, shape (I, K).
        nodes: number of factors of each node the edges lead to, S in all.
        generator: what is random.

    Returns:
        Coefficients of shape (I, M, S).
    """
    inputs, outputs = grid.shape[0], sum(nodes)
    shape = (inputs, basis.size, outputs)
    coefficients = _NOISE * torch.randn(shape, generator=generator, dtype=grid.dtype)
    is_factor = torch.tensor([float(arity > 1) for arity in nodes for _ in range(arity)], dtype=grid.dtype)
    slopes = is_factor * torch.randn((inputs, 1, outputs), generator=generator, dtype=grid.dtype)
    return coefficients + slopes * linear_coefficients(basis, grid).unsqueeze(-1)
