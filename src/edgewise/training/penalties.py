"""Penalties on a network's edges: what makes it sparse or smooth.

A penalty is a differentiable number, the same under every solver. For Gauss–Newton methods it also offers a curvature,
one positive semi-definite matrix per edge, which only shapes the step: minimisers do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from edgewise.basis import gram
from edgewise.errors import OptionError
from edgewise.network import BasisBlock, Block, KANLayer, LayerTrace, Network, Trace


class Penalty(Protocol):
    """What training needs of a penalty."""

    def __call__(self, model: Network, trace: Trace) -> Tensor:
        """The penalty, 0-d, differentiable."""
        ...

    def curvature(self, layer: KANLayer, block: Block, trace: LayerTrace) -> Tensor:
        """Curvature in the parameters of the block's free edges, shape (E, K, K)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sparsity:
    """L1 norm of the edges' activities plus the entropy of their shares, layer by layer.

    The activity s_e of an edge is the standard deviation of its output over the samples: unlike the mean modulus it
    does not count constants, which slide freely between the edges of a node. With p_e = s_e/Σs the penalty is
    l1·Σ_e s_e − entropy·Σ_e p_e log p_e, summed over the layers.

    Args:
        l1: weight of the activities, 0 or more; the default suits targets of a spread around 1.
        entropy: weight of the entropy, 0 or more.
        epsilon: activities are √(variance + epsilon²), which keeps the penalty differentiable at dead edges.

    Raises:
        OptionError: a weight is negative, or epsilon is not positive.

    Example:
        >>> from edgewise import Sparsity
        >>> Sparsity(l1=1e-3, entropy=2e-3)
        Sparsity(l1=0.001, entropy=0.002, epsilon=0.0001)

    Source: Liu et al., KAN (2024), equations 2.17–2.20; the quadratic majoriser is that of iteratively reweighted
    least squares.
    """

    l1: float = 3e-2
    entropy: float = 1e-2
    epsilon: float = 1e-4

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.l1 < 0 or self.entropy < 0 or self.epsilon <= 0:
            raise OptionError(f"weights must be 0 or more and epsilon positive, got {self}")

    def __call__(self, model: Network, trace: Trace) -> Tensor:
        """See `Penalty`."""
        total = model.sample.new_zeros(())
        for layer, values in zip(model.all_layers, trace.layers, strict=True):
            activity = self._activity(values.edges)[layer.mask]
            if len(activity):
                shares = activity / activity.sum()
                total = total + self.l1 * activity.sum() - self.entropy * (shares * shares.log()).sum()
        return total

    def curvature(self, layer: KANLayer, block: Block, trace: LayerTrace) -> Tensor:
        """See `Penalty.curvature`: w_e times the covariance of the edge's features, w_e = ∂penalty/∂s_e / s_e."""
        activity = self._activity(trace.edges)
        total = activity[layer.mask].sum()
        shares = activity / total
        entropy = -(shares * shares.log())[layer.mask].sum()
        slope = self.l1 - self.entropy * (shares.log() + entropy) / total
        # Active edges gain from entropy's concavity: their negative slopes would make the curvature indefinite.
        weight = (slope.clamp_min(0) / activity)[block.free_edges()]
        return weight[:, None, None] * _covariance(block.features(trace.inputs))

    def _activity(self, edges: Tensor) -> Tensor:
        return torch.sqrt(edges.var(dim=0, correction=0) + self.epsilon**2)


@dataclass(frozen=True, kw_only=True)
class Smoothness:
    """weight·Σ_e ∫φ_e''(u)² du over the edges that have a basis, with u the input in units of its domain.

    Args:
        weight: 0 or more.

    Raises:
        OptionError: the weight is negative.

    Example:
        >>> from edgewise import Smoothness
        >>> Smoothness(weight=1e-6)
        Smoothness(weight=1e-06)

    Source: O'Sullivan, A statistical perspective on ill-posed inverse problems (1986); Eilers and Marx (1996).
    """

    weight: float = 1e-6

    def __post_init__(self) -> None:
        """Check the range."""
        if self.weight < 0:
            raise OptionError(f"the weight of a penalty must be 0 or more, got {self.weight}")

    def __call__(self, model: Network, trace: Trace) -> Tensor:
        """See `Penalty`."""
        del trace
        total = model.sample.new_zeros(())
        for layer in model.all_layers:
            for block in layer.all_blocks():
                if isinstance(block, BasisBlock):
                    c = block.effective_coefficients
                    total = total + self.weight * torch.einsum("ims,imn,ins->", c, _roughness(block), c)
        return total

    def curvature(self, layer: KANLayer, block: Block, trace: LayerTrace) -> Tensor:
        """See `Penalty.curvature`: exact, the penalty is quadratic."""
        del layer
        parameters = block.gather()
        matrices = parameters.new_zeros((*parameters.shape, parameters.shape[1]))
        if isinstance(block, BasisBlock):
            size = block.basis.size
            matrices[:, :size, :size] = 2 * self.weight * _roughness(block)[block.free_edges()[0]]
        return matrices


@dataclass(frozen=True)
class Sum:
    """Several penalties at once."""

    penalties: tuple[Penalty, ...]

    def __call__(self, model: Network, trace: Trace) -> Tensor:
        """See `Penalty`."""
        return torch.stack([penalty(model, trace) for penalty in self.penalties]).sum()

    def curvature(self, layer: KANLayer, block: Block, trace: LayerTrace) -> Tensor:
        """See `Penalty.curvature`."""
        return torch.stack([penalty.curvature(layer, block, trace) for penalty in self.penalties]).sum(0)


def _roughness(block: BasisBlock) -> Tensor:
    """Gram matrices of second derivatives by the input in units of its domain, shape (I, M, M)."""
    half = ((block.grid[:, -1] - block.grid[:, 0]) / 2)[:, None, None]
    return gram(block.basis, block.grid, 2) * half**3


def _covariance(features: Tensor) -> Tensor:
    """Covariance of the K features of each edge over the samples: (B, E, K) to (E, K, K)."""
    centred = (features - features.mean(dim=0)).transpose(0, 1)
    return centred.mT @ centred / features.shape[0]
