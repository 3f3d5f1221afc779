"""y = P/Q with P and Q of polynomials and one function g of a library: y·(Q(x) + b·g(x)) = P(x) + a·g(x)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgewise.discovery.polynomial_fit import (
    exponents_up_to,
    monomial_trees,
    monomial_values,
    quotient_tree,
    varying_inputs,
)
from edgewise.discovery.problem import Problem
from edgewise.discovery.rational import exact_quotient
from edgewise.discovery.stage import Solve
from edgewise.discovery.stages.surrounded import surrounded_functions
from edgewise.discovery.tree import Input, Tree, substituted

_DEGREES = {1: 3, 2: 3, 3: 2, 4: 2, 5: 2}  # of P and Q by the number of inputs
_DEGREE_OF_MANY = 1
_ROWS, _ROWS_PER_TERM = 400, 3
_LARGEST = 1e6
_KEPT = 5
_NEAR = 1e-6  # to a null vector, before it is computed exactly
_MOST_TERMS = 12  # so many come close to any smooth function
_MOST_RANGE = 1e8  # of the median of a function
_TINY = 1e-300


class SurroundedQuotients:
    """See the module."""

    name = "quotients around a function"

    def propose(self, problem: Problem, solve: Solve) -> Iterator[Tree]:
        """The quotients that leave nothing, whatever is thought of the noise: poles may pass for it."""
        del solve
        few = problem.thinned(_ROWS)
        varying = varying_inputs(few.x)
        x, inputs, places = few.x[:, varying], len(varying), {k: Input(i) for k, i in enumerate(varying.tolist())}
        powers = exponents_up_to(inputs, _DEGREES.get(inputs, _DEGREE_OF_MANY))
        if not inputs or len(x) < _ROWS_PER_TERM * 2 * len(powers) or float(x.abs().amax()) > _LARGEST:
            return
        if "1/x" in problem.rules.forbidden:
            return
        functions = surrounded_functions(x, problem.rules)
        polynomials, trees = monomial_values(x, powers), monomial_trees(powers)
        nearest = _distances(polynomials, functions.values, few.y)
        for place in nearest.argsort(stable=True)[:_KEPT].tolist():
            if not float(nearest[place]) < _NEAR:
                break
            found = exact_quotient(torch.cat([polynomials, functions.values[:, [place]]], dim=1), few.y)
            if found is not None and sum(int((part != 0).sum()) for part in found) <= _MOST_TERMS:
                yield substituted(quotient_tree([*trees, functions.trees[place]], *found), places)


def _distances(polynomials: Tensor, functions: Tensor, y: Tensor) -> Tensor:
    """How far g and y·g are from the space of polynomials and their products with y together, shape (F,).

    Args:
        polynomials: shape (N, K).
        functions: g, shape (N, F).
        y: target, shape (N,).

    Returns:
        The least singular value of what that space leaves of both; infinite where g is a polynomial, or
        nearly all of it in a few rows.
    """
    ratio = (y / y.abs().median()).unsqueeze(1)
    rows = (1 + ratio.square()).rsqrt()  # rows near a pole would hide all others
    base = torch.cat([polynomials, ratio * polynomials], dim=1) * rows
    above, below = _outside(base, functions * rows), _outside(base, ratio * functions * rows)
    # The least singular value of two columns, by what one leaves of the other.
    rest = below - above * ((above * below).sum(dim=0) / above.square().sum(dim=0).clamp_min(_TINY))
    is_polynomial = _outside(polynomials, functions).norm(dim=0) < _NEAR
    is_in_few_rows = functions.abs().amax(dim=0) > _MOST_RANGE * functions.abs().median(dim=0).values
    return torch.where(is_polynomial | is_in_few_rows, torch.inf, torch.minimum(above.norm(dim=0), rest.norm(dim=0)))


def _outside(base: Tensor, values: Tensor) -> Tensor:
    """What a space leaves of columns of length 1."""
    q = torch.linalg.qr(base / base.norm(dim=0)).Q
    unit = values / values.norm(dim=0).clamp_min(_TINY)
    rest = unit - q @ (q.T @ unit)
    return rest - q @ (q.T @ rest)
