"""y = Σ B_k(x_i)·g_k(x) with few g_k, one of them 1, from a library: coefficients that vary with one input.

The curves B need no names for the g to be found by linear fits, and each of them is a problem of one input. See Hastie
and Tibshirani, Varying-coefficient models, Journal of the Royal Statistical Society B 55 (1993).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgewise.basis import Chebyshev
from edgewise.discovery.library import Library, monomials
from edgewise.discovery.polynomial_fit import exponents_up_to, left_beside, varying_inputs
from edgewise.discovery.problem import NOISY, Problem
from edgewise.discovery.stage import Solve
from edgewise.discovery.stages.surrounded import surrounded_functions
from edgewise.discovery.tree import Input, Tree, constant, evaluate, inputs_in, on_inputs, power, product_of, sum_of

_ROWS_PER_COLUMN = 3
_HIGHEST = 2  # degree of the polynomials of the other inputs that may all have coefficients
_LARGEST = 1e6
_FITTED, _TRIED = 8, 2
_SURE, _ROUNDING = 1e-7, 1e-10
_CONSTANT = 1e-6  # relative change of a coefficient that is none
_PARTS, _COMBINED = 2, 8  # formulas of each coefficient, and of them together


@dataclass(frozen=True)
class _Effort:
    """How terms are looked for.

    Args:
        rows: to find the terms.
        degree: of the coefficient of 1.
        degree_of_terms: of the other coefficients.
        final_rows: to fit the coefficients of the terms that are found.
        final_degree: of these.
        safety: factor of their standard errors.
        nearly: factor of the least error up to which simpler terms are as good.
    """

    rows: int
    degree: int
    degree_of_terms: int
    final_rows: int
    final_degree: int
    safety: float
    nearly: float


_EXACT = _Effort(rows=600, degree=32, degree_of_terms=12, final_rows=1200, final_degree=32, safety=10.0, nearly=10.0)
_GOOD = 1e-3  # error of the right terms
_NOISY = _Effort(rows=1200, degree=10, degree_of_terms=6, final_rows=4000, final_degree=8, safety=2.0, nearly=1.1)
_TOLERATED = 1.1  # times the noise


@dataclass(frozen=True)
class _Terms:
    """Terms whose coefficients vary with one input.

    Args:
        index: the input.
        outside: power of the input that all coefficients have as a factor.
        trees: the terms.
        price: bits of the terms.
    """

    index: int
    outside: float
    trees: list[Tree]
    price: float


@dataclass(frozen=True)
class _Fit:
    """Terms with the values of their coefficients.

    Args:
        problem: the target without the factor that all coefficients have.
        terms: what was fitted.
        coefficients: the terms that count, each with the values of its coefficient, shape (N,), and how far off they
            may be.
        left: what the fit leaves of the target, relative to its spread.
    """

    problem: Problem
    terms: _Terms
    coefficients: list[tuple[Tree, Tensor, float]]
    left: float


class Varying:
    """See the module."""

    name = "coefficients that vary with an input"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas, those of the simplest terms first."""
        if problem.x.shape[1] < 2 or float(problem.x.abs().amax()) > _LARGEST:
            return
        order = torch.randperm(len(problem.y), generator=torch.Generator().manual_seed(problem.seed))
        few = problem.some(order[: _NOISY.rows])
        functions = surrounded_functions(few.x, problem.rules)
        # Poles and fast turns may pass for noise, so what leaves nothing is looked for in any case.
        found, whole, effort = list(_candidates(_evenly(few), functions, _EXACT, _GOOD)), _evenly(problem), _EXACT
        if not found and problem.noise > NOISY:
            enough = problem.tolerated(_GOOD, _TOLERATED)
            found, whole, effort = list(_candidates(few, functions, _NOISY, enough)), problem, _NOISY
        fits: list[_Fit] = []
        for terms in sorted(found, key=lambda each: each.price)[:_FITTED]:
            fits.append(_fit(whole.thinned(effort.final_rows), terms, effort))
            if fits[-1].left < _SURE:
                break
        enough = max(effort.nearly * min((each.left for each in fits), default=0.0), _SURE)
        for each in itertools.islice((each for each in fits if each.left <= enough), _TRIED):
            yield from _named(each, solve)


def _evenly(problem: Problem) -> Problem:
    """Without the great weight that rows near a pole have."""
    size = problem.y.abs().median()
    return replace(problem, scale=problem.scale * (1 + (problem.y / size).square()).sqrt()) if size else problem


def _candidates(problem: Problem, library: Library, effort: _Effort, enough: float) -> Iterator[_Terms]:
    """The terms that explain the target, for each input with the least polynomial beside them."""
    few = problem.some(torch.arange(min(effort.rows, len(problem.y))))
    functions = Library(library.trees, library.values[: len(few.y)])
    for index in varying_inputs(few.x).tolist():
        x = few.x[:, index]
        yield from _candidates_of(few, functions, index, 0.0, effort, enough)
        if float(x.min()) < 0 < float(x.max()) and bool((x != 0).all()):
            yield from _candidates_of(few.divided(few.x, 1 / x), functions, index, -1.0, effort, enough)


