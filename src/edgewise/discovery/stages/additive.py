"""T(y) = Σ f_i(x_i) + Σ c_k·g_k: a curve of each input beside few terms of a library, by a linear fit; then the curves.

The curves need no names to find the terms between inputs, and each of them is a problem of one input.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from edgewise.basis import Chebyshev
from edgewise.discovery.library import Library
from edgewise.discovery.problem import NOISY, Problem, box_of
from edgewise.discovery.stage import Solve
from edgewise.discovery.stages.sums import terms
from edgewise.discovery.subsets import best_subsets
from edgewise.discovery.surrogate import off_at_edge
from edgewise.discovery.tree import Input, Tree, constant, evaluate, inputs_in, on_inputs, scaled, sum_of

_ROWS, _NOISY_ROWS = 600, 1500
_DEGREE, _ROWS_PER_TERM = 24, 4
_MOST_COLUMNS, _MOST_OF_ONE_INPUT = 3000, 1000
_SEPARATE = 1e-6  # share of a term that curves do not explain
_MOST_TERMS, _KEPT = 4, 4
_EXACT = 1e-8  # of the target: curves that leave less need no terms beside them
_GOOD = 1e-4  # error of a fit that is one of the right terms
_TOLERATED = 1.1  # times the noise
_MOST_FITS = 2
_ROUNDING = 1e-11
_PARTS, _COMBINED = 2, 8  # formulas of each curve, and of them together


@dataclass(frozen=True)
class _Fit:
    """Curves and terms that explain T(y).

    Args:
        undo: what gives a formula of y from one of T(y).
        target: T(y), shape (N,).
        curves: values of the curve of each input, shape (N, I).
        terms: the others, with their factors, a number first.
        error: of y, relative to its spread; not finite where they have no value.
        share: degrees of freedom per row.
    """

    undo: Callable[[Tree], Tree]
    target: Tensor
    curves: Tensor
    terms: list[Tree]
    error: float
    share: float


class Additive:
    """See the module."""

    name = "curves of single inputs"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """Formulas, those of the best fits first."""
        if problem.x.shape[1] < 2:
            return
        few = problem.thinned(_NOISY_ROWS if problem.noise > NOISY else _ROWS)
        enough = problem.tolerated(_GOOD, _TOLERATED)
        fits = [fit for fit in _fits(few) if fit.error < enough]
        for fit in sorted(fits, key=lambda fit: (len(fit.terms), fit.error))[:_MOST_FITS]:
            yield from _named(few, fit, solve)


def _fits(problem: Problem) -> Iterator[_Fit]:
    """The best fit of each transform of the target."""
    x = problem.x
    basis = _basis(x)
    base = torch.cat([torch.ones_like(x[:, :1]), basis.flatten(1)], dim=1)
    library = _beside_curves(problem, base)
    price = library.prices() if problem.noise > NOISY else None
    for undo, target, weight in problem.transformed():
        if time.monotonic() > problem.deadline:
            return
        w = weight.unsqueeze(1)
        subsets = best_subsets(
            target * weight, base * w, library.values * w, most=_MOST_TERMS, kept=_KEPT, enough=_EXACT, price=price
        )
        least = min(subset.left for subset in subsets)
        best = next(subset for subset in subsets if subset.left <= max(2 * least, _EXACT))
        picked = [library.trees[i] for i in best.columns]
        design = torch.cat([base, *(evaluate(tree, x).unsqueeze(1) for tree in picked)], dim=1)
        found = torch.linalg.lstsq(design * w, target.unsqueeze(1) * w, driver="gelsd").solution[:, 0]
        predicted = evaluate(undo(Input(0)), (design @ found).unsqueeze(1))
        error = problem.size_of(predicted - problem.y) / problem.spread
        curves = torch.einsum("nid,id->ni", basis, found[1 : base.shape[1]].view(basis.shape[1:]))
        named = [scaled(tree, c) for tree, c in zip(picked, found[base.shape[1] :].tolist(), strict=True)]
        yield _Fit(undo, target, curves, [constant(float(found[0])), *named], error, len(found) / len(x))


def _basis(x: Tensor) -> Tensor:
    """Polynomials of each input other than the constant, shape (N, I, D)."""
    degree = max(1, min(_DEGREE, len(x) // (_ROWS_PER_TERM * x.shape[1])))
    return Chebyshev(degree=degree).values(x, box_of(x))[:, :, 1:]


def _beside_curves(problem: Problem, base: Tensor) -> Library:
    """What curves leave of terms of two inputs or more, and of one what no polynomial follows, such as poles."""
    library = terms(problem.x, problem.rules.own).allowed(problem.rules)
    several = torch.tensor([len(inputs_in(tree)) > 1 for tree in library.trees], dtype=torch.bool)
    most = torch.where(several, _MOST_COLUMNS, _MOST_OF_ONE_INPUT)
    count = torch.where(several, several.cumsum(0), (~several).cumsum(0))
    library = library[(count <= most).nonzero().flatten()]
    q = torch.linalg.qr(base).Q
    rest = library.values - q @ (q.T @ library.values)
    rest = rest - q @ (q.T @ rest)
    there = (rest.norm(dim=0) > _SEPARATE * library.values.norm(dim=0)).nonzero().flatten()
    return Library(library.trees, rest)[there].usable()


def _named(problem: Problem, fit: _Fit, solve: Solve) -> Iterator[Tree]:
    """Formulas with each curve solved by itself."""
    parts: list[list[Tree]] = []
    error = off_at_edge(max(fit.error, _ROUNDING), problem.noise, fit.share) * float(fit.target.std())
    for index, curve in enumerate(fit.curves.T):
        size = float(curve.std())
        if size < error:
            continue
        found = solve(problem.part(problem.x[:, [index]], curve, error / size))
        if not found:
            return
        parts.append([on_inputs(tree, [index]) for tree in found[:_PARTS]])
    for chosen in itertools.islice(itertools.product(*parts), _COMBINED):
        yield fit.undo(sum_of(*chosen, *fit.terms))
