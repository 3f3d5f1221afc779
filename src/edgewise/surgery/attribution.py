"""How much of the output each input, node and edge carries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.network import LayerTrace, Network, subnodes


@dataclass(frozen=True)
class Attribution:
    """Scores of 0 for what does nothing, around 1 for what carries the output.

    Args:
        inputs: one score per input, shape (I,).
        nodes: for each layer, one score per node, shape (O,); those of the last layer are 1.
        edges: for each layer, one score per edge, shape (I, S).
    """

    inputs: Tensor
    nodes: tuple[Tensor, ...]
    edges: tuple[Tensor, ...]


@torch.no_grad()
def attribution(model: Network, x: Tensor | None = None) -> Attribution:
    """Score inputs, nodes and edges by the share of the output's variation that they carry.

    The score of an edge is that of the node it ends in times the standard deviation of its output relative to that of
    the node's sum. Scores of a node's outgoing edges add in square, as the variances of independent terms do. A
    factor of a product has the score of the product.

    Args:
        model: the network.
        x: inputs, shape (N, I); the model's sample if not given.

    Returns:
        The scores.

    Raises:
        ShapeError: x has another number of columns than the model has inputs.

    Example:
        >>> import edgewise as ew
        >>> scores = ew.KAN([2, 3, 1], seed=0).attribution()
        >>> scores.inputs.shape, [edges.shape for edges in scores.edges]
        (torch.Size([2]), [torch.Size([2, 3]), torch.Size([3, 1])])

    Source: Liu et al., KAN 2.0 (2024), section 3.2, with shares of variance in place of sums of moduli.
    """
    trace = model.trace(model.sample if x is None else x)
    score = torch.ones(model.out_features, dtype=model.dtype, device=model.sample.device)
    nodes, edges = [], []
    for layer, values in zip(reversed(model.all_layers), reversed(trace.layers), strict=True):
        at_sums = torch.empty(layer.subnodes, dtype=score.dtype, device=score.device)
        for node, group in enumerate(subnodes(layer.nodes)):
            at_sums[list(group)] = score[node]
        nodes.append(score)
        edges.append(_shares(values) * at_sums)
        score = edges[-1].square().sum(dim=1).sqrt()
    return Attribution(inputs=score, nodes=tuple(reversed(nodes)), edges=tuple(reversed(edges)))


def _shares(values: LayerTrace) -> Tensor:
    """Standard deviation of each edge over that of the sum it ends in; 0 where the sum is constant."""
    spread = values.edges.std(dim=0, correction=0)
    total = values.sums.std(dim=0, correction=0)
    rounding = torch.finfo(total.dtype).eps * values.edges.abs().sum(dim=1).amax(dim=0)
    return torch.where(total > rounding, spread / torch.where(total > rounding, total, 1.0), 0.0)
