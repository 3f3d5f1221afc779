"""Pruning: leave out the edges, nodes and inputs that carry next to nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.errors import OptionError
from edgewise.network import KANLayer, Network, subnodes
from edgewise.surgery.attribution import Attribution, attribution
from edgewise.surgery.blocks import Model, without_edges


@torch.no_grad()
def prune(
    model: Model, x: Tensor | None = None, *, node_threshold: float = 1e-2, edge_threshold: float = 3e-2
) -> Model:
    """Leave out edges and hidden nodes whose attribution is below a threshold.

    What a removed edge gave on average is added to another edge of its node, so constants are not lost. Each node
    that stays keeps its strongest incoming edge, inputs and outputs keep their numbers.

    Args:
        model: the network, which is left as it is.
        x: inputs on which scores are computed, shape (N, I); the model's sample if not given.
        node_threshold: hidden nodes with a lower score go, 0 or more.
        edge_threshold: edges with a lower score go, 0 or more.

    Returns:
        A new, smaller network.

    Raises:
        OptionError: a threshold is negative.

    Example:
        >>> import edgewise as ew
        >>> model = ew.KAN([2, 5, 1], seed=0)
        >>> model.prune(edge_threshold=0.0, node_threshold=0.0).width
        [2, 5, 1]

    Source: Liu et al., KAN (2024), section 2.5.1; KAN 2.0 (2024), section 3.2.
    """
    if node_threshold < 0 or edge_threshold < 0:
        raise OptionError(f"thresholds must be 0 or more, got node {node_threshold} and edge {edge_threshold}")
    x = model.sample if x is None else x
    scores = attribution(model, x)
    kept, alive = _survivors(model, scores, node_threshold, edge_threshold)
    trace = model.trace(x)
    layers = []
    for index, layer in enumerate(model.all_layers):
        means = trace.layers[index].edges.mean(dim=0)
        thinned = _with_means_kept(layer, kept[index], means)
        sources = torch.arange(layer.in_features) if index == 0 else alive[index - 1]
        layers.append(_selected(thinned, sources, alive[index]))
    return model.rebuilt(layers)


def prune_inputs(model: Model, x: Tensor | None = None, *, threshold: float = 1e-2) -> Model:
    """Cut the inputs whose attribution is below a threshold.

    The network still takes all columns, so that data need not change; those inputs no longer have edges.

    Args:
        model: the network, which is left as it is.
        x: inputs on which scores are computed, shape (N, I); the model's sample if not given.
        threshold: inputs with a lower score go, 0 or more.

    Returns:
        A new network.

    Raises:
        OptionError: the threshold is negative.
    """
    if threshold < 0:
        raise OptionError(f"the threshold must be 0 or more, got {threshold}")
    x = model.sample if x is None else x
    first = model.layer_at(0)
    keep = first.mask & (attribution(model, x).inputs >= threshold).unsqueeze(1)
    means = model.trace(x).layers[0].edges.mean(dim=0).detach()
    bare = ~keep.any(dim=0)
    keep[:, bare] = first.mask[:, bare]  # a node without any input would be no node
    return model.with_layer(0, _with_means_kept(first, keep, means))


def _survivors(
    model: Network, scores: Attribution, node_threshold: float, edge_threshold: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Masks of the edges that stay, and indices of the nodes that stay, found from the outputs back."""
    kept: list[Tensor] = []
    alive = [torch.arange(model.out_features)]
    for index in reversed(range(len(model.all_layers))):
        layer, score = model.all_layers[index], scores.edges[index]
        groups = subnodes(layer.nodes)
        needed = torch.zeros_like(layer.mask)
        needed[:, [subnode for node in alive[0].tolist() for subnode in groups[node]]] = True
        mask = layer.mask & needed
        strong = mask & (score >= edge_threshold)
        if index:
            strong &= (scores.nodes[index - 1] >= node_threshold).unsqueeze(1)
        strongest = mask & (score == score.masked_fill(~mask, -1.0).amax(dim=0)) & ~strong.any(dim=0)
        strong |= strongest & (strongest.cumsum(dim=0) == 1)  # the first of equals
        kept.insert(0, strong)
        if index:
            alive.insert(0, torch.nonzero(strong.any(dim=1)).flatten())
    return kept, alive


def _with_means_kept(layer: KANLayer, keep: Tensor, means: Tensor) -> KANLayer:
    """A layer thinned to the kept edges; the means of removed ones move to the first kept edge of their subnode."""
    lost = (means * (layer.mask & ~keep)).sum(dim=0)
    free = keep & ~layer.locked
    heirs = torch.where(free.any(dim=0), free, keep)
    first = heirs & (heirs.cumsum(dim=0) == 1)
    thinned = without_edges(layer, ~keep)
    return thinned.map_blocks(lambda block: block.shifted(torch.where(first & block.mask, lost, 0.0)))


def _selected(layer: KANLayer, inputs: Tensor, nodes: Tensor) -> KANLayer:
    """A layer on some of its inputs and nodes."""
    groups = subnodes(layer.nodes)
    chosen = torch.tensor([subnode for node in nodes.tolist() for subnode in groups[node]], dtype=torch.long)
    blocks = [block.selected(inputs, chosen) for block in layer.all_blocks()]
    smaller = KANLayer.from_blocks(blocks, tuple(layer.nodes[node] for node in nodes.tolist()), len(inputs))
    return smaller.with_blocks(blocks)
