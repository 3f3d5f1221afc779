"""A block of edges that are linear combinations of basis functions, with an optional base function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgewise import kernels
from edgewise.basis import Basis
from edgewise.errors import OptionError, ShapeError
from edgewise.network.base import Base, base_function, derivative
from edgewise.network.block import Block, Features, edge_list
from edgewise.network.precision import in_precision, without_autocast


class BasisBlock(Block):
    """φ_is(x) = Σ_m coefficients[i, m, s]·B_m(x) + base_weight[i, s]·b(x).

    Args:
        basis: the function family.
        grid: places the functions of each input, shape (I, K).
        coefficients: shape (I, M, S).
        base: the base function b, or None.
        base_weight: its weights, shape (I, S); zero if not given.
        mask: edges served, bool (I, S); all if not given.
        locked: edges that no solver may change, bool (I, S); none if not given.

    Raises:
        ShapeError: the coefficients do not fit the basis.
    """

    _mask: Tensor
    _locked: Tensor
    grid: Tensor

    def __init__(
        self,
        basis: Basis,
        grid: Tensor,
        coefficients: Tensor,
        *,
        base: Base = None,
        base_weight: Tensor | None = None,
        mask: Tensor | None = None,
        locked: Tensor | None = None,
    ) -> None:
        super().__init__()
        inputs, size, subnodes = coefficients.shape
        if size != basis.size or grid.shape[0] != inputs:
            raise ShapeError(
                f"{basis} on {grid.shape[0]} inputs needs coefficients of shape ({grid.shape[0]}, {basis.size}, "
                f"outputs), got {tuple(coefficients.shape)}"
            )
        self.basis = basis
        self.base = base
        self._base_function = base_function(base)
        edges = (inputs, subnodes)
        everywhere = torch.ones(edges, dtype=torch.bool, device=coefficients.device)
        self.register_buffer("grid", grid.detach().clone())
        self.register_buffer("_mask", everywhere if mask is None else mask.clone())
        self.register_buffer("_locked", ~everywhere if locked is None else locked & self._mask)
        self.coefficients = nn.Parameter(coefficients.detach() * self._mask.unsqueeze(1))
        weight = None
        if self._base_function is not None:
            weight = torch.zeros_like(coefficients[:, 0]) if base_weight is None else base_weight.detach() * self._mask
        self.base_weight = None if weight is None else nn.Parameter(weight)
        self._note_restrictions()

    @property
    def mask(self) -> Tensor:
        """Which edges the block serves, bool (I, S)."""
        return self._mask

    @property
    def locked(self) -> Tensor:
        """Which of them no solver may change, bool (I, S)."""
        return self._locked

    @property
    def effective_coefficients(self) -> Tensor:
        """The coefficients with gradients for free edges only: what every differentiable value is made of."""
        return self._effective(self.coefficients)

    def forward(self, x: Tensor) -> Tensor:
        """Sums over the inputs: x of shape (B, I) to (B, S), in the block's floating type also under autocast."""
        return without_autocast(self._sums, in_precision(x, self.grid.dtype))

    def _sums(self, x: Tensor) -> Tensor:
        if self.base_weight is None or self._base_function is None:
            return kernels.apply(self.basis, self.grid, x, self.effective_coefficients)
        base, weight = self._base_function(x), self._effective(self.base_weight)
        return kernels.apply_with_base(self.basis, self.grid, x, self.effective_coefficients, base, weight)

    def edges(self, x: Tensor, order: int = 0) -> Tensor:
        """See `Block.edges`."""
        values = self.basis.values(x, self.grid, order)
        edges = torch.einsum("bim,ims->bis", values, self.effective_coefficients)
        if self.base_weight is None or self._base_function is None:
            return edges
        base = self._base_function(x) if order == 0 else derivative(self._base_function, x)
        return edges + base.unsqueeze(-1) * self._effective(self.base_weight)

    def adjoint(self, x: Tensor, delta: Tensor) -> Tensor:
        """See `Block.adjoint`."""
        back = kernels.pullback(self.basis, self.grid, x, self.effective_coefficients, delta, order=1)
        if self.base_weight is None or self._base_function is None:
            return back
        return back + derivative(self._base_function, x) * (delta @ self._effective(self.base_weight).T)

    def free_edges(self) -> tuple[Tensor, Tensor]:
        """See `Block.free_edges`."""
        source, target = self._free
        device = self._mask.device
        return source.to(device), target.to(device)

    def features(self, x: Tensor) -> Tensor:
        """See `Block.features`: the basis values at the edge's input, then the base function."""
        values = self.basis.values(x, self.grid)
        if self._base_function is not None:
            values = torch.cat([values, self._base_function(x).unsqueeze(-1)], dim=-1)
        return values[:, self.free_edges()[0]]

    @property
    def entries(self) -> int:
        """See `Block.entries`."""
        return self.basis.support + (self.base_weight is not None)

    def sparse_features(self, x: Tensor) -> list[Features]:
        """See `Block.sparse_features`: edges from one input share their curves."""
        source = self.free_edges()[0]
        first, values = self.basis.local(x, self.grid)
        features = [Features(values.transpose(0, 1), first.T.to(torch.int32), source)]
        if self._base_function is not None:
            last = torch.full_like(features[0].first, self.basis.size)
            features.append(Features(self._base_function(x).T.unsqueeze(-1), last, source))
        return features

    def gather(self, tensors: Sequence[Tensor | None] | None = None) -> Tensor:
        """See `Block.gather`."""
        source, target = self.free_edges()
        parameters = [parameter.detach() for parameter in self.parameters()]
        given = parameters if tensors is None else tensors
        first, *more = [
            torch.zeros_like(own) if tensor is None else tensor for own, tensor in zip(parameters, given, strict=True)
        ]
        values = first.mT[..., source, target, :]
        if not more:
            return values
        return torch.cat([values, more[0][..., source, target].unsqueeze(-1)], dim=-1)

    def scatter_(self, values: Tensor) -> None:
        """See `Block.scatter_`."""
        source, target = self.free_edges()
        with torch.no_grad():
            self.coefficients[source, :, target] = values[:, : self.basis.size]
            if self.base_weight is not None:
                self.base_weight[source, target] = values[:, -1]

    def replaced(self, **changes: Any) -> BasisBlock:
        """A copy with some of the constructor's arguments changed."""
        fields: dict[str, Any] = {
            "basis": self.basis,
            "grid": self.grid,
            "coefficients": self.coefficients,
            "base": self.base,
            "base_weight": self.base_weight,
            "mask": self._mask,
            "locked": self._locked,
        }
        return BasisBlock(**(fields | changes))

    def restricted(self, keep: Tensor) -> BasisBlock:
        """See `Block.restricted`."""
        return self.replaced(mask=self._mask & keep)

    def selected(self, inputs: Tensor, subnodes: Tensor) -> BasisBlock:
        """See `Block.selected`."""
        weight = None if self.base_weight is None else self.base_weight[inputs][:, subnodes]
        return self.replaced(
            grid=self.grid[inputs],
            coefficients=self.coefficients[inputs][:, :, subnodes],
            base_weight=weight,
            mask=self._mask[inputs][:, subnodes],
            locked=self._locked[inputs][:, subnodes],
        )

    def shifted(self, constants: Tensor) -> BasisBlock:
        """See `Block.shifted`: every basis can represent constants."""
        ones = torch.tensor(self.basis.ones(), dtype=constants.dtype, device=constants.device)
        return self.replaced(coefficients=self.coefficients + ones[:, None] * constants.unsqueeze(1))

    def scaled(self, factors: Tensor) -> BasisBlock:
        """See `Block.scaled`."""
        weight = None if self.base_weight is None else self.base_weight * factors
        return self.replaced(coefficients=self.coefficients * factors, base_weight=weight)

    def with_locked(self, locked: Tensor) -> BasisBlock:
        """See `Block.with_locked`."""
        return self.replaced(locked=locked)

    def describe(self) -> dict[str, Any]:
        """See `Block.describe`.

        Returns:
            The options.

        Raises:
            OptionError: the base function is a callable, which is code and cannot be written as data.
        """
        if callable(self.base):
            raise OptionError(
                "a model with a callable base function cannot be saved; use base='silu', 'identity' or None"
            )
        return {"kind": "basis", "basis": self.basis.to_dict(), "base": self.base}

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        inputs, _, subnodes = self.coefficients.shape
        return f"{inputs}, {subnodes}, basis={self.basis}, base={self.base!r}, edges={int(self._mask.sum())}"

    def _effective(self, parameter: Tensor) -> Tensor:
        """The parameter with masked edges zero and locked ones constant, whatever optimiser looks at its gradient."""
        along = (slice(None), None) if parameter.dim() == self.coefficients.dim() else (slice(None),)
        if self._any_masked:
            parameter = parameter * self._mask[along]
        if self._any_locked:
            parameter = torch.where(self._locked[along], parameter.detach(), parameter)
        return parameter

    def _note_restrictions(self) -> None:
        """Most layers have no masked or locked edge; knowing so saves the work of applying the masks."""
        self._any_masked = not bool(self._mask.all())
        self._any_locked = bool(self._locked.any())
        self._free = edge_list(self._mask & ~self._locked)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        grid = state_dict.get(prefix + "grid")
        if grid is not None and grid.shape[0] == self.grid.shape[0]:
            self.grid = self.grid.new_empty(grid.shape)  # ends only, or all breakpoints
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._note_restrictions()
