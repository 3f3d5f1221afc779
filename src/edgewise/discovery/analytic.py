"""Analytic functions of few inputs: a linear fit of products of Chebyshev polynomials, as a network of products.

The coefficients of an analytic function fall geometrically with the degree, at a rate of its own in each input. With
that as the prior, the fit is linear, has one minimum, and stays accurate where samples are few, at the corners of the
domain. Its coefficient tensor is then split into few products of univariate functions: a network with product nodes.

Source: Trefethen, Approximation Theory and Approximation Practice (2013), chapter 8 (decay of the coefficients); the
split is the tensor train of Oseledets (2011), multiplied out.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from itertools import product

import torch
from torch import Tensor

from edgewise.basis import BSpline, Chebyshev
from edgewise.kan import KAN
from edgewise.network import BasisBlock, KANLayer, Network, Options
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.multilevel import Rows, Stage, rmse

MOST_INPUTS = 6
_HIGHEST_DEGREE = 60
_FASTEST_DECAY, _SLOWEST_DECAY, _FIRST_DECAY = 8.0, 1.05, 2.0
_STRIDES = (0.4, 0.2, 0.1)  # of the logarithm of a decay's logarithm, in the search
_RIDGES = (1e-14, 1e-12, 1e-10, 1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1)
_WORTH = 0.97  # factor by which a step of the search has to lower the error
_TERMS_PER_ROW = 0.9
_MOST_TERMS = 1600
_QUICK_TERMS, _QUICK_ROWS = 300, 1000
_SEARCH_TERMS, _SEARCH_ROWS = 720, 1500
_MOST_PRODUCTS = 200
_TAIL = 0.05  # of the held-out error: what is left out of the products


@dataclass(frozen=True)
class AnalyticFit:
    """Σ_k c_k·Π_i T_{k_i}(u_i), where |c_k| is thought to fall like Π_i decay_i^(−k_i) and u are inputs on [−1, 1].

    Args:
        decays: one per input, above 1: the larger, the smoother.
        ridge: weight of the prior relative to the design; small where there is little noise.
        most: number of terms.
        error: root mean square error on held-out rows.
    """

    decays: tuple[float, ...]
    ridge: float = _RIDGES[0]
    most: int = _MOST_TERMS
    error: float = math.inf

    def terms(self, rows: int) -> tuple[Tensor, Tensor]:
        """The degrees of the terms thought to be largest, shape (K, I), and their prior sizes, shape (K,)."""
        most = max(min(self.most, int(_TERMS_PER_ROW * rows)), 1)
        degrees = torch.zeros((1, 0), dtype=torch.long)
        sizes = torch.zeros(1, dtype=torch.float64)  # logarithms
        # The largest products of all factors are among those of the largest products of the first factors.
        for decay in self.decays:
            powers = torch.arange(min(_HIGHEST_DEGREE, most) + 1)
            candidates = sizes.unsqueeze(1) - math.log(decay) * powers.to(sizes.dtype)
            kept = candidates.flatten().argsort(descending=True, stable=True)[:most]
            degrees = torch.cat([degrees[kept // len(powers)], powers[kept % len(powers)].unsqueeze(1)], dim=1)
            sizes = candidates.flatten()[kept]
        return degrees, sizes.exp()

    def coefficients(self, u: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Degrees (K, I) and coefficients (K, O) from rows u (N, I), y (N, O)."""
        degrees, sizes = self.terms(len(u))
        design = products_of_polynomials(u, degrees) * sizes
        prior = self.ridge * float(design.norm()) * torch.eye(len(sizes), dtype=u.dtype)
        q, r = torch.linalg.qr(torch.cat([design, prior]))
        solution = torch.linalg.solve_triangular(r, q[: len(u)].T @ y, upper=True)
        return degrees, solution * sizes.unsqueeze(1)

    def judged(self, rows: Rows) -> AnalyticFit:
        """The same with its error; the rows' inputs are on [−1, 1]."""
        degrees, coefficients = self.coefficients(rows.x, rows.y)
        predicted = rows.outward(products_of_polynomials(rows.x_held, degrees) @ coefficients)
        error = float((predicted - rows.y_held).square().mean().sqrt())
        return replace(self, error=error if math.isfinite(error) else math.inf)


