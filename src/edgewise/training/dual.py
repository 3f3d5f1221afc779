"""Damped steps where there are fewer residual rows than parameters: through JJᵀ instead of JᵀJ.

By Woodbury's identity (JᵀJ + λD)⁻¹Jᵀρ = D⁻¹Jᵀ(JD⁻¹Jᵀ + λI)⁻¹ρ. As the rows of J are products δ ⊗ b of adjoints and
features, so are their inner products: JD⁻¹Jᵀ = Σ (Δ·Δᵀ) ∘ (B·Bᵀ) over the blocks, if D has the form of a product too.
So M rows cost M³/3 multiplications and M² for every subnode and feature, hardly more for many parameters than for few,
and J is never formed.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from edgewise.training.conjugate_gradients import IterativeModel
from edgewise.training.gauss_newton import cholesky_solution, floored
from edgewise.training.jacobian import BlockJacobian, Jacobian

_QUICK_DAMPING = 1e-2  # from here on a few conjugate gradients, about 1/√λ of them, cost less than JJᵀ


class DualModel:
    """A sum of squares near the present parameters; see `QuadraticModel`.

    The scale of a parameter is the product of what its subnode's adjoints and its feature contribute to the diagonal of
    JᵀJ. A penalty has no place here: its curvature is singular, so to invert H + λD around it would magnify rounding
    without bounds as the damping falls.

    Args:
        value: the objective.
        jacobian: J at the present parameters.
        rows: ρ of shape (N, R); the gradient is Jᵀρ.
    """

    def __init__(self, value: float, jacobian: Jacobian, rows: Tensor) -> None:
        self.value = value
        self.jacobian = jacobian
        self.rows = rows
        self.gradient = jacobian.transposed_times(rows)
        self.parts = [_Scaled(block) for block in jacobian.blocks]
        largest = max(float(part.of_subnodes.max()) for part in self.parts)
        for part in self.parts:
            part.of_subnodes = floored(part.of_subnodes, largest)
        self.scale = torch.cat([part.diagonal() for part in self.parts])

    def solve(self, damping: float) -> Tensor | None:
        """See `QuadraticModel.solve`."""
        if damping >= _QUICK_DAMPING:
            return self.iterative.solve(damping)
        multipliers = cholesky_solution(self.gram, damping, -self.rows.flatten())
        if multipliers is None:
            return None
        return self.jacobian.transposed_times(multipliers.view_as(self.rows)) / self.scale

    @cached_property
    def iterative(self) -> IterativeModel:
        """The same model for strong damping."""
        return IterativeModel(self.value, self.gradient, self.jacobian, scale=self.scale)

    @cached_property
    def gram(self) -> Tensor:
        """JD⁻¹Jᵀ of shape (N·R, N·R)."""
        return torch.stack([part.gram() for part in self.parts]).sum(0)


class _Scaled:
    """A block's part of J with its part of D, the product of one number for each subnode and one for each feature."""

    def __init__(self, block: BlockJacobian) -> None:
        self.block = block
        squares = block.curves.square().mean(dim=1)
        self.of_features = floored(squares / squares.max())
        self.of_subnodes = block.delta.square().sum(dim=(0, 2)) * squares.max()

    def diagonal(self) -> Tensor:
        """Of D, shape (E·K,)."""
        return (self.of_subnodes[self.block.target].unsqueeze(1) * self.of_features[self.block.source]).flatten()

    def gram(self) -> Tensor:
        """The block's part of JD⁻¹Jᵀ, shape (N·R, N·R): subnodes that the same curves arrive at share B·Bᵀ."""
        block = self.block
        samples, subnodes, rows = block.delta.shape
        served = torch.zeros((subnodes, len(block.curves)), dtype=torch.bool, device=block.delta.device)
        served[block.target, block.source] = True
        total = block.delta.new_zeros((samples, rows, samples, rows))
        for curves in served.unique(dim=0):
            alike = (served == curves).all(dim=1)
            features = block.curves[curves] * self.of_features[curves].rsqrt().unsqueeze(1)
            deltas = block.delta[:, alike] * self.of_subnodes[alike].rsqrt().unsqueeze(1)
            between_features = _inner_products(features.transpose(0, 1)).view(samples, 1, samples, 1)
            total += between_features * _inner_products(deltas.transpose(1, 2).flatten(0, 1)).view_as(total)
        return total.view(samples * rows, samples * rows)


def _inner_products(vectors: Tensor) -> Tensor:
    """Between all vectors (V, …), shape (V, V)."""
    flat = vectors.flatten(1)
    return flat @ flat.T
