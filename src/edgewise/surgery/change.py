"""Changes of single edges and whole layers that keep what the network computes: basis, locks."""

from __future__ import annotations

from edgewise.basis import Basis
from edgewise.errors import EdgeError
from edgewise.network import BasisBlock, Network
from edgewise.surgery.blocks import Model, expressed, input_ranges, single_edge, with_edges_in


def with_basis(model: Model, layer: int, source: int | None, target: int | None, basis: Basis) -> Model:
    """Express one edge, or all edges of a layer, in another basis.

    Args:
        model: the network, which is left as it is.
        layer: index of the layer.
        source: input of the edge, or None for the whole layer.
        target: output of the edge, or None for the whole layer.
        basis: the basis to express them in.

    Returns:
        A new network; the edges are the L2 projections of the old ones (symbolic edges: least-squares fits).

    Raises:
        EdgeError: there is no such edge.
    """
    found = model.layer_at(layer)
    ends = input_ranges(model, layer)
    if source is None or target is None:
        return model.with_layer(layer, found.map_blocks(lambda block: expressed(block, basis, ends)))
    require_edge(model, layer, source, target)
    block = found.block_of(source, target)
    assert block is not None
    one = block.restricted(single_edge(found, source, target))
    return model.with_layer(layer, with_edges_in(found, expressed(one, basis, ends)))


def lock(model: Model, layer: int, source: int, target: int, *, locked: bool = True) -> Model:
    """Keep an edge as it is while the rest trains, or let it train again.

    Args:
        model: the network, which is left as it is.
        layer: index of the layer.
        source: input of the edge.
        target: output of the edge.
        locked: whether the edge is to be locked.

    Returns:
        A new network that computes the same.

    Raises:
        EdgeError: there is no such edge.
    """
    require_edge(model, layer, source, target)
    found = model.layer_at(layer)
    one = single_edge(found, source, target)
    state = found.locked | one if locked else found.locked & ~one
    return model.with_layer(layer, found.map_blocks(lambda block: block.with_locked(state & block.mask)))


def require_edge(model: Network, layer: int, source: int, target: int) -> None:
    """Refuse edges that do not exist.

    Raises:
        EdgeError: the indices are out of range, or the edge was pruned.
    """
    model.check_edge(layer, source, target)
    if model.layer_at(layer).block_of(source, target) is None:
        raise EdgeError(f"edge ({layer}, {source}, {target}) was pruned; it is zero and has no function")


def restored(model: Model, layer: int, source: int, target: int, basis: Basis) -> Model:
    """An edge as a trainable curve again, whatever it was: the inverse of naming it.

    Args:
        model: the network, which is left as it is.
        layer: index of the layer.
        source: input of the edge.
        target: output of the edge.
        basis: used where the layer has no basis to share.

    Returns:
        A new network in which the edge is a least-squares fit of what it was.

    Raises:
        EdgeError: there is no such edge.
    """
    found = model.layer_at(layer)
    shared = next((block for block in found.all_blocks() if isinstance(block, BasisBlock)), None)
    if shared is None:
        return with_basis(model, layer, source, target, basis)
    require_edge(model, layer, source, target)
    block = found.block_of(source, target)
    assert block is not None
    one = block.restricted(single_edge(found, source, target))
    new = expressed(one, shared.basis, shared.grid, base=shared.base if isinstance(shared.base, str) else None)
    return model.with_layer(layer, with_edges_in(found, new))
