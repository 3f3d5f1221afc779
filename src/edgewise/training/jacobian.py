"""The Jacobian of a network at a point as an operator: products with it, without forming it.

A block's part of it is δ ⊗ b, the adjoints of the subnodes times the derivatives of the edges by their parameters. So
J·v is the block's output with coefficients v, contracted with δ, and Jᵀ·u is its coefficient gradient for δ·u: one
contraction each, whatever the depth.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from edgewise.network import Block, Network
from edgewise.training.gauss_newton import adjoints, block_slices, forward_values


class Jacobian:
    """Rows Σ_o factor[n, o, r]·∂y_o(x_n)/∂parameters / √N, so that JᵀJ is a mean over samples.

    It stays that of the point where it was made when the model moves on.

    Args:
        model: the network.
        x: inputs, shape (N, I).
        factor: weights of the outputs for each of R rows per sample, shape (N, O, R).
    """

    def __init__(self, model: Network, x: Tensor, factor: Tensor) -> None:
        inputs, sums = forward_values(model, x)
        scaled = factor / math.sqrt(len(x))
        per_row = [adjoints(model, inputs, sums, scaled[:, :, row]) for row in range(factor.shape[2])]
        deltas = [torch.stack(of_layer, dim=2) for of_layer in zip(*per_row, strict=True)]
        self.blocks = [
            BlockJacobian(block, start, inputs[index], deltas[index])
            for _, index, block, start in block_slices(model)
            if len(block.free_edges()[0])
        ]

    def times(self, v: Tensor) -> Tensor:
        """J·v of shape (N, R), for v of shape (P,)."""
        return torch.stack([block.times(v[block.columns]) for block in self.blocks]).sum(0)

    def transposed_times(self, u: Tensor) -> Tensor:
        """Jᵀ·u of shape (P,), for u of shape (N, R)."""
        return torch.cat([block.transposed_times(u) for block in self.blocks])

    def squares(self) -> Tensor:
        """The diagonal of JᵀJ, shape (P,)."""
        return torch.cat([block.squares() for block in self.blocks])


class BlockJacobian:
    """The columns of one block's parameters.

    Args:
        block: with free edges.
        start: the first of its columns.
        x: its inputs, shape (N, I).
        delta: adjoints of its subnodes for each row, shape (N, S, R).
    """

    def __init__(self, block: Block, start: int, x: Tensor, delta: Tensor) -> None:
        self.delta = delta
        self.target = block.free_edges()[1]
        self.edges, self.size = block.gather().shape
        self.columns = slice(start, start + self.edges * self.size)
        self.curves, self.source = _curves(block, x)
        self.block = copy.deepcopy(block)
        self.tangent = copy.deepcopy(block)
        self._differentiate(x)

    def _differentiate(self, x: Tensor) -> None:
        """Prepare both products: the gradient by the parameters is linear in its seed, and differentiable by it."""
        with torch.enable_grad():
            self.sums = self.block(x)
            self.seed = torch.zeros_like(self.sums, requires_grad=True)
            self.pulled = torch.autograd.grad(
                self.sums, list(self.block.parameters()), self.seed, create_graph=True, materialize_grads=True
            )
        for parameter in self.tangent.parameters():
            parameter.data.zero_()

    def times(self, v: Tensor) -> Tensor:
        """The block's part of J·v, shape (N, R), for v of shape (E·K,)."""
        self.tangent.scatter_(v.view(self.edges, self.size))
        tangents = [parameter.detach() for parameter in self.tangent.parameters()]
        (moved,) = torch.autograd.grad(self.pulled, self.seed, tangents, retain_graph=True)
        return torch.einsum("ns,nsr->nr", moved, self.delta)

    def transposed_times(self, u: Tensor) -> Tensor:
        """The block's part of Jᵀ·u, shape (E·K,), for u of shape (N, R)."""
        seed = torch.einsum("nsr,nr->ns", self.delta, u)
        return self.block.gather(
            torch.autograd.grad(self.sums, list(self.block.parameters()), seed, retain_graph=True)
        ).flatten()

    def squares(self) -> Tensor:
        """Sums of squares of the columns, shape (E·K,)."""
        moments = torch.einsum("fnk,ns->fks", self.curves.square(), self.delta.square().sum(dim=2))
        return moments[self.source, :, self.target].flatten()


def _curves(block: Block, x: Tensor) -> tuple[Tensor, Tensor]:
    """The different features of a block's free edges, (F, N, K), and which of them each edge has, (E,)."""
    parts = block.sparse_features(x)
    curves = x.new_zeros((*parts[0].first.shape, block.gather().shape[1]))
    for part in parts:
        places = part.first.long().unsqueeze(2) + torch.arange(part.values.shape[2], device=x.device)
        curves.scatter_add_(2, places, part.values)
    return curves, parts[0].source
