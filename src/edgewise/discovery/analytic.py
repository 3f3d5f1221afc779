"""Analytic functions of few inputs: a linear fit of products of Chebyshev polynomials, as a network of products.

The coefficients of an analytic function fall geometrically with the degree, at a rate of its own in each input. With
that as the prior, the fit is linear, has one minimum, and stays accurate where samples are few, at the corners of the
domain. A singularity just beyond the domain makes them fall slowly; an input bent by a logarithm takes it away. The
coefficient tensor is then split into few products of univariate functions: a network with product nodes.

Source: Trefethen, Approximation Theory and Approximation Practice (2013), chapter 8 (decay of the coefficients) and
22 (maps that move singularities away); the split is the tensor train of Oseledets (2011), multiplied out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import torch
from scipy.fft import dct
from torch import Tensor

from edgewise.basis import BSpline, Chebyshev
from edgewise.kan import KAN
from edgewise.network import BasisBlock, KANLayer, Network, Options
from edgewise.training.gauss_newton import get_parameters
from edgewise.training.multilevel import Rows, Stage, rmse

MOST_INPUTS = 6
_HIGHEST_DEGREE = 60
_FASTEST, _SLOWEST, _FIRST_DECAY = 8.0, 1.05, 2.0
_MOST_DEGREES, _ROUNDING = 400, 32  # of a series of a bent input in terms of the straight one
_STRIDES = (0.8, 0.4, 0.2, 0.1)  # of the logarithm of a decay's logarithm, in the search
_BEND = 2.5  # a bend's step, in strides
_MOST_BENT = 5.0  # a singularity is then 0.7 % of the domain away
_SHARP = 1e-2  # error below which strides are large and inputs bent: with noise, more choices would only fit it better
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
    """How to fit Σ_k c_k·Π_i T_{k_i}(v_i), where |c_k| is thought to fall like Π_i decay_i^(−k_i).

    The v are inputs on [−1, 1], bent.

    Args:
        decays: one per input, above 1: the larger, the smoother.
        bends: one per input; see `bent`.
        ridge: weight of the prior relative to the design; small where there is little noise.
        most: number of terms.
        error: root mean square error on held-out rows.
    """

    decays: tuple[float, ...]
    bends: tuple[float, ...]
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

    @classmethod
    def first(cls, inputs: int, ridge: float, most: int) -> AnalyticFit:
        """What a search begins with: all inputs alike and straight."""
        return cls((_FIRST_DECAY,) * inputs, (0.0,) * inputs, ridge, most)

    def trained(self, u: Tensor, y: Tensor) -> ProductSum:
        """The sum of products for rows u (N, I) on [−1, 1] and y (N, O)."""
        degrees, sizes = self.terms(len(u))
        design = products_of_polynomials(bent(u, self.bends), degrees) * sizes
        prior = self.ridge * float(design.norm()) * torch.eye(len(sizes), dtype=u.dtype)
        q, r = torch.linalg.qr(torch.cat([design, prior]))
        solution = torch.linalg.solve_triangular(r, q[: len(u)].T @ y, upper=True)
        freedom = float(q[: len(u)].square().sum())  # the trace of what takes y to the values of the fit
        return ProductSum(degrees, solution * sizes.unsqueeze(1), self.bends, freedom)

    def moved(self, index: int, *, bend: float, decay: float) -> AnalyticFit | None:
        """The same with one input bent more and its decay's logarithm times exp(decay), or None beyond the limits."""
        bends, decays = list(self.bends), list(self.decays)
        bends[index] += bend
        decays[index] **= math.exp(decay)
        allowed = abs(bends[index]) <= _MOST_BENT and _SLOWEST <= decays[index] <= _FASTEST
        return replace(self, bends=tuple(bends), decays=tuple(decays)) if allowed else None

    def judged(self, rows: Rows) -> AnalyticFit:
        """The same with its error; the rows' inputs are on [−1, 1]."""
        predicted = rows.outward(self.trained(rows.x, rows.y)(rows.x_held))
        error = float((predicted - rows.y_held).square().mean().sqrt())
        return replace(self, error=error if math.isfinite(error) else math.inf)


@dataclass(frozen=True)
class ProductSum:
    """Σ_k c_k·Π_i T_{k_i}(v_i) of inputs on [−1, 1], bent.

    Args:
        degrees: of the factors, shape (K, I).
        coefficients: shape (K, O).
        bends: one per input; see `bent`.
        freedom: how many terms without a prior would follow noise as much.
    """

    degrees: Tensor
    coefficients: Tensor
    bends: tuple[float, ...]
    freedom: float

    def __call__(self, u: Tensor) -> Tensor:
        """Values at rows of shape (N, I), shape (N, O)."""
        return products_of_polynomials(bent(u, self.bends), self.degrees) @ self.coefficients


def bent(u: Tensor, bends: Sequence[float]) -> Tensor:
    """Inputs through logarithms that keep [−1, 1], which take away what is singular just beyond an end.

    A bend b maps the unit interval by log(1 + (eᵇ − 1)·t)/b. A singularity at 1/(1 − eᵇ) on it, below 0 where the bend
    is positive and above 1 where it is negative, goes to infinity.

    Args:
        u: inputs on [−1, 1], shape (N, I).
        bends: one per input; 0 keeps the input as it is.

    Returns:
        Shape (N, I), on [−1, 1].
    """
    if not any(bends):
        return u
    columns = [
        2 / bend * torch.log1p(math.expm1(bend) * (column + 1) / 2) - 1 if bend else column
        for column, bend in zip(u.T, bends, strict=True)
    ]
    return torch.stack(columns, dim=1)


