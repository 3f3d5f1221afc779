"""The three contractions in plain PyTorch: what every other backend is compared with.

Shapes: x, v (..., B, I); g (..., B, O); coefficients (..., I, M, O); all with the same leading dimensions.
"""

from __future__ import annotations

from torch import Tensor

from edgewise.basis import Basis


class ReferenceBackend:
    """Runs everywhere, for every basis, dtype and derivative order."""

    name = "reference"

    def why_not(self, basis: Basis, x: Tensor, order: int) -> str | None:
        """Why this backend cannot serve a call: never."""
        del basis, x, order
        return None

    def apply(self, x: Tensor, c: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """y[b,o] = Σ_i v[b,i] Σ_m c[i,m,o] B_m⁽ⁿ⁾(x[b,i])."""
        return _join(_weighted(basis.values(x, grid, order), v), -1) @ _join(c, -2)

    def pullback(self, x: Tensor, c: Tensor, g: Tensor, grid: Tensor, basis: Basis, order: int) -> Tensor:
        """u[b,i] = Σ_o g[b,o] Σ_m c[i,m,o] B_m⁽ⁿ⁾(x[b,i])."""
        values = basis.values(x, grid, order)
        per_function = (g @ _join(c, -2).mT).reshape(*g.shape[:-1], *values.shape[-2:])
        return (per_function * values).sum(-1)

    def coefficient_gradient(
        self, x: Tensor, g: Tensor, v: Tensor | None, grid: Tensor, basis: Basis, order: int
    ) -> Tensor:
        """C[i,m,o] = Σ_b v[b,i] g[b,o] B_m⁽ⁿ⁾(x[b,i])."""
        values = _weighted(basis.values(x, grid, order), v)
        return (_join(values, -1).mT @ g).reshape(*g.shape[:-2], *values.shape[-2:], g.shape[-1])


def _weighted(values: Tensor, v: Tensor | None) -> Tensor:
    return values if v is None else values * v.unsqueeze(-1)


def _join(tensor: Tensor, dim: int) -> Tensor:
    """Dimension `dim` and the one before it as one; `flatten` would do, if every kind of vmap knew it."""
    shape = list(tensor.shape)
    shape[dim - 1 : len(shape) + dim + 1] = [shape[dim - 1] * shape[dim]]
    return tensor.reshape(shape)
