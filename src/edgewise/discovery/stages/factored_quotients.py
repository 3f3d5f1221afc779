"""y = g·P/Q or Q/(g·P) with polynomials P and Q and one function g of a library: y·Q(x) = g(x)·P(x)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.discovery.library import Library, inputs_of, monomials, turns, unary
from edgewise.discovery.polynomial_fit import (
    exponents_up_to,
    monomial_trees,
    monomial_values,
    quotient_tree,
    varying_inputs,
)
from edgewise.discovery.problem import Problem
from edgewise.discovery.rational import exact_quotient
from edgewise.discovery.rules import Rules
from edgewise.discovery.stage import Solve
from edgewise.discovery.tree import Curve, Tree, on_inputs, product_of

_DEGREES = ((1, 1), (1, 2), (1, 3), (2, 2), (2, 3))  # of P and Q; a common factor would leave more than one quotient
_MOST_INPUTS = 3  # of P of the second degree
_ROWS, _ROWS_PER_COLUMN = 400, 3
_LARGEST = 1e6
_NEAR = 1e-7  # to a null vector, before it is computed exactly
_KEPT = 3
_MOST_TERMS = 8
_MOST_COLUMNS, _MOST_FACTORS = 1500, 60
_CHUNK = 50
_TINY = 1e-300


class FactoredQuotients:
    """See the module."""

    name = "a function times a quotient"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """The formulas that leave nothing, whatever is thought of the noise: poles may pass for it."""
        del solve
        if problem.is_constant or "1/x" in problem.rules.forbidden:
            return
        few = problem.some((problem.y != 0).nonzero().flatten()).thinned(_ROWS)
        if few.is_constant:
            return
        varying = varying_inputs(few.x)
        x, inputs = few.x[:, varying], len(varying)
        if not inputs or len(x) < _ROWS_PER_COLUMN * 2 * (inputs + 1) or float(x.abs().amax()) > _LARGEST:
            return
        functions = _functions(x, problem.rules)
        for degrees in _DEGREES:
            above, below = (exponents_up_to(inputs, degree) for degree in degrees)
            if time.monotonic() > problem.deadline:
                return
            if len(x) < _ROWS_PER_COLUMN * (len(above) + len(below)) or (degrees[0] > 1 and inputs > _MOST_INPUTS):
                continue
            for inverse in (False, True):
                y = 1 / few.y if inverse else few.y
                if not bool(y.isfinite().all()):
                    continue
                for tree in _exact(x, y, functions, above, below):
                    whole = on_inputs(tree, varying.tolist())
                    yield Curve("1/x", whole) if inverse else whole


def _functions(x: Tensor, rules: Rules) -> Library:
    """What may stand for g: functions of single inputs, x of shape (N, I), and products of the simplest of them."""
    columns = inputs_of(x)
    roots = monomials(x, [[0.5 if i == k else 0.0 for i in range(x.shape[1])] for k in range(x.shape[1])])
    single = Library.of([roots, roots.curves("1/x"), unary(columns, rules.own), turns(columns)]).allowed(rules).usable()
    simple = single[single.prices().argsort(stable=True)[:_MOST_FACTORS]]
    products = simple.times(simple)
    return Library.of([single, products[products.prices().argsort(stable=True)]]).usable().first(_MOST_COLUMNS)


def _exact(x: Tensor, y: Tensor, functions: Library, above: Tensor, below: Tensor) -> Iterator[Tree]:
    """Formulas y = g·P/Q of given monomials that leave nothing."""
    upper, lower = monomial_values(x, above), monomial_values(x, below)
    trees = monomial_trees(below)
    distances = _distances(upper, lower, functions.values, y)
    for place in distances.argsort(stable=True)[:_KEPT].tolist():
        if not float(distances[place]) < _NEAR:
            return
        found = exact_quotient(functions.values[:, [place]] * upper, lower, y)
        if found is not None and sum(int((part != 0).sum()) for part in found) <= _MOST_TERMS:
            p, q = found
            padded = torch.cat([p, p.new_zeros(len(q) - len(p))])  # monomials of P are the first ones of Q
            yield product_of(functions.trees[place], quotient_tree(trees, padded, q))


def _distances(upper: Tensor, lower: Tensor, functions: Tensor, y: Tensor) -> Tensor:
    """How far g·P, at its nearest, is from the space of y·Q, for each g, shape (F,).

    Args:
        upper: monomials of P, shape (N, K).
        lower: monomials of Q, shape (N, L).
        functions: g, shape (N, F).
        y: target, shape (N,).

    Returns:
        The least singular value of what that space leaves of the columns of g·P, of length 1 each.
    """
    size = y.abs().median()
    rows = (1 + (y / size).square()).rsqrt()  # rows near a pole would hide all others
    base = lower * (rows * y / size).unsqueeze(1)
    q = torch.linalg.qr(base / base.norm(dim=0).clamp_min(_TINY)).Q
    found = []
    for values in functions.T.split(_CHUNK):
        block = (values * rows).unsqueeze(2) * upper
        block = block / block.norm(dim=1, keepdim=True).clamp_min(_TINY)
        rest = block - q @ (q.T @ block)
        found.append(torch.linalg.svdvals(torch.linalg.qr(rest).R)[:, -1])
    return torch.cat(found)
