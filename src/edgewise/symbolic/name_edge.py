"""Naming single edges: which primitives fit, and putting one in place of the learned curve."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from edgewise.basis import Basis, BSpline
from edgewise.errors import SymbolicError
from edgewise.network import Network, SymbolicBlock
from edgewise.primitives import Primitive, get_primitive
from edgewise.surgery import require_edge, restored, with_edges_in
from edgewise.symbolic.match import Match, match_primitive, rank_matches

Model = TypeVar("Model", bound=Network)


def edge_samples(
    model: Network, layer: int, source: int, target: int, x: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What arrives at an edge and what it makes of it, for given inputs of the network.

    Args:
        model: the network.
        layer: index of the layer.
        source: input of the edge.
        target: output of the edge.
        x: inputs of the network, shape (N, I); its sample if not given.

    Returns:
        Inputs and outputs of the edge, each of shape (N,), float64.

    Raises:
        EdgeError: there is no such edge.
    """
    require_edge(model, layer, source, target)
    with torch.no_grad():
        values = model.trace(model.sample if x is None else x).layers[layer]
    return values.inputs[:, source].double(), values.edges[:, source, target].double()


def suggest_symbolic(
    model: Network,
    layer: int,
    source: int,
    target: int,
    *,
    x: Tensor | None = None,
    primitives: list[str] | None = None,
) -> list[Match]:
    """Rank primitives as names of an edge.

    Args:
        model: the network.
        layer: index of the layer.
        source: input of the edge.
        target: output of the edge.
        x: inputs of the network, shape (N, I); its sample if not given.
        primitives: names to try; all if not given.

    Returns:
        Matches c·f(a·x + b) + d, best first.

    Raises:
        EdgeError: there is no such edge.
        OptionError: a name is unknown.

    Example:
        >>> import edgewise as ew
        >>> model = ew.KAN([1, 1], seed=0)
        >>> history = model.fit(ew.create_dataset(lambda x: x[:, 0] ** 2, n_var=1))
        >>> model.suggest_symbolic(0, 0, 0)[0].primitive.name
        'x^2'
    """
    chosen = None if primitives is None else [get_primitive(name) for name in primitives]
    return rank_matches(*edge_samples(model, layer, source, target, x), chosen)


def fix_symbolic(
    model: Model, layer: int, source: int, target: int, primitive: str | Primitive, *, x: Tensor | None = None
) -> Model:
    """Put a primitive in the place of an edge, its affine parameters fitted to the learned curve.

    Args:
        model: the network, which is left as it is.
        layer: index of the layer.
        source: input of the edge.
        target: output of the edge.
        primitive: the primitive or its name.
        x: inputs of the network on which the curve is looked at, shape (N, I); its sample if not given.

    Returns:
        A new network; the four affine parameters train with the rest.

    Raises:
        EdgeError: there is no such edge.
        OptionError: the name is unknown.
        SymbolicError: the primitive cannot serve on the edge's range.
    """
    chosen = get_primitive(primitive) if isinstance(primitive, str) else primitive
    match = match_primitive(*edge_samples(model, layer, source, target, x), chosen)
    if match is None:
        raise SymbolicError(
            f"{chosen.name} cannot serve edge ({layer}, {source}, {target}): it is not finite, or constant, on the "
            "edge's range; see suggest_symbolic for what can"
        )
    return with_match(model, layer, source, target, match)


def with_match(model: Model, layer: int, source: int, target: int, match: Match) -> Model:
    """A new network in which an edge is the curve of a match."""
    found = model.layer_at(layer)
    block = SymbolicBlock(
        match.primitive,
        torch.tensor([source], device=model.sample.device),
        torch.tensor([target], device=model.sample.device),
        torch.tensor([[match.a, match.b, match.c, match.d]], dtype=model.dtype, device=model.sample.device),
        shape=(found.in_features, found.subnodes),
        locked=found.locked[source, target].reshape(1),
    )
    return model.with_layer(layer, with_edges_in(found, block))


def unfix_symbolic(model: Model, layer: int, source: int, target: int, *, basis: Basis | None = None) -> Model:
    """Make a symbolic edge a trainable curve again.

    Args:
        model: the network, which is left as it is.
        layer: index of the layer.
        source: input of the edge.
        target: output of the edge.
        basis: used where the layer has no basis to share; cubic B-splines on 5 intervals if not given.

    Returns:
        A new network in which the edge is a least-squares fit of the symbolic curve.

    Raises:
        EdgeError: there is no such edge.
        SymbolicError: the edge is not symbolic.
    """
    require_edge(model, layer, source, target)
    if not isinstance(model.layer_at(layer).block_of(source, target), SymbolicBlock):
        raise SymbolicError(f"edge ({layer}, {source}, {target}) is not symbolic; there is nothing to undo")
    return restored(model, layer, source, target, BSpline() if basis is None else basis)
