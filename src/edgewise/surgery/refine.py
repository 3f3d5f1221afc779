"""Finer grids and higher degrees: a new network that computes what the old one did, with more to learn."""

from __future__ import annotations

import torch

from edgewise.basis import Basis, BSpline
from edgewise.errors import OptionError
from edgewise.network import BasisBlock, Block, Network
from edgewise.surgery.blocks import Model, expressed


def refine(model: Model, *, grid: int | None = None, degree: int | None = None) -> Model:
    """Refine every edge that has a basis.

    A finer grid of B-splines keeps the function to rounding, by knot insertion. A higher degree is the L2 projection
    of each
    edge: it moves the function by about the error of the old splines. `model.moved` tells by how much.

    Args:
        model: the network, which is left as it is.
        grid: number of intervals, a multiple of the present number.
        degree: polynomial degree.

    Returns:
        A new network.

    Raises:
        OptionError: the grid is no multiple of the present one (the message names the nearest), or no edge's basis
        has a
            grid or degree.

    Example:
        >>> import edgewise as ew
        >>> finer = ew.KAN([2, 1], seed=0).refine(grid=10)
        >>> finer.moved < 1e-14
        True

    Source: Liu et al., KAN (2024), section 2.4 (grid extension); the exact insertion is that of Cohen, Lyche and
    Riesenfeld (1980).
    """
    if grid is None and degree is None:
        raise OptionError("say what to refine: refine(grid=10) or refine(degree=5)")
    blocks = [block for layer in model.all_layers for block in layer.all_blocks() if isinstance(block, BasisBlock)]
    if not blocks:
        raise OptionError("every edge is symbolic; there is no grid or degree to refine")
    layers = [layer.map_blocks(lambda block: _refined_block(block, grid, degree)) for layer in model.all_layers]
    refined = model.rebuilt(layers)
    return refined.rebuilt(refined.all_layers, moved=moved_by(model, refined))


def _refined_block(block: Block, grid: int | None, degree: int | None) -> Block:
    if not isinstance(block, BasisBlock):
        return block.restricted(block.mask)
    basis: Basis = block.basis
    if grid is not None:
        _require_multiple(basis, grid)
        basis = basis.with_grid(grid)
    if degree is not None:
        basis = basis.with_degree(degree)
    new_grid = block.basis.refined_grid(block.grid, basis)
    new = expressed(block.replaced(base=None, base_weight=None), basis, new_grid)
    return block.replaced(basis=basis, grid=new_grid, coefficients=new.coefficients)


def _require_multiple(basis: Basis, grid: int) -> None:
    """Only whole multiples keep a spline's knots.

    Raises:
        OptionError: the grid is no multiple of the present one.
    """
    if not isinstance(basis, BSpline) or (grid >= basis.grid and grid % basis.grid == 0):
        return
    below = max(1, grid // basis.grid) * basis.grid
    nearest = sorted({below, max(below, basis.grid) + basis.grid})
    raise OptionError(
        f"a grid of {basis.grid} is refined to a multiple, so that the function stays; got grid={grid}, "
        f"the nearest are {' and '.join(map(str, nearest))}"
    )


@torch.no_grad()
def moved_by(before: Network, after: Network) -> float:
    """Root mean square difference of two networks' outputs on the sample."""
    return float((after(after.sample) - before(before.sample)).square().mean().sqrt())


@torch.no_grad()
def update_grid(model: Model, x: torch.Tensor) -> Model:
    """Let the knots of every layer follow the data.

    Splines get knots at quantiles of the values that arrive, the other families move the ends of their domain. Layer
    after layer, edges are transferred to the new grids: by insertion, which is exact, where all old knots stay, else by
    L2 projection; each input by itself. Inputs with a locked edge keep their grid.

    Args:
        model: the network, which is left as it is.
        x: inputs, shape (N, I).

    Returns:
        A new network; exact where knots are only inserted. `model.moved` tells how far the outputs moved on the sample.

    Raises:
        ShapeError: x has another number of columns than the model has inputs.

    Example:
        >>> import torch, edgewise as ew
        >>> x = torch.rand(100, 2, dtype=torch.float64) ** 3
        >>> model = ew.KAN([2, 1], seed=0).update_grid(x)
        >>> model.layers[0].blocks[0].grid.shape
        torch.Size([2, 6])

    Source: Liu et al., KAN (2024), section 2.2 (grids updated on the fly).
    """
    updated = model.copied()
    for index, layer in enumerate(updated.all_layers):
        values = updated.trace(x).layers[index].inputs
        updated.layers[index] = layer.map_blocks(lambda block, at=values: _adapted_block(block, at))
    return updated.rebuilt(updated.all_layers, moved=moved_by(model, updated))


def _adapted_block(block: Block, values: torch.Tensor) -> Block:
    if not isinstance(block, BasisBlock):
        return block
    adapted = block.basis.adapted_grid(block.grid, values)
    stays = block.locked.any(dim=1, keepdim=True)
    present = block.grid if adapted.shape == block.grid.shape else block.basis.breakpoints(block.grid)
    new_grid = torch.where(stays, present, adapted)
    return block.replaced(
        grid=new_grid, coefficients=block.basis.transfer(block.grid, block.basis, new_grid) @ block.coefficients
    )
