"""The three contractions in plain PyTorch: what every other backend is compared with.

Shapes: x, v (..., B, I); g (..., B, O); coefficients (..., I, M, O); all with the same leading dimensions. The products
run function by function, (M, I), because that is how bases lay out their values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from edgewise.basis import Basis


class ReferenceBackend:
    """Runs everywhere, for every basis, dtype and derivative order."""

    name = "reference"
    tolerances: Mapping[torch.dtype, float] = {torch.float32: 3e-5, torch.float64: 2e-13}

    def why_not(self, basis: Basis, order: int, tensors: Sequence[Tensor | None]) -> str | None:
        """Why this backend cannot serve a call: never."""
        del basis, order, tensors
        return None

    def apply(self, x: Tensor, c: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """y[b,o] = Σ_i v[b,i] Σ_m c[i,m,o] B_m⁽ⁿ⁾(x[b,i])."""
        values = _weighted(basis.values(x, grid, order), v)
        return _join(values.mT, -1) @ _join(c.transpose(-3, -2), -2)

    def apply_with_base(self, x: Tensor, c: Tensor, e: Tensor, w: Tensor, grid: Tensor, basis: Basis) -> Tensor:
        """y[b,o] = Σ_i (Σ_m c[i,m,o] B_m(x[b,i]) + e[b,i] w[i,o])."""
        return torch.addmm(self.apply(x, c, None, grid, basis, 0), e, w)

    def pullback(self, x: Tensor, c: Tensor, g: Tensor, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """u[b,i] = Σ_o g[b,o] Σ_m c[i,m,o] B_m⁽ⁿ⁾(x[b,i])."""
        values = basis.values(x, grid, order).mT
        per_function = (g @ _join(c.transpose(-3, -2), -2).mT).reshape(*g.shape[:-1], *values.shape[-2:])
        return (per_function * values).sum(-2)

    def coefficient_gradient(
        self, x: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> Tensor:
        """C[i,m,o] = Σ_b v[b,i] g[b,o] B_m⁽ⁿ⁾(x[b,i])."""
        values = _weighted(basis.values(x, grid, order), v)
        if x.shape[-2] == 1:  # gradients by sample: nothing to add up
            return values.squeeze(-3).unsqueeze(-1) * g.unsqueeze(-2)
        values = values.mT
        product = (_join(values, -1).mT @ g).reshape(*g.shape[:-2], *values.shape[-2:], g.shape[-1])
        return product.transpose(-3, -2).contiguous()

    def gradients(
        self, x: Tensor, c: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> tuple[Tensor, Tensor]:
        """The pullback at order + 1 and the coefficient gradient."""
        pulled = self.pullback(x, c, g, grid, basis, order + 1)
        return pulled, self.coefficient_gradient(x, g, v, grid, basis, order)


def _weighted(values: Tensor, v: Tensor | None) -> Tensor:
    return values if v is None else values * v.unsqueeze(-1)


def _join(tensor: Tensor, dim: int) -> Tensor:
    """Dimension `dim` and the one before it as one; `flatten` would do, if every kind of vmap knew it."""
    shape = list(tensor.shape)
    shape[dim - 1 : len(shape) + dim + 1] = [shape[dim - 1] * shape[dim]]
    return tensor.reshape(shape)
