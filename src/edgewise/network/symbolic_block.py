"""A block of edges that are one symbolic primitive f, each with its own affine parameters: φ(x) = c·f(a·x + b) + d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgewise.network.block import Block
from edgewise.primitives import Primitive, get_primitive


class SymbolicBlock(Block):
    """All edges of a layer that carry the same primitive.

    Args:
        primitive: the primitive or its name.
        source: the input of each edge, integers of shape (E,).
        target: the subnode of each edge, integers of shape (E,).
        affine: a, b, c, d of each edge, shape (E, 4).
        shape: (I, S), the layer's numbers of inputs and subnodes.
        locked: edges that no solver may change, bool (E,); none if not given.
    """

    source: Tensor
    target: Tensor
    locked_edges: Tensor

    def __init__(  # noqa: PLR0913 - the fields of a record
        self,
        primitive: Primitive | str,
        source: Tensor,
        target: Tensor,
        affine: Tensor,
        *,
        shape: tuple[int, int],
        locked: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.primitive = get_primitive(primitive) if isinstance(primitive, str) else primitive
        self.shape = shape
        unlocked = torch.zeros(len(source), dtype=torch.bool, device=affine.device)
        self.register_buffer("source", source.clone())
        self.register_buffer("target", target.clone())
        self.register_buffer("locked_edges", unlocked if locked is None else locked.clone())
        self.affine = nn.Parameter(affine.detach().clone())

    @property
    def mask(self) -> Tensor:
        """Which edges the block serves, bool (I, S)."""
        return self._as_matrix(torch.ones_like(self.locked_edges))

    @property
    def locked(self) -> Tensor:
        """Which of them no solver may change, bool (I, S)."""
        return self._as_matrix(self.locked_edges)

    def forward(self, x: Tensor) -> Tensor:
        """Sums over the inputs: x of shape (B, I) to (B, S)."""
        values = self._curves(x)
        return values.new_zeros((x.shape[0], self.shape[1])).index_add(1, self.target, values)

    def edges(self, x: Tensor, order: int = 0) -> Tensor:
        """See `Block.edges`."""
        values = self._curves(x) if order == 0 else self._slopes(x)
        edges = values.new_zeros((x.shape[0], *self.shape))
        edges[:, self.source, self.target] = values
        return edges

    def adjoint(self, x: Tensor, delta: Tensor) -> Tensor:
        """See `Block.adjoint`."""
        back = self._slopes(x) * delta[:, self.target]
        return back.new_zeros(x.shape).index_add(1, self.source, back)

    def free_edges(self) -> tuple[Tensor, Tensor]:
        """See `Block.free_edges`."""
        free = ~self.locked_edges
        return self.source[free], self.target[free]

    def features(self, x: Tensor) -> Tensor:
        """See `Block.features`: the derivatives by a, b, c and d."""
        free = ~self.locked_edges
        a, b, c, _ = self.affine[free].unbind(1)
        at = x[:, self.source[free]]
        inner = a * at + b
        slope = c * self.primitive.derivative(inner)
        return torch.stack([slope * at, slope, self.primitive.function(inner), torch.ones_like(inner)], dim=-1)

    def gather(self, tensors: Sequence[Tensor | None] | None = None) -> Tensor:
        """See `Block.gather`."""
        given = self.affine.detach() if tensors is None else tensors[0]
        values = torch.zeros_like(self.affine) if given is None else given
        return values[..., ~self.locked_edges, :]

    def scatter_(self, values: Tensor) -> None:
        """See `Block.scatter_`."""
        with torch.no_grad():
            self.affine[~self.locked_edges] = values

    def restricted(self, keep: Tensor) -> SymbolicBlock:
        """See `Block.restricted`."""
        kept = keep[self.source, self.target]
        return self._with(self.source[kept], self.target[kept], self.affine[kept], self.locked_edges[kept])

    def with_locked(self, locked: Tensor) -> SymbolicBlock:
        """See `Block.with_locked`."""
        return self._with(self.source, self.target, self.affine, locked[self.source, self.target])

    def joined(self, other: SymbolicBlock) -> SymbolicBlock:
        """The edges of both blocks, which carry the same primitive."""
        pairs = ((self.source, other.source), (self.target, other.target), (self.affine, other.affine))
        joined = [torch.cat(pair) for pair in (*pairs, (self.locked_edges, other.locked_edges))]
        return self._with(*joined)

    def describe(self) -> dict[str, Any]:
        """See `Block.describe`."""
        return {"kind": "symbolic", "primitive": self.primitive.name, "shape": list(self.shape)}

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"{self.shape[0]}, {self.shape[1]}, primitive={self.primitive.name!r}, edges={len(self.source)}"

    def _with(self, source: Tensor, target: Tensor, affine: Tensor, locked: Tensor) -> SymbolicBlock:
        return SymbolicBlock(self.primitive, source, target, affine, shape=self.shape, locked=locked)

    def _parameters_of_edges(self) -> tuple[Tensor, ...]:
        affine = torch.where(self.locked_edges.unsqueeze(1), self.affine.detach(), self.affine)
        return affine.unbind(1)

    def _curves(self, x: Tensor) -> Tensor:
        a, b, c, d = self._parameters_of_edges()
        return c * self.primitive.function(a * x[:, self.source] + b) + d

    def _slopes(self, x: Tensor) -> Tensor:
        a, b, c, _ = self._parameters_of_edges()
        return a * c * self.primitive.derivative(a * x[:, self.source] + b)

    def _as_matrix(self, values: Tensor) -> Tensor:
        matrix = torch.zeros(self.shape, dtype=torch.bool, device=values.device)
        matrix[self.source, self.target] = values
        return matrix
