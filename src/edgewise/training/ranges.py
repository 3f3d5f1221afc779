"""Grids of hidden layers follow the values that arrive there.

The hidden nodes' values drift in training. When they leave a grid, or gather in a small part of it, each edge that
starts there is expressed anew on a grid that fits: exactly where the basis knows such a grid, as splines do along their
knots, else by L2 projection. Locked edges keep their input's grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.network import BasisBlock, Network

ON_THE_WAY = -0.05  # of the values' range: how far values may stick out while they still move,
AT_REST = 0.02  # and how much has to be free at each end at last, as new inputs reach a little further
_USED = 0.4  # of the domain's length: if values fill less, the domain is shrunk
_MARGIN = 0.1  # of the values' range, left free at each end


@torch.no_grad()
def fit_grids_to_values(model: Network, x: Tensor, room: float = AT_REST) -> bool:
    """Move the domains of hidden inputs to where their values are.

    Args:
        model: the network; its grids and coefficients are changed in place.
        x: inputs, shape (N, I).
        room: what has to be free of a domain at each end, as a share of the values' range; they may stick out where
            it is negative.

    Returns:
        Whether any grid moved.
    """
    moved = False
    values = x
    for index, layer in enumerate(model.all_layers):
        if index:
            for block in layer.all_blocks():
                if isinstance(block, BasisBlock):
                    moved |= _fit_block(block, values, room)
        values = layer(values)
    return moved


def _fit_block(block: BasisBlock, values: Tensor, room: float) -> bool:
    low, high = values.amin(dim=0), values.amax(dim=0)
    start, end = block.grid[:, 0], block.grid[:, -1]
    length, spread = end - start, high - low
    outside = (low < start + room * spread) | (high > end - room * spread)
    unused = spread < _USED * length
    movable = torch.isfinite(spread) & (spread > 1e-6 * length) & ~block.locked.any(dim=1)
    chosen = torch.nonzero((outside | unused) & movable & block.mask.any(dim=1)).flatten()
    if not len(chosen):
        return False
    old = block.grid[chosen]
    margin = _MARGIN * spread[chosen]
    new = block.basis.grid_over(old, low[chosen] - margin, high[chosen] + margin)
    if torch.equal(new, old):
        return False
    block.coefficients[chosen] = block.basis.transfer(old, block.basis, new) @ block.coefficients[chosen]
    block.grid[chosen] = new
    return True
