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
        frozen: single parameters that no solver may change, bool (E, 4); none if not given. They hold redundant
            parameters and exact constants still while the rest trains.
    """

    source: Tensor
    target: Tensor
    locked_edges: Tensor
    frozen: Tensor

    def __init__(
        self,
        primitive: Primitive | str,
        source: Tensor,
        target: Tensor,
        affine: Tensor,
        *,
        shape: tuple[int, int],
        locked: Tensor | None = None,
        frozen: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.primitive = get_primitive(primitive) if isinstance(primitive, str) else primitive
        self.shape = shape
        unlocked = torch.zeros(len(source), dtype=torch.bool, device=affine.device)
        self.register_buffer("source", source.clone())
        self.register_buffer("target", target.clone())
        self.register_buffer("locked_edges", unlocked if locked is None else locked.clone())
        free = torch.zeros_like(affine, dtype=torch.bool)
        self.register_buffer("frozen", free if frozen is None else frozen.clone())
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
        by_parameter = (slope * at, slope, self.primitive.function(inner), torch.ones_like(inner))
        return torch.where(self.frozen[free], 0.0, torch.stack(by_parameter, dim=-1))

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
        return self._with(
            source=self.source[kept],
            target=self.target[kept],
            affine=self.affine[kept],
            locked=self.locked_edges[kept],
            frozen=self.frozen[kept],
        )

    def selected(self, inputs: Tensor, subnodes: Tensor) -> SymbolicBlock:
        """See `Block.selected`."""
        new_source, new_target = (
            torch.full((size,), -1, dtype=torch.long, device=self.source.device).index_put_(
                (chosen,), torch.arange(len(chosen), device=self.source.device)
            )
            for size, chosen in zip(self.shape, (inputs, subnodes), strict=True)
        )
        source, target = new_source[self.source], new_target[self.target]
        kept = (source >= 0) & (target >= 0)
        return self._with(
            shape=(len(inputs), len(subnodes)),
            source=source[kept],
            target=target[kept],
            affine=self.affine[kept],
            locked=self.locked_edges[kept],
            frozen=self.frozen[kept],
        )

    def shifted(self, constants: Tensor) -> SymbolicBlock:
        """See `Block.shifted`."""
        shift = torch.zeros_like(self.affine)
        shift[:, 3] = constants[self.source, self.target]
        return self._with(affine=self.affine + shift)

    def scaled(self, factors: Tensor) -> SymbolicBlock:
        """See `Block.scaled`."""
        factor = factors[self.target].unsqueeze(1)
        affine = torch.cat([self.affine[:, :2], self.affine[:, 2:] * factor], dim=1)
        return self._with(affine=affine)

    def with_locked(self, locked: Tensor) -> SymbolicBlock:
        """See `Block.with_locked`."""
        return self._with(locked=locked[self.source, self.target])

    def joined(self, other: SymbolicBlock) -> SymbolicBlock:
        """The edges of both blocks, which carry the same primitive."""
        return self._with(
            source=torch.cat([self.source, other.source]),
            target=torch.cat([self.target, other.target]),
            affine=torch.cat([self.affine, other.affine]),
            locked=torch.cat([self.locked_edges, other.locked_edges]),
            frozen=torch.cat([self.frozen, other.frozen]),
        )

    def with_affine(self, affine: Tensor, frozen: Tensor) -> SymbolicBlock:
        """A copy with other parameters, (E, 4), some of them frozen, bool (E, 4)."""
        return self._with(affine=affine, frozen=frozen)

    def describe(self) -> dict[str, Any]:
        """See `Block.describe`."""
        return {"kind": "symbolic", "primitive": self.primitive.name, "shape": list(self.shape)}

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"{self.shape[0]}, {self.shape[1]}, primitive={self.primitive.name!r}, edges={len(self.source)}"

    def _with(self, **changes: Any) -> SymbolicBlock:
        fields: dict[str, Any] = {
            "primitive": self.primitive,
            "source": self.source,
            "target": self.target,
            "affine": self.affine,
            "shape": self.shape,
            "locked": self.locked_edges,
            "frozen": self.frozen,
        }
        return SymbolicBlock(**(fields | changes))

    def _parameters_of_edges(self) -> tuple[Tensor, ...]:
        held = self.frozen | self.locked_edges.unsqueeze(1)
        affine = torch.where(held, self.affine.detach(), self.affine)
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