def _candidates_of(
    problem: Problem, functions: Library, index: int, outside: float, effort: _Effort, enough: float
) -> Iterator[_Terms]:
    """The terms for one input that explain the target, with the least polynomial of the others."""
    x = problem.x
    series, inner = (_series(x[:, index], degree) for degree in (effort.degree, effort.degree_of_terms))
    places = torch.tensor([not inputs_in(tree) <= {index} for tree in functions.trees]).nonzero().flatten()
    if not len(places):
        return
    prices = functions.prices()[places]
    others = [k for k in varying_inputs(x).tolist() if k != index]
    for degree in range(_HIGHEST + 1):
        beside = _polynomials(x, others, degree)
        base = torch.cat([series, _blocks(beside.values[:, 1:], inner)], dim=1)
        if base.shape[1] > len(base) / _ROWS_PER_COLUMN or time.monotonic() > problem.deadline:
            return
        price = float(beside.prices().sum())
        alone, left = left_beside(problem, base, functions.values[:, places], inner)
        rows, columns = base.shape
        # Per degree of freedom: many columns leave little of noise, too.
        alone, left = alone * (1 - columns / rows) ** -0.5, left * (1 - (columns + inner.shape[1]) / rows) ** -0.5
        best = int((len(base) * left.log2() + prices).argmin())
        if alone < enough:
            yield _Terms(index, outside, beside.trees, price)
        if float(left[best]) < enough:
            trees = [*beside.trees, functions.trees[int(places[best])]]
            yield _Terms(index, outside, trees, price + float(prices[best]))
        if min(alone, float(left[best])) < _SURE:
            return


def _polynomials(x: Tensor, chosen: list[int], degree: int) -> Library:
    """Monomials of some of the inputs up to a degree."""
    table = torch.zeros(len(exponents_up_to(len(chosen), degree)), x.shape[1])
    table[:, chosen] = exponents_up_to(len(chosen), degree).to(table.dtype)
    return monomials(x, table.tolist())


def _series(x: Tensor, degree: int) -> Tensor:
    """Polynomials of one input, shape (N, D)."""
    return Chebyshev(degree=degree).values(x.unsqueeze(1), torch.stack([x.min(), x.max()]).unsqueeze(0))[:, 0]


def _blocks(terms: Tensor, series: Tensor) -> Tensor:
    """Every term, shape (N, K), times every polynomial, shape (N, D): those of a term together, shape (N, KD)."""
    return (terms.unsqueeze(2) * series.unsqueeze(1)).flatten(1)


def _fit(problem: Problem, terms: _Terms, effort: _Effort) -> _Fit:
    """The coefficients, those left out that do not count."""
    factor = evaluate(power(Input(terms.index), terms.outside), problem.x)
    values = torch.stack([factor, *(evaluate(tree, problem.x) for tree in terms.trees)], dim=1)
    there = values.isfinite().all(dim=1)
    problem = problem.some(there).divided(problem.x[there], factor[there])
    weight = problem.scale.reciprocal().unsqueeze(1)
    goal = problem.y.unsqueeze(1) * weight
    kept = terms.trees
    degree = min(effort.final_degree, len(goal) // (_ROWS_PER_COLUMN * len(kept)) - 1)
    series = _series(problem.x[:, terms.index], max(degree, 1))
    while True:
        values = torch.stack([evaluate(tree, problem.x) for tree in kept], dim=1)
        design = _blocks(values, series) * weight
        found = torch.linalg.lstsq(design, goal, driver="gelsd").solution
        variance = float((goal - design @ found).square().sum()) / (len(design) - design.shape[1])
        covariance = variance * torch.linalg.pinv(design.T @ design, hermitian=True)
        blocks = zip(found.view(len(kept), -1), _diagonal_blocks(covariance, len(kept)), strict=True)
        rounding = _ROUNDING * goal.norm() / (values * weight).norm(dim=0)
        counted = []
        for tree, (coefficients, block), least in zip(kept, blocks, rounding.tolist(), strict=True):
            curve = series @ coefficients
            error = effort.safety * float(((series @ block) * series).sum(dim=1).clamp_min(0).mean().sqrt())
            if float(curve.square().mean().sqrt()) > max(error, least):
                counted.append((tree, curve, max(error, least)))
        if len(counted) in (0, len(kept)):
            return _Fit(problem, terms, counted, math.sqrt(variance) / (problem.spread or 1.0))
        kept = [tree for tree, _, _ in counted]


def _named(fit: _Fit, solve: Solve) -> Iterator[Tree]:
    """Formulas with each coefficient solved by itself."""
    index, products = fit.terms.index, []
    for term, values, error in fit.coefficients:
        size, mean = float(values.std(correction=0)), float(values.mean())
        found: list[Tree] = [constant(mean)]
        if size > max(error, _CONSTANT * abs(mean)):
            found = solve(fit.problem.part(fit.problem.x[:, [index]], values, error / size))[:_PARTS] or found
        products.append([product_of(on_inputs(tree, [index]), term) for tree in found])
    for chosen in itertools.islice(itertools.product(*products), _COMBINED if products else 0):
        yield (
            product_of(power(Input(index), fit.terms.outside), sum_of(*chosen))
            if fit.terms.outside
            else sum_of(*chosen)
        )


def _diagonal_blocks(matrix: Tensor, count: int) -> list[Tensor]:
    """Equally large square blocks along the diagonal."""
    return [row.chunk(count, dim=1)[k] for k, row in enumerate(matrix.chunk(count, dim=0))]
