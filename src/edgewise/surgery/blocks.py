"""Moving edges between blocks: what every change of an edge's function family is made of."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from edgewise.basis import Basis, fit_curve
from edgewise.network import BasisBlock, Block, KANLayer, Network, SymbolicBlock
from edgewise.network.base import base_function

Model = TypeVar("Model", bound=Network)

_CURVE_POINTS = 400


def single_edge(layer: KANLayer, source: int, target: int) -> Tensor:
    """A mask, bool (I, S), of one edge."""
    mask = torch.zeros_like(layer.mask)
    mask[source, target] = True
    return mask


def without_edges(layer: KANLayer, edges: Tensor) -> KANLayer:
    """A layer in which the edges of a mask are gone."""
    return layer.map_blocks(lambda block: block.restricted(~edges))


def with_edges_in(layer: KANLayer, new: Block) -> KANLayer:
    """A layer in which the edges of a new block replace those that were there; equal families are joined."""
    blocks = [block.restricted(~new.mask) for block in layer.all_blocks()]
    for index, block in enumerate(blocks):
        joined = _joined(block, new)
        if joined is not None:
            return layer.with_blocks([*blocks[:index], joined, *blocks[index + 1 :]])
    return layer.with_blocks([*blocks, new])


def _joined(block: Block, new: Block) -> Block | None:
    """Both blocks as one, or None where they differ in kind."""
    if isinstance(block, SymbolicBlock) and isinstance(new, SymbolicBlock):
        return block.joined(new) if block.primitive == new.primitive else None
    if isinstance(block, BasisBlock) and isinstance(new, BasisBlock):
        alike = block.basis == new.basis and block.base == new.base and torch.equal(block.grid, new.grid)
        if not alike:
            return None
        weight = None
        if block.base_weight is not None and new.base_weight is not None:
            weight = block.base_weight + new.base_weight
        return block.replaced(
            coefficients=block.coefficients + new.coefficients,
            base_weight=weight,
            mask=block.mask | new.mask,
            locked=block.locked | new.locked,
        )
    return None


def input_ranges(model: Network, layer: int, x: Tensor | None = None) -> Tensor:
    """Where the inputs of a layer lie: the grid's ends where the layer has one, else the range of the values.

    Args:
        model: the network.
        layer: index of the layer.
        x: inputs of the network, shape (N, I); its sample if not given.

    Returns:
        Ends of shape (I_layer, 2).
    """
    found = model.layer_at(layer)
    for block in found.all_blocks():
        if isinstance(block, BasisBlock):
            return block.grid[:, [0, -1]].clone()
    with torch.no_grad():
        values = model.trace(model.sample if x is None else x).layers[layer].inputs
    low, high = values.amin(dim=0), values.amax(dim=0)
    pad = torch.where(high > low, 0.0, torch.maximum(low.abs(), torch.ones_like(low)))
    return torch.stack([low - pad, high + pad], dim=1)


@torch.no_grad()
def expressed(block: Block, basis: Basis, ends: Tensor, *, base: str | None = None) -> BasisBlock:
    """The edges of a block in another basis.

    Args:
        block: any block.
        basis: the basis to express its edges in.
        ends: grid of the new basis, shape (I, K).
        base: base function to go on with, of weight zero at the start.

    Returns:
        A block of the same edges: the L2 projection of a basis block (base function included), the least-squares fit
        of symbolic curves.
    """
    if isinstance(block, BasisBlock):
        coefficients = block.basis.transfer(block.grid, basis, ends) @ block.coefficients
        function = base_function(block.base)
        if function is not None and block.base_weight is not None:
            x = _curve_points(basis, ends)
            values = function(x).unsqueeze(-1) * block.base_weight
            coefficients = coefficients + fit_curve(basis, ends, x, values)
    else:
        x = _curve_points(basis, ends)
        coefficients = fit_curve(basis, ends, x, block.edges(x))
    return BasisBlock(basis, ends, coefficients, base=base, mask=block.mask, locked=block.locked)


def _curve_points(basis: Basis, ends: Tensor) -> Tensor:
    steps = torch.linspace(0, 1, _CURVE_POINTS + 8 * basis.size, dtype=ends.dtype, device=ends.device)
    return torch.lerp(ends[:, 0], ends[:, -1], steps.unsqueeze(1))
