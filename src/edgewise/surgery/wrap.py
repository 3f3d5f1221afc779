"""Units: put a network that was trained in convenient units into the user's."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from edgewise.errors import ShapeError
from edgewise.network import KANLayer, Network, SymbolicBlock
from edgewise.surgery.blocks import Model

_IDENTITY = (1.0, 0.0, 1.0, 0.0)


@torch.no_grad()
def scale_outputs(model: Model, scale: Tensor, shift: Tensor) -> Model:
    """The network times `scale` plus `shift`, exactly, in its last layer's own parameters.

    Args:
        model: the network, which is left as it is.
        scale: one factor per output, shape (O,).
        shift: one constant per output, shape (O,).

    Returns:
        A new network.

    Raises:
        ShapeError: an output to be shifted is a product, or has no edges.
    """
    last = model.all_layers[-1]
    arity = torch.tensor(last.nodes, device=scale.device)
    if bool(((arity > 1) & (shift != 0)).any()):
        raise ShapeError("outputs that are products cannot be shifted; add a layer of sums behind them")
    factor = arity.cumsum(0) - arity  # the first of each output: a product is scaled in it, and a sum is its own
    factors = scale.new_ones(last.mask.shape[1]).scatter(0, factor, scale)
    terms = shift.new_zeros(last.mask.shape[1]).scatter(0, factor, shift)
    if bool((~last.mask.any(dim=0) & (terms != 0)).any()):
        raise ShapeError("an output without edges has nothing that could hold its constant")
    first = last.mask & (last.mask.cumsum(dim=0) == 1)
    constants = torch.where(first, terms, 0.0)
    scaled = last.map_blocks(lambda block: block.scaled(factors).shifted(torch.where(block.mask, constants, 0.0)))
    return model.with_layer(len(model.all_layers) - 1, scaled)


def with_transforms(
    model: Model, inputs: Sequence[str], outputs: Sequence[str], *, sample: Tensor, **options: Any
) -> Model:
    """The network between locked symbolic edges: y = T(model(t(x))), so that it works in the user's units.

    Args:
        model: the network, which is left as it is.
        inputs: name of the primitive t for each input, "x" for none.
        outputs: name of the primitive T for each output, "x" for none.
        sample: inputs of the new network, shape (S, I).
        options: fields of the network's options that change.

    Returns:
        A new network, with a layer before or after where a primitive is not "x".
    """
    layers = [copy.deepcopy(layer) for layer in model.all_layers]
    if any(name != "x" for name in inputs):
        layers.insert(0, _elementwise(inputs, model))
    if any(name != "x" for name in outputs):
        layers.append(_elementwise(outputs, model))
    wrapped = model.rebuilt(layers, **options)
    wrapped.sample = sample.detach().clone()
    return wrapped


def _elementwise(names: Sequence[str], model: Network) -> KANLayer:
    """A layer that applies one primitive to each of its inputs."""
    size = len(names)
    blocks = []
    for name in dict.fromkeys(names):
        edges = torch.tensor([index for index, other in enumerate(names) if other == name])
        affine = torch.tensor([_IDENTITY], dtype=model.dtype).expand(len(edges), 4)
        locked = torch.ones(len(edges), dtype=torch.bool)
        blocks.append(SymbolicBlock(name, edges, edges, affine, shape=(size, size), locked=locked))
    return KANLayer.from_blocks(blocks, (1,) * size, size)
