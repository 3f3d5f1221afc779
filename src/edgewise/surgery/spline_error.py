"""How much of a network's error is due to its splines: an estimate for every cell, from the fitted splines alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.basis import BSpline
from edgewise.network import BasisBlock, Network

_ZETA_TERMS = 100  # of a sum of powers −4 and less: 1e-7 of it is left out


@dataclass(frozen=True)
class CellErrors:
    """What the cells of one block of splines contribute to the error of the outputs.

    Args:
        mean_square: contributions to the mean square error of the outputs, shape (I, G); NaN where a spline has one
            cell, which does not tell what it leaves out.
        samples: how many samples are in each cell, shape (I, G).
    """

    mean_square: Tensor
    samples: Tensor


@torch.no_grad()
def spline_errors(model: Network, x: Tensor) -> dict[BasisBlock, CellErrors]:
    """Estimate the error that splines of this grid and degree leave, cell by cell.

    On a cell of width h the best spline misses φ by C·h^m·|φ⁽ᵐ⁾| in the mean square, with m = degree + 1 and
    C = √(2ζ(2m))/(2π)^m. The jumps of the fitted spline's derivative of order `degree`, over the distance of the cells'
    middles, stand for φ⁽ᵐ⁾. An edge's error reaches an output by the adjoint δ of the subnode it ends in, so a cell
    contributes E[δ²·error²] over the samples in it; the errors of different edges are taken as independent.

    Args:
        model: a network that has been trained.
        x: inputs, shape (N, I), N ≥ 1.

    Returns:
        The contributions of every block of B-splines. Other families and symbolic edges count as exact.

    Raises:
        ShapeError: x has another number of columns than the model has inputs.

    Source: de Boor, A Practical Guide to Splines (2001), chapter XII, for the derivative from jumps; the constant is
    that of the best periodic splines on equal cells, whose error is the Bernoulli monospline.
    """
    trace = model.trace(x)
    errors = {}
    for layer, values, weight in zip(model.all_layers, trace.layers, _squared_adjoints(model, x), strict=True):
        for block in layer.all_blocks():
            if isinstance(block, BasisBlock) and isinstance(block.basis, BSpline):
                errors[block] = _block_error(block, block.basis, values.inputs, weight)
    return errors


def _squared_adjoints(model: Network, x: Tensor) -> list[Tensor]:
    """Of every layer's subnodes the squares of their adjoints, a mean over the outputs, (N, S)."""
    inputs, sums = [], []
    for layer in model.all_layers:
        inputs.append(x)
        sums.append(layer.sums(x))
        x = layer.merged(sums[-1])
    squares = [torch.zeros_like(each) for each in sums]
    for output in range(model.out_features):
        delta = torch.zeros_like(x)
        delta[:, output] = 1.0
        for index in reversed(range(len(sums))):
            at_sums, delta = model.all_layers[index].adjoint(inputs[index], sums[index], delta)
            squares[index] += at_sums.square() / model.out_features
    return squares


def _block_error(block: BasisBlock, basis: BSpline, x: Tensor, weight: Tensor) -> CellErrors:
    cells, _ = basis.local(x, block.grid)
    reach = weight.new_zeros((x.shape[1], basis.grid, weight.shape[1]))  # Σ δ² over the samples in a cell
    for source, cell in enumerate(cells.unbind(1)):
        reach[source].index_add_(0, cell, weight)
    samples = torch.stack([torch.bincount(cell, minlength=basis.grid) for cell in cells.unbind(1)])
    local = _local_squares(basis, block.grid, block.effective_coefficients, samples)
    return CellErrors((reach * local).sum(dim=2) / len(x), samples)


def _local_squares(basis: BSpline, grid: Tensor, coefficients: Tensor, samples: Tensor) -> Tensor:
    """Mean square error of the edges' splines in every cell, shape (I, G, S)."""
    order = basis.degree + 1
    zeta = sum(k ** (-2.0 * order) for k in range(1, _ZETA_TERMS))
    constant = math.sqrt(2 * zeta) / (2 * math.pi) ** order
    points = basis.breakpoints(grid)
    middles, widths = (points[:, 1:] + points[:, :-1]) / 2, points.diff(dim=1).unsqueeze(-1)
    steps = torch.einsum("kim,ims->iks", basis.values(middles.T, grid, basis.degree), coefficients)
    if basis.grid == 1:
        return torch.full_like(steps, torch.nan)
    # Where a cell has hardly more samples than its polynomial has coefficients, jumps are arbitrary, and may be huge.
    known = torch.minimum(samples[:, 1:], samples[:, :-1]) >= 2 * order
    apart = torch.where(known, middles.diff(dim=1), torch.inf).unsqueeze(-1)
    at_knots = torch.where(apart > 0, steps.diff(dim=1) / torch.where(apart > 0, apart, 1.0), 0.0).square()
    at_ends = torch.cat([at_knots[:, :1], at_knots, at_knots[:, -1:]], dim=1)  # of cells; the first has one inner knot
    return (constant * widths**order).square() * (at_ends[:, 1:] + at_ends[:, :-1]) / 2
