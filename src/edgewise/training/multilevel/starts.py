"""Starts of a given topology: random ones, and what a sparse fit leaves of them."""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.basis import Basis
from edgewise.network import (
    BasisBlock,
    KANLayer,
    Network,
    domain_grid,
    linear_coefficients,
    small_random_coefficients,
)
from edgewise.network.start import HIDDEN_DOMAIN
from edgewise.surgery import prune
from edgewise.surgery.blocks import Model
from edgewise.training.losses import MeanSquaredError
from edgewise.training.multilevel.climber import descend
from edgewise.training.multilevel.level import START, refinable
from edgewise.training.multilevel.rows import Rows
from edgewise.training.multilevel.smoothing import SmoothedObjective
from edgewise.training.objective import OutputObjective
from edgewise.training.penalties import Sparsity
from edgewise.training.ranges import AT_REST, ON_THE_WAY

_ROUNDS, _STEPS, _PROGRESS = 2, 25, 1e-2
_SPARSE_STEPS, _SPARSE_PROGRESS = 100, 1e-4
_STRENGTHS = (3e-2, 3e-3)  # of the penalty's norm; its entropy weighs a third
_HARM = 5.0  # factor by which the error may rise: what is left can be refined further


def restarted(model: Model, seed: int) -> Model:
    """The network from a new random start on the coarsest level; locked edges and symbols stay as they are.

    Behind the first layer there are straight lines, up or down, with a little noise. So it starts as a sum of functions
    of its inputs, and its first step is nearly a linear fit.

    Args:
        model: the network, which is left as it is.
        seed: fixes the start.

    Returns:
        A new network.
    """
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for index, layer in enumerate(model.all_layers):
        blocks = [
            _restarted_block(block, layer, index, generator) if isinstance(block, BasisBlock) else block
            for block in layer.all_blocks()
        ]
        layers.append(layer.with_blocks(blocks))
    return model.rebuilt(layers)


def _restarted_block(block: BasisBlock, layer: KANLayer, index: int, generator: torch.Generator) -> BasisBlock:
    if bool(block.locked.any()):
        basis, grid = block.basis, block.grid
    else:
        basis = START.basis if START.replaces(block.basis) and refinable(block) else block.basis
        grid = domain_grid(HIDDEN_DOMAIN, layer.in_features, block.grid.dtype) if index else block.grid[:, [0, -1]]
    start = small_random_coefficients(basis, grid, layer.nodes, generator)
    if index:
        start += _lines(basis, grid, layer.nodes, generator)
    kept = block.locked.unsqueeze(1)
    coefficients = torch.where(kept, block.coefficients, start) if bool(kept.any()) else start
    return block.replaced(basis=basis, grid=grid, coefficients=coefficients)


def _lines(basis: Basis, grid: Tensor, nodes: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Coefficients of straight lines, up or down, for all edges but those to factors of products, which are lines."""
    inputs, is_sum = grid.shape[0], torch.tensor([arity == 1 for arity in nodes for _ in range(arity)])
    signs = torch.randn((inputs, 1, len(is_sum)), generator=generator, dtype=grid.dtype).sign()
    return is_sum * signs / inputs**0.5 * linear_coefficients(basis, grid).unsqueeze(-1)


def warm_up(model: Network, rows: Rows, deadline: float) -> None:
    """First steps of a new start, in place: hidden domains follow the values."""
    objective = SmoothedObjective(model, rows.x, rows.y)
    objective.smooth_a_little()
    for _ in range(_ROUNDS):
        descend(objective, _STEPS, deadline, progress=_PROGRESS, room=AT_REST)


def thinned(model: Model, rows: Rows, deadline: float) -> Model | None:
    """What sparse fits leave of a network, each of what the one before has left, trained anew.

    Args:
        model: the network, which is left as it is.
        rows: the data, targets of spread 1.
        deadline: monotonic time after which no step is taken.

    Returns:
        A new network of fewer edges, or None where all edges are needed.
    """
    sparsest, smaller = None, _sparser(model, rows, deadline)
    while smaller is not None:
        sparsest, smaller = smaller, _sparser(smaller, rows, deadline)
    return sparsest


def _sparser(model: Model, rows: Rows, deadline: float) -> Model | None:
    """What one sparse fit leaves: the sparsest network that does not fit much worse, None where no edge can go."""
    most = _HARM * rows.error(model)
    for strength in _STRENGTHS:
        sparse = model.copied()
        penalty = Sparsity(l1=strength, entropy=strength / 3)
        objective = OutputObjective(sparse, rows.x, rows.y, MeanSquaredError(), penalty)
        descend(objective, _SPARSE_STEPS, deadline, progress=_SPARSE_PROGRESS, room=ON_THE_WAY)
        pruned = prune(sparse, rows.x)
        if _edges(pruned) == _edges(model):
            return None
        warm_up(pruned, rows, deadline)
        if rows.error(pruned) <= most:
            return pruned
    return None


def _edges(model: Network) -> int:
    return sum(int(layer.mask.sum()) for layer in model.all_layers)