def quick_fit(rows: Rows) -> AnalyticFit:
    """A rough fit, whose error says how analytic a table looks; the rows' inputs are on [−1, 1]."""
    few = replace(rows, x=rows.x[:_QUICK_ROWS], y=rows.y[:_QUICK_ROWS])
    fits = [AnalyticFit.first(rows.x.shape[1], ridge, _QUICK_TERMS) for ridge in (1e-10, 1e-4, 1e-1)]
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
    """Decays, bends and ridge by held-out rows, one after the other.

    Args:
        rows: inputs on [−1, 1].
        budget: of the search.

    Returns:
        The best fit found.
    """
    few = replace(rows, x=rows.x[:_SEARCH_ROWS], y=rows.y[:_SEARCH_ROWS])
    starts = [AnalyticFit.first(rows.x.shape[1], ridge, _SEARCH_TERMS) for ridge in _RIDGES[1::3]]
    best = min((start.judged(few) for start in starts), key=lambda fit: fit.error)
    for stride in _STRIDES if best.error < _SHARP else _STRIDES[1:]:
        before = math.inf
        while best.error < _WORTH * before and budget.allows_another():
            before = best.error
            best = _descended(best, few, stride, budget)
            best = _with_better_ridge(best, few)
    return _with_better_ridge(replace(best, most=_MOST_TERMS).judged(rows), rows)


def _descended(best: AnalyticFit, rows: Rows, stride: float, budget: Budget) -> AnalyticFit:
    """Steps of bends, of decays, then of bends with a faster decay: each for every input, as long as it is worth it."""
    for steps in ([(1, 0), (-1, 0)], [(0, 1), (0, -1)], [(1, 1), (-1, 1)]):
        for index, (bend, decay) in product(range(len(best.decays)), steps):
            if bend and best.error > _SHARP:
                continue
            while budget.allows_another():
                moved = best.moved(index, bend=_BEND * stride * bend, decay=stride * decay)
                tried = None if moved is None else moved.judged(rows)
                if tried is None or tried.error > _WORTH * best.error:
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
        train_error = rows.training_error(model)
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
        model = _network(self.fit, on_unit_interval(x, self.domain), y, self.domain)
        return self.model if model is None or rmse(model, x, y) > rmse(self.model, x, y) else model


def _network(fit: AnalyticFit, u: Tensor, y: Tensor, domain: Tensor) -> KAN | None:
    """A fit as a network of products of univariate functions, or None where it would take too many."""
    trained = fit.trained(u, y)
    tensor = trained.coefficients.new_zeros([int(highest) + 1 for highest in trained.degrees.amax(dim=0)])
    tensor[tuple(trained.degrees.T)] = trained.coefficients[:, 0]
    factors = _products_of_vectors(tensor, _TAIL * fit.error)
    if len(factors) > _MOST_PRODUCTS:
        return None
    inputs, rank = tensor.dim(), len(factors)
    series = [
        straightened(torch.stack(vectors), bend)
        for vectors, bend in zip(zip(*factors, strict=True), fit.bends, strict=True)
    ]
    functions = max(2, *(each.shape[1] for each in series))
    table = tensor.new_zeros((inputs, functions, rank * inputs))
    mask = torch.zeros((inputs, rank * inputs), dtype=torch.bool)
    for index, each in enumerate(series):
        table[index, : each.shape[1], index::inputs] = each.T
        mask[index, index::inputs] = True
    products = BasisBlock(Chebyshev(degree=functions - 1), domain, table, mask=mask)
    ends = torch.tensor([[-1.0, 1.0]], dtype=domain.dtype).expand(rank, 2)
    lines = BasisBlock(BSpline(grid=1, degree=1), ends, ends.unsqueeze(2))
    layers = [
        KANLayer.from_blocks([products], (inputs,) * rank, inputs),
        KANLayer.from_blocks([lines], (1,), rank),
    ]
    return KAN.assemble(layers, sample=torch.lerp(domain[:, 0], domain[:, 1], (u + 1) / 2), options=Options())


def straightened(series: Tensor, bend: float) -> Tensor:
    """Chebyshev series of an input on [−1, 1] from those of the bent input.

    Args:
        series: one per row, shape (R, K).
        bend: of the input; see `bent`.

    Returns:
        Shape (R, L), with as many coefficients as rounding leaves of them.
    """
    if not bend:
        return series

    nodes = torch.cos(math.pi * (torch.arange(_MOST_DEGREES, dtype=series.dtype) + 0.5) / _MOST_DEGREES).unsqueeze(1)
    values = products_of_polynomials(bent(nodes, [bend]), torch.arange(series.shape[1]).unsqueeze(1)) @ series.T
    found = torch.from_numpy(dct(values.T.numpy())) / _MOST_DEGREES  # interpolation in the Chebyshev nodes
    found[:, 0] /= 2
    large = found.abs().amax(dim=0) > _ROUNDING * torch.finfo(found.dtype).eps * found.abs().max()
    return found[:, : int(large.nonzero().max()) + 1] if bool(large.any()) else found[:, :1]


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
    return replace(rows, x=on_unit_interval(rows.x, domain), x_held=on_unit_interval(rows.x_held, domain))


def on_unit_interval(x: Tensor, domain: Tensor) -> Tensor:
    """Inputs in units of the domain, shape (I, 2), on [−1, 1]."""
    low, high = domain[:, 0], domain[:, 1]
    return (2 * x - low - high) / (high - low)
