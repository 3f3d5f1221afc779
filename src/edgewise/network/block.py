"""A block: edges of one layer that share a function family.

A layer is a sum of blocks. Each edge (input i, subnode s) belongs to at most one block; an edge in none is zero.
What a solver needs of a block is its *features*, the derivatives of an edge's output by the edge's parameters: with the
adjoint δ of a subnode, the Jacobian of the network in these parameters is δ ⊗ features.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Features:
    """Derivatives of edges' outputs by their own parameters, without those that are zero.

    Args:
        values: of F curves at B samples, W neighbouring parameters each, shape (F, B, W).
        first: which of an edge's parameters the first of them is, whole numbers, shape (F, B).
        source: which of the curves each free edge has, shape (E,).
    """

    values: Tensor
    first: Tensor
    source: Tensor


class Block(nn.Module, abc.ABC):
    """Edges of one function family between I inputs and S subnodes."""

    @property
    @abc.abstractmethod
    def mask(self) -> Tensor:
        """Which edges the block serves, bool (I, S)."""

    @property
    @abc.abstractmethod
    def locked(self) -> Tensor:
        """Which of them no solver may change, bool (I, S)."""

    @abc.abstractmethod
    def edges(self, x: Tensor, order: int = 0) -> Tensor:
        """The order-th derivative of every edge's function at its input, shape (B, I, S); order is 0 or 1."""

    @abc.abstractmethod
    def adjoint(self, x: Tensor, delta: Tensor) -> Tensor:
        """Carry adjoints from the subnodes, (B, S), back to the inputs, (B, I)."""

    @abc.abstractmethod
    def free_edges(self) -> tuple[Tensor, Tensor]:
        """Inputs and subnodes of the edges that may be trained, each of shape (E,)."""

    @abc.abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Derivatives of the free edges' outputs by their K parameters, shape (B, E, K)."""

    @property
    def entries(self) -> int:
        """How many of an edge's K derivatives can differ from zero at one sample."""
        return self.gather().shape[-1]

    def sparse_features(self, x: Tensor) -> list[Features]:
        """The same as `features` by their non-zero parts, which together cover all K parameters."""
        values = self.features(x).transpose(0, 1)
        edges, samples, _ = values.shape
        first = torch.zeros((edges, samples), dtype=torch.int32, device=x.device)
        return [Features(values, first, torch.arange(edges, device=x.device))]

    @abc.abstractmethod
    def gather(self, tensors: Sequence[Tensor | None] | None = None) -> Tensor:
        """The parameters of the free edges, or what corresponds to them.

        Args:
            tensors: one per parameter, of its shape behind any leading dimensions (gradients, say; None is zero); the
                parameters themselves if not given.

        Returns:
            Values of shape (..., E, K).
        """

    @abc.abstractmethod
    def scatter_(self, values: Tensor) -> None:
        """Set the parameters of the free edges from values of shape (E, K)."""

    @abc.abstractmethod
    def restricted(self, keep: Tensor) -> Block:
        """A copy that serves only those of its edges for which `keep`, bool (I, S), is true."""

    @abc.abstractmethod
    def selected(self, inputs: Tensor, subnodes: Tensor) -> Block:
        """A copy on some of the inputs and subnodes only, given by their indices in the new order."""

    @abc.abstractmethod
    def shifted(self, constants: Tensor) -> Block:
        """A copy whose edges have constants, (I, S), added to their outputs."""

    @abc.abstractmethod
    def scaled(self, factors: Tensor) -> Block:
        """A copy whose edges' outputs are multiplied by a factor per subnode, (S,)."""

    @abc.abstractmethod
    def with_locked(self, locked: Tensor) -> Block:
        """A copy in which exactly the edges of `locked`, bool (I, S), are locked."""

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """The options as plain data; with the state dict it makes the block again."""


def edge_list(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column indices of the true entries of a (I, S) mask."""
    source, target = torch.nonzero(mask, as_tuple=True)
    return source, target
