"""Gradient and Gauss–Newton curvature of a network's loss, assembled from the structure of its Jacobian.

The Jacobian of the outputs in the parameters of one edge is δ ⊗ features: the adjoint of the subnode at which the edge
arrives, times the derivatives of the edge's output by its own parameters. No autograd graph is built.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.network import Block, KANLayer, Network

_CHUNK_ELEMENTS = 8_000_000  # of a Jacobian held at one time


@dataclass(frozen=True)
class Linearisation:
    """An objective near the present parameters.

    Args:
        value: the objective.
        gradient: shape (P,).
        curvature: shape (P, P), positive semi-definite.
    """

    value: float
    gradient: Tensor
    curvature: Tensor


def blocks_of(model: Network) -> list[Block]:
    """All blocks of a network, in the order of its flat parameter vector."""
    return [block for layer in model.all_layers for block in layer.all_blocks()]


def get_parameters(model: Network) -> Tensor:
    """All free parameters as one vector, shape (P,)."""
    return torch.cat([block.gather().flatten() for block in blocks_of(model)])


def set_parameters(model: Network, values: Tensor) -> None:
    """Set all free parameters from one vector, shape (P,)."""
    start = 0
    for block in blocks_of(model):
        shape = block.gather().shape
        block.scatter_(values[start : start + shape.numel()].view(shape))
        start += shape.numel()


def gather_gradients(model: Network, grads: dict[str, Tensor | None]) -> Tensor:
    """Gradients of the named parameters as one vector of free parameters, with any leading dimensions."""
    columns = []
    for index, layer in enumerate(model.all_layers):
        for position, block in enumerate(layer.all_blocks()):
            names = [f"layers.{index}.blocks.{position}.{name}" for name, _ in block.named_parameters()]
            columns.append(block.gather([grads[name] for name in names]).flatten(-2))
    leading = max((column.shape[:-1] for column in columns), key=len)
    return torch.cat([column.expand(*leading, -1) for column in columns], dim=-1)


def block_slices(model: Network) -> Iterator[tuple[KANLayer, int, Block, int]]:
    """(layer, its index, block, where the block's parameters start) in the order of the flat vector."""
    start = 0
    for index, layer in enumerate(model.all_layers):
        for block in layer.all_blocks():
            yield layer, index, block, start
            start += block.gather().numel()


@torch.no_grad()
def jacobian_rows(model: Network, x: Tensor, factor: Tensor) -> Tensor:
    """Rows Σ_o factor[n, o, r]·∂y_o(x_n)/∂parameters.

    Args:
        model: the network.
        x: inputs, shape (N, I).
        factor: weights of the outputs for each of R rows per sample, shape (N, O, R).

    Returns:
        Rows of shape (R, N, P).
    """
    inputs, sums = forward_values(model, x)
    per_row: list[Tensor] = []
    features = [
        [block.features(at) for block in layer.all_blocks()] for layer, at in zip(model.all_layers, inputs, strict=True)
    ]
    for r in range(factor.shape[2]):
        delta, columns = factor[:, :, r], []
        for index in reversed(range(len(inputs))):
            layer = model.all_layers[index]
            at_sums, delta = layer.adjoint(inputs[index], sums[index], delta)
            for block, values in zip(reversed(layer.all_blocks()), reversed(features[index]), strict=True):
                target = block.free_edges()[1]
                columns.append((values * at_sums[:, target].unsqueeze(-1)).flatten(1))
        per_row.append(torch.cat(columns[::-1], dim=1))
    return torch.stack(per_row)


@torch.no_grad()
def forward_values(model: Network, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Every layer's inputs, (N, I_l), and sums, (N, S_l)."""
    inputs, sums = [], []
    for layer in model.all_layers:
        inputs.append(x)
        sums.append(layer.sums(x))
        x = layer.merged(sums[-1])
    return inputs, sums


@torch.no_grad()
def accumulate(model: Network, x: Tensor, factor: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient Jᵀρ and curvature JᵀJ, a mean over samples, in chunks: J is never held whole.

    Args:
        model: the network.
        x: inputs, shape (N, I).
        factor: shape (N, O, R), from `Loss.rows`.
        rows: ρ of shape (N, R).

    Returns:
        Gradient (P,) and curvature (P, P).
    """
    parameters = get_parameters(model).numel()
    gradient = x.new_zeros(parameters)
    curvature = x.new_zeros((parameters, parameters))
    chunk = max(1, _CHUNK_ELEMENTS // max(1, parameters * factor.shape[2]))
    for part in torch.arange(x.shape[0], device=x.device).split(chunk):
        jacobian = jacobian_rows(model, x[part], factor[part]).flatten(0, 1)
        gradient.addmv_(jacobian.T, rows[part].T.flatten())
        curvature.addmm_(jacobian.T, jacobian)
    return gradient / x.shape[0], curvature / x.shape[0]
