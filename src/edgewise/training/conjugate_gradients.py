"""Damped steps of large networks by conjugate gradients: the curvature is only ever multiplied with.

The preconditioner takes each block's curvature for a Kronecker product, E[δδᵀ] ⊗ E[bbᵀ] of the adjoints of its subnodes
and the features of its inputs, whose eigenvectors serve every damping.

Source: Martens, Deep learning via Hessian-free optimization (2010); Martens and Grosse, Optimizing neural networks with
Kronecker-factored approximate curvature (2015), section 6.3 for the damping by eigenvectors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgewise.training.gauss_newton import floored
from edgewise.training.jacobian import BlockJacobian, Jacobian

_TOLERANCE = 3e-2
_MOST_PRODUCTS = 300


class IterativeModel:
    """An objective near the present parameters; see `QuadraticModel`.

    Args:
        value: the objective.
        gradient: shape (P,).
        jacobian: J at the present parameters; the curvature is JᵀJ, and that of the penalty.
        penalty: for every block the curvatures of its free edges, (E, K, K); none if not given.
        scale: D of shape (P,); the curvature's diagonal if not given.
        tolerance: a step is found when what is left of the gradient, in the norm of the preconditioner, is at most
            this share.
    """

    def __init__(
        self,
        value: float,
        gradient: Tensor,
        jacobian: Jacobian,
        penalty: list[Tensor] | None = None,
        *,
        scale: Tensor | None = None,
        tolerance: float = _TOLERANCE,
    ) -> None:
        self.value = value
        self.gradient = gradient
        self.jacobian = jacobian
        self.penalty = [own for own in penalty or [] if len(own)]
        self.tolerance = tolerance
        self.scale = floored(self._diagonal()) if scale is None else scale
        self.preconditioners = [KroneckerInverse(block, self.scale[block.columns]) for block in jacobian.blocks]

    def solve(self, damping: float) -> Tensor | None:
        """See `QuadraticModel.solve`; short of the tolerance after a number of products, the step found so far."""
        step = torch.zeros_like(self.gradient)
        residual = -self.gradient
        direction = preconditioned = self._precondition(residual, damping)
        size = first = float(residual @ preconditioned)
        for _ in range(_MOST_PRODUCTS):
            if not size > self.tolerance**2 * first:
                break
            product = self._curvature_times(direction) + damping * self.scale * direction
            length = size / float(direction @ product)
            step = step + length * direction
            residual = residual - length * product
            preconditioned = self._precondition(residual, damping)
            before, size = size, float(residual @ preconditioned)
            direction = preconditioned + size / before * direction
        return step if bool(step.isfinite().all()) else None

    def _diagonal(self) -> Tensor:
        """Of the curvature, shape (P,)."""
        squares = self.jacobian.squares()
        if not self.penalty:
            return squares
        return squares + torch.cat([own.diagonal(dim1=1, dim2=2).flatten() for own in self.penalty])

    def _curvature_times(self, v: Tensor) -> Tensor:
        product = self.jacobian.transposed_times(self.jacobian.times(v))
        if not self.penalty:
            return product
        own = [
            (matrices @ v[block.columns].view(block.edges, block.size, 1)).flatten()
            for matrices, block in zip(self.penalty, self.jacobian.blocks, strict=True)
        ]
        return product + torch.cat(own)

    def _precondition(self, v: Tensor, damping: float) -> Tensor:
        return torch.cat([inverse(v[inverse.columns], damping) for inverse in self.preconditioners])


class KroneckerInverse:
    """An approximate inverse of one block's damped curvature, D^½(Ḡ ⊗ Ā + λ)D^½ with factors of unit diagonal.

    Args:
        block: the block's part of the Jacobian.
        scale: D of its parameters, shape (E·K,).
    """

    def __init__(self, block: BlockJacobian, scale: Tensor) -> None:
        self.columns = block.columns
        self.source, self.target = block.source, block.target
        self.root = scale.sqrt().view(block.edges, block.size)
        flat = block.curves.transpose(1, 2).flatten(0, 1)
        delta = block.delta.transpose(0, 1).flatten(1)
        self.feature_values, self.feature_vectors = _correlation_eigenvectors(flat)
        self.delta_values, self.delta_vectors = _correlation_eigenvectors(delta)
        self.shape = (len(block.curves), block.size, len(delta))

    def __call__(self, v: Tensor, damping: float) -> Tensor:
        """The inverse times v, both of shape (E·K,)."""
        placed = v.new_zeros(self.shape)
        placed[self.source, :, self.target] = v.view_as(self.root) / self.root
        turned = self.feature_vectors.T @ placed.flatten(0, 1) @ self.delta_vectors
        turned /= torch.outer(self.feature_values, self.delta_values) + damping
        back = (self.feature_vectors @ turned @ self.delta_vectors.T).view(self.shape)
        return (back[self.source, :, self.target] / self.root).flatten()


def _correlation_eigenvectors(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, not negative, and eigenvectors of the matrix of cosines between rows."""
    length = rows.norm(dim=1, keepdim=True)
    unit = torch.where(length > 0, rows / length, 0)
    values, vectors = torch.linalg.eigh(unit @ unit.T)
    return values.clamp_min(0), vectors