def quick_fit(rows: Rows) -> AnalyticFit:
    """A rough fit, whose error says how analytic a table looks; the rows' inputs are on [−1, 1]."""
    few = replace(rows, x=rows.x[:_QUICK_ROWS], y=rows.y[:_QUICK_ROWS])
    fits = [AnalyticFit((_FIRST_DECAY,) * rows.x.shape[1], ridge, _QUICK_TERMS) for ridge in (1e-10, 1e-4, 1e-1)]
    return min((fit.judged(few) for fit in fits), key=lambda fit: fit.error)


@dataclass
class Budget:
    """What a search may take.

    Args:
        deadline: monotonic time after which nothing is tried.
        tries: how many fits may be tried.
    """

    deadline: float
    tries: float = math.inf

    def allows_another(self) -> bool:
        """Whether another fit may be tried, which then counts."""
        self.tries -= 1
        return self.tries >= 0 and time.monotonic() < self.deadline


def best_fit(rows: Rows, budget: Budget) -> AnalyticFit:
    """Decays and ridge by held-out rows, one after the other.

    Args:
        rows: inputs on [−1, 1].
        budget: of the search.

    Returns:
        The best fit found.
    """
    few = replace(rows, x=rows.x[:_SEARCH_ROWS], y=rows.y[:_SEARCH_ROWS])
    start = AnalyticFit((_FIRST_DECAY,) * rows.x.shape[1], most=_SEARCH_TERMS)
    best = min((replace(start, ridge=ridge).judged(few) for ridge in _RIDGES[1::3]), key=lambda fit: fit.error)
    for stride in _STRIDES:
        before = math.inf
        while best.error < _WORTH * before and budget.allows_another():
            before = best.error
            best = _with_better_decays(best, few, stride, budget)
            best = _with_better_ridge(best, few)
    return _with_better_ridge(replace(best, most=_MOST_TERMS).judged(rows), rows)


def _with_better_decays(best: AnalyticFit, rows: Rows, stride: float, budget: Budget) -> AnalyticFit:
    for index, sign in product(range(len(best.decays)), (1, -1)):
        while budget.allows_another():
            decay = best.decays[index] ** math.exp(sign * stride)
            if not _SLOWEST_DECAY <= decay <= _FASTEST_DECAY:
                break
            decays = (*best.decays[:index], decay, *best.decays[index + 1 :])
            tried = replace(best, decays=decays).judged(rows)
            if tried.error > _WORTH * best.error:
                break
            best = tried
    return best


def _with_better_ridge(best: AnalyticFit, rows: Rows) -> AnalyticFit:
    place = _RIDGES.index(best.ridge)
    near = {*_RIDGES[max(place - 1, 0) : place + 2]} - {best.ridge}
    return min((best, *(replace(best, ridge=ridge).judged(rows) for ridge in near)), key=lambda fit: fit.error)


@dataclass
class AnalyticContestant:
    """A fit as a contestant of a race; see `Contestant`. It is done at once.

    Args:
        model: the network.
        fit: how it was found.
        domain: of the inputs, shape (I, 2).
        label: for the history.
        error: on held-out rows.
    """

    model: Network
    fit: AnalyticFit
    domain: Tensor
    label: str
    error: float
    done: bool = True
    stages: list[Stage] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Rows, domain: Tensor, label: str, deadline: float) -> AnalyticContestant | None:
        """The best fit to rows of one output, or None where it would take too many products.

        Args:
            rows: the data in units of training.
            domain: of the inputs, shape (I, 2).
            label: for the history.
            deadline: monotonic time after which the search ends.

        Returns:
            The contestant.
        """
        scaled = rows_on_unit_interval(rows, domain)
        fit = best_fit(scaled, Budget(deadline))
        model = _network(fit, scaled.x, rows.y, domain)
        if model is None:
            return None
        error = rows.error(model)
        train_error = rmse(model, rows.x, rows.y)
        parameters = len(get_parameters(model))
        stage = Stage(label, None, parameters, train_error, error, 0.0, time.monotonic(), accepted=True)
        return cls(model, fit, domain, label, error, stages=[stage])

    @property
    def promise(self) -> float:
        """See `Contestant.promise`."""
        return self.error

    def climb(self) -> None:
        """See `Contestant.climb`: there is nothing to be had."""

    def refit(self, x: Tensor, y: Tensor, deadline: float) -> Network:
        """See `Contestant.refit`: one linear fit."""
        del deadline
        model = _network(self.fit, _on_unit_interval(x, self.domain), y, self.domain)
        return self.model if model is None or rmse(model, x, y) > rmse(self.model, x, y) else model


