"""Smoothing that sets itself: a roughness penalty per edge whose weights follow from the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.basis import Basis, BSpline, Chebyshev, gram
from edgewise.network import BasisBlock, Network
from edgewise.training.gauss_newton import Linearisation, block_slices
from edgewise.training.losses import MeanSquaredError
from edgewise.training.objective import OutputObjective

_START_SHARE = 1e-4  # of the weights that the present residuals ask for
_WARM_STIFFNESS = 1e-7  # of the penalty relative to the data, per edge: enough for cells that no sample determines
_MOST_GROWTH = 1e3  # of a weight in one update
_MOST_STIFFNESS = 1e3  # stiffer is a polynomial already
_LEAST_STIFFNESS = 1e-14  # for data without noise
_LEAST_FREEDOM = 0.05  # of the rows, guards the variance where parameters outnumber rows
_RIDGE_GROWTH = 100
_RIDGE = 1e-12  # of the diagonal, for directions that neither data nor penalty know


@dataclass
class _Edges:
    """The smoothed edges of one block of splines.

    Args:
        columns: where the coefficients of each edge stand in the flat vector, shape (E, M).
        matrices: S of each edge, shape (E, M, M).
        rank: of each S.
        weights: w of each edge, shape (E,).
    """

    columns: Tensor
    matrices: Tensor
    rank: int
    weights: Tensor

    @property
    def square(self) -> tuple[Tensor, Tensor]:
        """Where the curvature of each edge stands in that of the network."""
        return self.columns.unsqueeze(2), self.columns.unsqueeze(1)


class SmoothedObjective(OutputObjective):
    """Mean square error plus Σ_e w_e·∫ φ_e⁽q⁾(u)² du over the edges, u the input in units of its domain.

    The edges are splines or polynomials; the order q is 2 for degrees below 5 and 3 from there on. The weights are
    those of the largest marginal likelihood, approached by the generalised Fellner–Schall update: with the curvature H
    of the squared error, S_w of the penalty and the variance σ² of the residuals,
    w_e ← σ²·(rank S_e − tr((H + S_w)⁻¹ w_e S_e))/(n·c_eᵀ S_e c_e). Noise makes edges stiff, cells without samples are
    bridged, and with data free of noise the weights fall with the residuals.

    Args:
        model: the network.
        x: inputs, shape (N, I).
        target: shape (N, O).
        families: which bases are smoothed.

    Source: Wood and Fasiolo, A generalized Fellner–Schall method for smoothing parameter optimization (2017).
    """

    def __init__(
        self, model: Network, x: Tensor, target: Tensor, families: tuple[type[Basis], ...] = (BSpline, Chebyshev)
    ) -> None:
        super().__init__(model, x, target, MeanSquaredError(), None)
        self.variance = super().value()
        self.freedom = 0.0
        self._smoothed = [
            _edges_of(block, start)
            for _, _, block, start in block_slices(model)
            if isinstance(block, BasisBlock) and isinstance(block.basis, families) and _is_smoothed(block)
        ]
        parameters = self.parameters
        for edges in self._smoothed:
            wanted = self.variance * edges.rank / target.numel() / _roughness(edges, parameters)
            edges.weights = (_START_SHARE * wanted).clamp_min(torch.finfo(wanted.dtype).tiny)

    def value(self) -> float:
        """See `Objective.value`."""
        parameters = self.parameters
        return super().value() + sum(float(edges.weights @ _roughness(edges, parameters)) for edges in self._smoothed)

    @torch.no_grad()
    def linearise(self) -> Linearisation:
        """See `Objective.linearise`; the penalty is quadratic."""
        near = self.loss_linearised()
        value, gradient, curvature = near.value, near.gradient.clone(), near.curvature.clone()
        parameters = self.parameters
        for edges in self._smoothed:
            weighted = edges.weights[:, None, None] * edges.matrices
            slopes = (weighted @ parameters[edges.columns].unsqueeze(2)).squeeze(2)
            value += float((slopes * parameters[edges.columns]).sum())
            gradient[edges.columns] += 2 * slopes
            curvature[edges.square] += 2 * weighted
        return Linearisation(value, gradient, curvature)

    def smoothing(self) -> list[Tensor]:
        """A copy of the weights, one tensor of shape (E,) per smoothed block."""
        return [edges.weights.clone() for edges in self._smoothed]

    def set_smoothing(self, weights: list[Tensor]) -> None:
        """Use weights found before, for a network of the same blocks."""
        for edges, own in zip(self._smoothed, weights, strict=True):
            edges.weights = own.clone()

    def smooth_a_little(self) -> None:
        """Weights for the first steps of a new start, whose residuals say nothing of the noise."""
        curvature = self.loss_linearised().curvature
        for edges in self._smoothed:
            weights = _WARM_STIFFNESS * _stiffness(edges, curvature)
            edges.weights = weights.clamp_min(torch.finfo(weights.dtype).tiny)

    @torch.no_grad()
    def factor(self) -> Tensor:
        """The lower Cholesky factor of the curvature with the penalty, shape (P, P); NaN if the model is not finite."""
        curvature = self.linearise().curvature
        if not bool(curvature.isfinite().all()):
            return torch.full_like(curvature, torch.nan)
        ridge = _RIDGE * (curvature.diagonal() + curvature.diagonal().max())
        while True:
            factor, failed = torch.linalg.cholesky_ex(curvature + torch.diag(ridge))
            if not int(failed):
                return factor
            ridge = _RIDGE_GROWTH * ridge + torch.finfo(ridge.dtype).tiny  # until rounding does no harm

    @torch.no_grad()
    def update_smoothing(self) -> float:
        """Set the weights, the variance σ² and the effective degrees of freedom from the fit at hand.

        Returns:
            The factor by which the weights grew, their geometric mean; 1, with nothing changed, where the model is not
            finite.
        """
        factor = self.factor()
        if bool(factor.isnan().any()):
            return 1.0
        near, inverse = self.loss_linearised(), torch.cholesky_inverse(factor)
        samples = self.target.numel()
        self.freedom = float((inverse * near.curvature).sum())
        self.variance = near.value * samples / max(samples - self.freedom, _LEAST_FREEDOM * samples)
        parameters, growth = self.parameters, []
        for edges in self._smoothed:
            used = 2 * edges.weights * (inverse[edges.square] * edges.matrices).sum(dim=(1, 2))
            free = (edges.rank - used).clamp_min(1e-3)
            wanted = self.variance * free / samples / _roughness(edges, parameters)
            stiffness = _stiffness(edges, near.curvature)
            most = torch.minimum(_MOST_GROWTH * edges.weights, _MOST_STIFFNESS * stiffness)
            weights = torch.maximum(torch.minimum(wanted, most), _LEAST_STIFFNESS * stiffness)
            weights = weights.clamp_min(torch.finfo(weights.dtype).tiny)
            growth.append((weights / edges.weights).log())
            edges.weights = weights
        return float(torch.cat(growth).mean().exp()) if growth else 1.0


def _is_smoothed(block: BasisBlock) -> bool:
    return isinstance(block.basis, (BSpline, Chebyshev)) and block.basis.degree > 1 and len(block.free_edges()[0]) > 0


def _edges_of(block: BasisBlock, start: int) -> _Edges:
    basis, source = block.basis, block.free_edges()[0]
    assert isinstance(basis, (BSpline, Chebyshev))
    order = 2 if basis.degree < 5 else 3
    half = ((block.grid[:, -1] - block.grid[:, 0]) / 2)[:, None, None]
    matrices = gram(basis, block.grid, order) * half ** (2 * order - 1)
    edges, size = block.gather().shape
    columns = start + torch.arange(edges * size, device=source.device).view(edges, size)[:, : basis.size]
    return _Edges(columns, matrices[source], max(basis.size - order, 1), matrices.new_zeros(edges))


def _roughness(edges: _Edges, parameters: Tensor) -> Tensor:
    """cᵀSc of each edge, shape (E,), positive."""
    c = parameters[edges.columns]
    rough = (c * (edges.matrices @ c.unsqueeze(2)).squeeze(2)).sum(dim=1)
    return rough.clamp_min(torch.finfo(c.dtype).tiny ** 0.5)


def _stiffness(edges: _Edges, curvature: Tensor) -> Tensor:
    """The weight of each edge at which its penalty is about as stiff as the data, shape (E,)."""
    return _diagonal_mean(curvature[edges.square]) / _diagonal_mean(edges.matrices)


def _diagonal_mean(matrices: Tensor) -> Tensor:
    return matrices.diagonal(dim1=-2, dim2=-1).mean(dim=-1)
