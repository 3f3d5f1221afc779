"""Levels of refinement: splines or polynomials on all edges of a network, and how to get from one to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from edgewise.basis import Basis, BSpline, Chebyshev
from edgewise.network import BasisBlock, Block, Network
from edgewise.surgery.blocks import Model

_HIGHEST_DEGREE = 9
_CELLS_PER_DEGREE = 10 / 7  # a degree is worth raising once cells are so many that its functions differ
_STRAIGHT = 2  # functions of a straight line
_MORE = 1.3  # times the degree, for the next polynomials
_HIGHEST_POLYNOMIAL = 64
_BEYOND = 0.12  # of the domain: new inputs lead to hidden values that none of those seen had
_MARGIN = 0.5  # of a cell, left free at each end of a hidden domain,
_REACH = 0.6  # or of the range, over the root of the number of values


class Level(Protocol):
    """How finely the functions on the edges are resolved."""

    @property
    def grid(self) -> int | None:
        """Number of intervals; None for a family without."""
        ...

    @property
    def degree(self) -> int:
        """Polynomial degree."""
        ...

    @property
    def basis(self) -> Basis:
        """The functions of this level."""
        ...

    @property
    def cells(self) -> int:
        """The parts of a domain that the functions tell apart, about."""
        ...

    def finer(self) -> tuple[Level, ...]:
        """The levels of the same family to try from here, the most promising first."""
        ...

    def replaces(self, basis: Basis) -> bool:
        """Whether a function in this basis takes part when a network goes to this level."""
        ...


@dataclass(frozen=True)
class Splines:
    """Resolution of splines.

    Args:
        grid: number of intervals.
        degree: polynomial degree.
    """

    grid: int
    degree: int

    @property
    def basis(self) -> BSpline:
        """See `Level.basis`."""
        return BSpline(grid=self.grid, degree=self.degree)

    @property
    def cells(self) -> int:
        """See `Level.cells`."""
        return self.grid

    def finer(self) -> tuple[Splines, ...]:
        """See `Level.finer`: a higher degree where cells suffice, or half cells."""
        raised = Splines(self.grid, self.degree + 2) if self.degree + 2 <= _HIGHEST_DEGREE else None
        halved = Splines(2 * self.grid, self.degree)
        if raised is None:
            return (halved,)
        return (raised, halved) if self.grid >= _CELLS_PER_DEGREE * raised.degree else (halved, raised)

    def polynomials(self) -> Polynomials:
        """Polynomials with a few more functions than these splines."""
        return Polynomials(min(round(_MORE * self.basis.size), _HIGHEST_POLYNOMIAL))

    def replaces(self, basis: Basis) -> bool:
        """See `Level.replaces`: splines take the place of splines."""
        return isinstance(basis, BSpline)

    def __str__(self) -> str:
        """Such as "grid 10, degree 3"."""
        return f"grid {self.grid}, degree {self.degree}"


@dataclass(frozen=True)
class Polynomials:
    """Resolution of polynomials on the whole domain.

    Of an analytic function they leave an error that falls geometrically with their degree, and they reach beyond the
    values seen, where splines stand on a few rows.

    Args:
        degree: polynomial degree.
        reach: how far beyond the domain they go on, as a share of its width.
    """

    degree: int
    reach: float = _BEYOND

    @property
    def grid(self) -> None:
        """See `Level.grid`: there is none."""

    @property
    def basis(self) -> Chebyshev:
        """See `Level.basis`."""
        return Chebyshev(degree=self.degree, reach=self.reach)

    @property
    def cells(self) -> int:
        """See `Level.cells`."""
        return self.degree

    def finer(self) -> tuple[Polynomials, ...]:
        """See `Level.finer`: a higher degree."""
        raised = round(_MORE * self.degree) + 1
        return (replace(self, degree=raised),) if raised <= _HIGHEST_POLYNOMIAL else ()

    def replaces(self, basis: Basis) -> bool:
        """See `Level.replaces`: polynomials take the place of splines and of polynomials."""
        return isinstance(basis, (BSpline, Chebyshev))

    def __str__(self) -> str:
        """Such as "polynomials of degree 12"."""
        return f"polynomials of degree {self.degree}"


START = Splines(grid=5, degree=3)


def refinable(block: Block) -> BSpline | Chebyshev | None:
    """The basis of a block that has levels, else None; a straight line is meant to stay one, as are locked edges."""
    basis = block.basis if isinstance(block, BasisBlock) and len(block.free_edges()[0]) else None
    return basis if isinstance(basis, (BSpline, Chebyshev)) and basis.size > _STRAIGHT else None


def level_of(model: Network) -> Level | None:
    """The finest level among the blocks of a network, of its splines if it has any; None where no block has levels."""
    blocks = [block for layer in model.all_layers for block in layer.all_blocks()]
    bases = [basis for basis in map(refinable, blocks) if basis is not None]
    splines = [basis for basis in bases if isinstance(basis, BSpline)]
    if splines:
        return Splines(max(basis.grid for basis in splines), max(basis.degree for basis in splines))
    polynomials = [basis for basis in bases if isinstance(basis, Chebyshev)]
    if polynomials:
        return Polynomials(max(basis.degree for basis in polynomials), max(basis.reach for basis in polynomials))
    return None


def parameters_at(model: Network, level: Level) -> int:
    """How many free parameters a network would have at a level."""
    total = 0
    for layer in model.all_layers:
        for block in layer.all_blocks():
            edges, size = block.gather().shape
            basis = _replaced_basis(block, level)
            total += edges * (size if basis is None else size - basis.size + level.basis.size)
    return total


@torch.no_grad()
def at_level(model: Model, level: Level, x: Tensor) -> Model:
    """A network at another level, hidden domains fitted to the values that arrive.

    Args:
        model: the network, which is left as it is.
        level: of the new functions.
        x: inputs, shape (N, I).

    Returns:
        A new network. Where a domain stays and splines go to a multiple of their cells, its functions are the same to
        rounding; elsewhere they are L2 projections. Locked edges are as they were, in a block of their own.
    """
    return _transferred(model, lambda block: level if _replaced_basis(block, level) else None, x)


@torch.no_grad()
def with_tight_domains(model: Model, x: Tensor) -> Model:
    """A network with its blocks at the levels they have, hidden domains fitted to the values that arrive.

    Args:
        model: the network, which is left as it is.
        x: inputs, shape (N, I).

    Returns:
        A new network; see `at_level`.
    """
    return _transferred(model, _own_level, x)


def _own_level(block: Block) -> Level | None:
    basis = refinable(block)
    if isinstance(basis, BSpline):
        return Splines(basis.grid, basis.degree)
    return None if basis is None else Polynomials(basis.degree, basis.reach)


def _replaced_basis(block: Block, level: Level) -> BSpline | Chebyshev | None:
    """The basis that a block gives up for a level; None where it stays as it is."""
    basis = refinable(block)
    return basis if basis is not None and level.replaces(basis) else None


def _transferred(model: Model, level: Callable[[Block], Level | None], x: Tensor) -> Model:
    trace = model.trace(x)
    layers = []
    for index, layer in enumerate(model.all_layers):
        inputs = trace.layers[index].inputs if index else None
        blocks = [part for block in layer.all_blocks() for part in _transferred_parts(block, level(block), inputs)]
        layers.append(layer.with_blocks(blocks))
    return model.rebuilt(layers)


def _transferred_parts(block: Block, level: Level | None, values: Tensor | None) -> list[Block]:
    """The free edges of a block at a level, and its locked edges as they are."""
    if level is None or not isinstance(block, BasisBlock):
        return [block.restricted(block.mask)]
    ends = block.grid[:, [0, -1]]
    grid = ends if values is None else tight_domain(ends, values, level.cells)
    coefficients = block.basis.transfer(block.grid, level.basis, grid) @ block.coefficients
    free = block.replaced(
        basis=level.basis, grid=grid, coefficients=coefficients, mask=block.mask & ~block.locked, locked=None
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