def _network(fit: AnalyticFit, u: Tensor, y: Tensor, domain: Tensor) -> KAN | None:
    """A fit as a network of products of univariate functions, or None where it would take too many."""
    degrees, coefficients = fit.coefficients(u, y)
    tensor = coefficients.new_zeros([int(highest) + 1 for highest in degrees.amax(dim=0)])
    tensor[tuple(degrees.T)] = coefficients[:, 0]
    factors = _products_of_vectors(tensor, _TAIL * fit.error)
    if len(factors) > _MOST_PRODUCTS:
        return None
    inputs, rank, functions = tensor.dim(), len(factors), max(2, *tensor.shape)
    table = tensor.new_zeros((inputs, functions, rank * inputs))
    mask = torch.zeros((inputs, rank * inputs), dtype=torch.bool)
    for number, vectors in enumerate(factors):
        for index, vector in enumerate(vectors):
            table[index, : len(vector), number * inputs + index] = vector
            mask[index, number * inputs + index] = True
    products = BasisBlock(Chebyshev(degree=functions - 1), domain, table, mask=mask)
    ends = torch.tensor([[-1.0, 1.0]], dtype=domain.dtype).expand(rank, 2)
    lines = BasisBlock(BSpline(grid=1, degree=1), ends, ends.unsqueeze(2))
    layers = [
        KANLayer.from_blocks([products], (inputs,) * rank, inputs),
        KANLayer.from_blocks([lines], (1,), rank),
    ]
    return KAN.assemble(layers, sample=torch.lerp(domain[:, 0], domain[:, 1], (u + 1) / 2), options=Options())


def _products_of_vectors(tensor: Tensor, tolerance: float) -> list[list[Tensor]]:
    """A tensor as a sum of products of vectors, by singular values, first index against the rest."""
    if tensor.dim() == 1:
        return [[tensor]]
    u, s, vt = torch.linalg.svd(tensor.flatten(1), full_matrices=False)
    tail = s.flip(0).square().cumsum(0).sqrt().flip(0)
    rank = max(int((tail > tolerance).sum()), 1)
    terms = []
    for k in range(rank):
        share = float(s[k]) ** (1 / tensor.dim()) if s[k] > 0 else 0.0  # every factor gets an equal part of the size
        rest = float(s[k]) / share * vt[k].view(tensor.shape[1:]) if share else torch.zeros_like(tensor[0])
        split = _products_of_vectors(rest, tolerance / max(share, 1e-300) / math.sqrt(rank))
        terms += [[share * u[:, k], *vectors] for vectors in split]
        if len(terms) > _MOST_PRODUCTS:
            break
    return terms


def products_of_polynomials(u: Tensor, degrees: Tensor) -> Tensor:
    """Π_i T_{k_i}(u_i) for N rows and K terms, shape (N, K)."""
    ends = torch.tensor([[-1.0, 1.0]], dtype=u.dtype).expand(u.shape[1], 2)
    values = Chebyshev(degree=max(int(degrees.max()), 1)).values(u, ends)
    result = torch.ones((len(u), len(degrees)), dtype=u.dtype)
    for index in range(u.shape[1]):
        result *= values[:, index, degrees[:, index]]
    return result


def rows_on_unit_interval(rows: Rows, domain: Tensor) -> Rows:
    """Rows with their inputs in units of the domain, shape (I, 2), on [−1, 1]."""
    return replace(rows, x=_on_unit_interval(rows.x, domain), x_held=_on_unit_interval(rows.x_held, domain))


def _on_unit_interval(x: Tensor, domain: Tensor) -> Tensor:
    low, high = domain[:, 0], domain[:, 1]
    return (2 * x - low - high) / (high - low)
