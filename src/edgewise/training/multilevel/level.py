"""Levels of refinement: the grid and degree of all splines of a network, and how to get from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.basis import BSpline
from edgewise.network import BasisBlock, Block, Network
from edgewise.surgery.blocks import Model

_HIGHEST_DEGREE = 9
_CELLS_PER_DEGREE = 10 / 7  # a degree is worth raising once cells are so many that its functions differ
_STRAIGHT = 2  # functions of a straight line
_MARGIN = 0.5  # of a cell, left free at each end of a hidden domain,
_REACH = 0.6  # or of the range, over the root of the number of values


@dataclass(frozen=True)
class Level:
    """Resolution of the splines.

    Args:
        grid: number of intervals.
        degree: polynomial degree.
    """

    grid: int
    degree: int

    @property
    def basis(self) -> BSpline:
        """The splines of this level."""
        return BSpline(grid=self.grid, degree=self.degree)

    def finer(self) -> tuple[Level, ...]:
        """The levels to try from here, the most promising first: a higher degree where cells suffice, or half cells."""
        raised = Level(self.grid, self.degree + 2) if self.degree + 2 <= _HIGHEST_DEGREE else None
        halved = Level(2 * self.grid, self.degree)
        if raised is None:
            return (halved,)
        return (raised, halved) if self.grid >= _CELLS_PER_DEGREE * raised.degree else (halved, raised)

    def __str__(self) -> str:
        """Such as "grid 10, degree 3"."""
        return f"grid {self.grid}, degree {self.degree}"


START = Level(grid=5, degree=3)


def splines_of(block: Block) -> BSpline | None:
    """The splines of a block that has levels, else None; a straight line is meant to stay one, as are locked edges."""
    basis = block.basis if isinstance(block, BasisBlock) and len(block.free_edges()[0]) else None
    return basis if isinstance(basis, BSpline) and basis.size > _STRAIGHT else None


def level_of(model: Network) -> Level | None:
    """The finest level among the blocks of a network, None where no block has levels."""
    blocks = [block for layer in model.all_layers for block in layer.all_blocks()]
    bases = [basis for basis in map(splines_of, blocks) if basis is not None]
    if not bases:
        return None
    return Level(max(basis.grid for basis in bases), max(basis.degree for basis in bases))


def parameters_at(model: Network, level: Level) -> int:
    """How many free parameters a network would have at a level."""
    total = 0
    for layer in model.all_layers:
        for block in layer.all_blocks():
            edges, size = block.gather().shape
            basis = splines_of(block)
            total += edges * (size if basis is None else size - basis.size + level.basis.size)
    return total


@torch.no_grad()
def at_level(model: Model, level: Level, x: Tensor) -> Model:
    """A network with its splines at another level, hidden domains fitted to the values that arrive.

    Args:
        model: the network, which is left as it is.
        level: of the new splines.
        x: inputs, shape (N, I).

    Returns:
        A new network. Where a domain stays and the grid is a multiple, its functions are the same to rounding;
        elsewhere they are L2 projections. Locked edges are as they were, in a block of their own.
    """
    return _transferred(model, lambda _: level, x)


@torch.no_grad()
def with_tight_domains(model: Model, x: Tensor) -> Model:
    """A network with its splines at the levels they have, hidden domains fitted to the values that arrive.

    Args:
        model: the network, which is left as it is.
        x: inputs, shape (N, I).

    Returns:
        A new network; see `at_level`.
    """
    return _transferred(model, lambda basis: Level(basis.grid, basis.degree), x)


def _transferred(model: Model, level: Callable[[BSpline], Level], x: Tensor) -> Model:
    trace = model.trace(x)
    layers = []
    for index, layer in enumerate(model.all_layers):
        inputs = trace.layers[index].inputs if index else None
        blocks = [part for block in layer.all_blocks() for part in _transferred_parts(block, level, inputs)]
        layers.append(layer.with_blocks(blocks))
    return model.rebuilt(layers)


def _transferred_parts(block: Block, level: Callable[[BSpline], Level], values: Tensor | None) -> list[Block]:
    """The free edges of a block on other splines, and its locked edges as they are."""
    splines = splines_of(block)
    if splines is None or not isinstance(block, BasisBlock):
        return [block.restricted(block.mask)]
    new, ends = level(splines), block.grid[:, [0, -1]]
    grid = ends if values is None else tight_domain(ends, values, new.grid)
    coefficients = splines.transfer(block.grid, new.basis, grid) @ block.coefficients
    free = block.replaced(
        basis=new.basis, grid=grid, coefficients=coefficients, mask=block.mask & ~block.locked, locked=None
    )
    return [free, block.restricted(block.locked)]


def tight_domain(ends: Tensor, values: Tensor, cells: int) -> Tensor:
    """Ends that leave some room on each side of the values; the present ends where they do already.

    Args:
        ends: present ends, shape (I, 2).
        values: what arrives, shape (N, I).
        cells: number of cells between the ends.

    Returns:
        Ends of shape (I, 2).
    """
    low, high = values.amin(dim=0), values.amax(dim=0)
    cell = (high - low) / max(cells - 1, 1)
    # New inputs reach further than those seen, by a share of the range that shrinks with their number.
    margin = torch.maximum(_MARGIN * cell, _REACH * (high - low) / len(values) ** 0.5)
    tight = torch.stack([low - margin, high + margin], dim=1)
    start, end = ends[:, 0], ends[:, 1]
    left_free = torch.stack([low - start, end - high], dim=1)
    unfit = ((left_free > 4 * margin.unsqueeze(1)) | (left_free < margin.unsqueeze(1) / 2)).any(dim=1)
    movable = torch.isfinite(cell) & (high - low > 1e-6 * (end - start))
    return torch.where((unfit & movable).unsqueeze(1), tight, ends)
