"""Knots where the function is sharp: cells are cut in two where the splines leave the most of the error."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.basis import BSpline
from edgewise.errors import OptionError
from edgewise.network import BasisBlock, Block
from edgewise.surgery.blocks import Model
from edgewise.surgery.refine import moved_by
from edgewise.surgery.spline_error import CellErrors, spline_errors


@torch.no_grad()
def adapt_knots(model: Model, x: Tensor, *, grid: int | None = None) -> Model:
    """Insert knots where they lower the error of the outputs the most; the function stays the same to rounding.

    Each input of each layer has its cells cut in two, the worst first, until it has `grid` of them. How bad a cell is
    follows from the fitted splines (`spline_errors`), so train before. A few rounds of training and inserting bring
    the knots to a kink, a steep front or a singular point. A cell is cut only where both halves have a sample for each
    coefficient of a polynomial; when no such cell is left, the widest are cut, since all inputs of a layer have
    equally many cells.

    Args:
        model: a network that has been trained, which is left as it is.
        x: inputs, shape (N, I); those it was trained on.
        grid: number of intervals afterwards, in every layer; twice as many as before if not given.

    Returns:
        A new network with free knots. Edges of other families stay as they are.

    Raises:
        OptionError: no edge is a B-spline, or a layer has more than `grid` intervals already.
        ShapeError: x has another number of columns than the model has inputs.

    Example:
        >>> import edgewise as ew
        >>> data = ew.create_dataset(lambda x: (50 * x[:, 0]).atan(), n_var=1)
        >>> model = ew.KAN([1, 1], basis=ew.BSpline(grid=10))
        >>> for _ in range(3):
        ...     history = model.fit(data, steps=10)
        ...     model = model.adapt_knots(data.train_input)
        >>> points = model.layers[0].blocks[0].grid[0]
        >>> near = int((points.abs() < 0.25).sum())  # in a quarter of the domain, where even knots would be 20
        >>> len(points), near > 30
        (81, True)

    Source: de Boor, A Practical Guide to Splines (2001), chapter XII: the best knots equidistribute
    |φ⁽ᵐ⁾|^(2/(2m+1)), here weighted by how much of an edge's error reaches the outputs.
    """
    errors = spline_errors(model, x)
    if not errors:
        raise OptionError("no edge is a B-spline; there are no knots to insert")
    trace = model.trace(x)
    layers = [
        layer.map_blocks(lambda block, at=values.inputs: _adapted_block(block, at, errors, grid))
        for layer, values in zip(model.all_layers, trace.layers, strict=True)
    ]
    adapted = model.rebuilt(layers)
    return adapted.rebuilt(adapted.all_layers, moved=moved_by(model, adapted))


def _adapted_block(block: Block, x: Tensor, errors: dict[BasisBlock, CellErrors], grid: int | None) -> Block:
    if not isinstance(block, BasisBlock) or not isinstance(block.basis, BSpline):
        return block.restricted(block.mask)
    basis = block.basis
    finer = basis.with_grid(2 * basis.grid if grid is None else grid)
    if finer.grid < basis.grid:
        raise OptionError(f"knots are only inserted: {basis} needs a grid of {basis.grid} or more, got grid={grid}")
    points, bad = basis.breakpoints(block.grid).tolist(), errors[block].mean_square.nan_to_num(nan=1.0).tolist()
    rows = [
        _Bisection(basis.degree, values.sort().values).breakpoints(row, contributions, finer.grid)
        for row, contributions, values in zip(points, bad, x.T, strict=True)
    ]
    new_grid = torch.tensor(rows, dtype=block.grid.dtype, device=block.grid.device)
    coefficients = basis.transfer(block.grid, finer, new_grid) @ block.coefficients
    return block.replaced(basis=finer, grid=new_grid, coefficients=coefficients)


@dataclass(order=True)
class _Cell:
    """A cell to be cut in two; those that sort first go first."""

    starved: bool  # one half would have too few samples
    minus_gain: float
    minus_width: float
    ends: tuple[float, float]
    mean_square: float


@dataclass(frozen=True)
class _Bisection:
    """Cutting the cells of one input, whose sorted values are given."""

    degree: int
    values: Tensor

    def breakpoints(self, points: list[float], mean_squares: list[float], count: int) -> list[float]:
        """Breakpoints of `count` cells that contain the given ones."""
        heap = [self._cell(*cell) for cell in zip(points[:-1], points[1:], mean_squares, strict=True)]
        heapq.heapify(heap)
        # Where φ is smooth, halving a cell leaves 2^−(2m+1) of its contribution; near a kink, 1/8 or so. Half the order
        # finds kinks in fewer rounds, and costs smooth functions little.
        left = 2.0 ** -(self.degree + 2)
        while len(heap) < count:
            worst = heapq.heappop(heap)
            low, high = worst.ends
            middle = (low + high) / 2
            heapq.heappush(heap, self._cell(low, middle, left * worst.mean_square))
            heapq.heappush(heap, self._cell(middle, high, left * worst.mean_square))
        return [*sorted(cell.ends[0] for cell in heap), points[-1]]

    def _cell(self, low: float, high: float, mean_square: float) -> _Cell:
        ends = torch.tensor([low, (low + high) / 2, high], dtype=self.values.dtype, device=self.values.device)
        first, second = torch.searchsorted(self.values, ends).diff().tolist()
        starved = min(first, second) <= self.degree
        return _Cell(starved, 0.0 if starved else -mean_square, low - high, (low, high), mean_square)
